//! What the API server and Azure have seen of the processes of a test.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use azure_simulator::control::api::{NewIdentity, RequestRecord};
use azwib_e2e::Environment;
use azwib_e2e::control_plane::AuditEvent;
use jiff::Timestamp;

use super::LEASE;
use super::judge::{Case, LeaseWrite, Write};

/// Writes that need no claim: events change nothing, and reviews are questions.
const FREE: [&str; 3] = [
    "events.k8s.io",
    "authorization.k8s.io",
    "authentication.k8s.io",
];

/// The ServiceAccount of all processes.
const OPERATOR: &str = "system:serviceaccount:azwib-system:azwib-operator";

const CONFLICT: u16 = 409;

/// Who the processes are, and since when they count.
pub(crate) struct Evidence {
    since: Timestamp,
    /// Each process by the client id that it shows to Azure.
    identities: &'static BTreeMap<&'static str, NewIdentity>,
    /// Each process by the token that it shows to the API server. A process that was started anew has another one.
    tokens: BTreeMap<String, &'static str>,
    /// The tokens of processes that are not judged.
    others: BTreeSet<String>,
}

impl Evidence {
    pub(crate) fn from_now_on(identities: &'static BTreeMap<&'static str, NewIdentity>) -> Self {
        Self {
            since: Timestamp::now(),
            identities,
            tokens: BTreeMap::new(),
            others: BTreeSet::new(),
        }
    }

    /// This token is shown by the process of this name.
    pub(crate) fn knows(&mut self, name: &'static str, token: String) {
        self.tokens.insert(token, name);
    }

    /// This token is shown by a process that is not judged.
    pub(crate) fn leaves_out(&mut self, token: String) {
        self.others.insert(token);
    }

    pub(crate) async fn collect(&self, env: &Environment) -> anyhow::Result<Case> {
        let mut case = Case::default();
        let mut failed = None;
        env.control_plane.for_each_audited(|event| {
            if let Err(error) = self.note(event, &mut case) {
                failed = Some(error);
            }
        })?;
        failed.map_or(Ok(()), Err)?;
        let requests = env.control().requests().await?;
        let of_azure = requests.into_iter().filter_map(|it| self.azure_write(it));
        case.writes.extend(of_azure);
        Ok(case)
    }

    fn note(&self, event: AuditEvent, case: &mut Case) -> anyhow::Result<()> {
        let is_read = ["get", "list", "watch"].contains(&&*event.verb);
        let Some(object) = event.object_ref.as_ref().filter(|_| !is_read) else {
            return Ok(());
        };
        let group = object.api_group.as_deref().unwrap_or_default();
        let arrived: Timestamp = event.request_received_timestamp.parse()?;
        if event.user.username != OPERATOR || FREE.contains(&group) || arrived < self.since {
            return Ok(());
        }
        let token = event.credential().unwrap_or_default();
        if self.others.contains(token) {
            return Ok(());
        }
        let by = self.tokens.get(token).copied();
        let by = by.with_context(|| {
            format!(
                "whose token is {token:?}, with which {} was written?",
                event.request_uri
            )
        })?;
        let ended = event.stage_timestamp.parse()?;
        let code = event.response_status.as_ref().and_then(|it| it.code);
        if code == Some(CONFLICT) {
            // It came late, and somebody else had written: that is what the version is for.
            return Ok(());
        }
        if object.resource.as_deref() != Some("leases") {
            case.writes.push(Write {
                by,
                what: format!("{} {}", event.permission(), event.request_uri),
                identity: None,
                arrived,
                ended: Some(ended),
            });
            return Ok(());
        }
        if !code.is_some_and(|it| (200..300).contains(&it)) {
            return Ok(());
        }
        let lease = event.response_object.context("a Lease without its text")?;
        anyhow::ensure!(lease["metadata"]["name"] == LEASE, "it writes {lease}");
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        let holds = holder.starts_with(&format!("{by}_"));
        anyhow::ensure!(
            holds || holder.is_empty(),
            "{by} has made {holder} the holder"
        );
        let version = lease["metadata"]["resourceVersion"].as_str();
        case.lease.push(LeaseWrite {
            by,
            holds,
            version: version.context("a Lease without version")?.parse()?,
            received: arrived,
            answered: ended,
        });
        Ok(())
    }

    fn azure_write(&self, request: RequestRecord) -> Option<Write> {
        let mut all = self.identities.iter();
        let (by, _) = all.find(|(_, it)| request.caller == Some(it.client_id))?;
        let identity = request.identity?;
        (request.started >= self.since).then(|| Write {
            by,
            what: format!("{} {}", request.method, request.path),
            identity: Some(identity),
            arrived: request.started,
            ended: request.ended,
        })
    }
}
