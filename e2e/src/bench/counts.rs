//! What the operator asked of Azure and of the API server, counted by those who answered.

use std::collections::BTreeSet;
use std::ops::AddAssign;
use std::time::Duration;

use anyhow::Context;
use azure_simulator::control::api::{RequestRecord, Service};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::Environment;
use crate::control_plane::AuditEvent;

/// The user that the operator of an environment is.
const OPERATOR: &str = "system:serviceaccount:azwib-system:azwib-operator";

/// The verbs that change something. A list of names to leave out could miss one.
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// A stretch of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// Requests to Azure Resource Manager.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) struct Requests {
    pub(super) get: usize,
    pub(super) list: usize,
    pub(super) put: usize,
    pub(super) delete: usize,
}

/// What happened in a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) requests: Requests,
    pub(super) answers_409: usize,
    pub(super) answers_429: usize,
    /// Whatever came of them; the leader's lease aside.
    pub(super) kubernetes_writes: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.requests.get += other.requests.get;
        self.requests.list += other.requests.list;
        self.requests.put += other.requests.put;
        self.requests.delete += other.requests.delete;
        self.answers_409 += other.answers_409;
        self.answers_429 += other.answers_429;
        self.kubernetes_writes += other.kubernetes_writes;
    }
}

/// Requests of the operator to Resource Manager, in the order of arrival.
#[derive(Debug)]
pub(super) struct AzureLog(Vec<RequestRecord>);

impl Window {
    /// From a moment on until now.
    pub(super) fn since(from: Timestamp) -> Self {
        Self {
            from,
            to: Timestamp::now(),
        }
    }

    /// From its beginning to its end.
    pub(super) fn length(self) -> Duration {
        self.to.duration_since(self.from).unsigned_abs()
    }

    pub(super) fn contains(&self, moment: Timestamp) -> bool {
        (self.from..=self.to).contains(&moment)
    }
}

impl AzureLog {
    /// What the simulator has logged so far.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) async fn read(environment: &Environment) -> anyhow::Result<Self> {
        let requests = environment.control().requests().await?;
        Ok(Self::of(requests, environment.operator_client_id()))
    }

    fn of(mut requests: Vec<RequestRecord>, operator: Uuid) -> Self {
        requests.retain(|request| {
            request.service == Service::ResourceManager && request.caller == Some(operator)
        });
        Self(requests)
    }

    /// When each of so many identities was looked at for the first time in the window, and the last of these moments;
    /// none as long as one was not.
    pub(super) fn all_looked_at(&self, identities: usize, window: Window) -> Option<Timestamp> {
        let (mut gets, mut lists) = (Firsts::default(), Firsts::default());
        for request in &self.0 {
            let Some(ended) = request.ended.filter(|_| window.contains(request.started)) else {
                continue;
            };
            let path = request.path.to_ascii_lowercase();
            match of_listing(&path) {
                Some(identity) => lists.note(identity, ended),
                None if request.method == "GET" => gets.note(&path, ended),
                None => {}
            }
        }
        let last = |firsts: Firsts| (firsts.0.len() == identities).then_some(firsts.1)?;
        Some(last(gets)?.max(last(lists)?))
    }

    /// The counts of a window, except for Kubernetes' part.
    fn count(&self, window: Window) -> Counts {
        let mut counts = Counts::default();
        for request in self.0.iter().filter(|it| window.contains(it.started)) {
            let requests = &mut counts.requests;
            match request.method.as_str() {
                "PUT" => requests.put += 1,
                "DELETE" => requests.delete += 1,
                _ if of_listing(&request.path.to_ascii_lowercase()).is_some() => requests.list += 1,
                _ => requests.get += 1,
            }
            match request.status {
                Some(409) => counts.answers_409 += 1,
                Some(429) => counts.answers_429 += 1,
                _ => {}
            }
        }
        counts
    }
}

/// Names that were seen, and the last moment at which one was seen for the first time.
#[derive(Debug, Default)]
struct Firsts(BTreeSet<String>, Option<Timestamp>);

impl Firsts {
    fn note(&mut self, name: &str, moment: Timestamp) {
        if self.0.insert(name.to_owned()) {
            self.1 = self.1.max(Some(moment));
        }
    }
}

/// The identity whose credentials are listed at this path (lower case).
fn of_listing(path: &str) -> Option<&str> {
    path.strip_suffix("/federatedidentitycredentials")
}

/// Everything that the operator did in a window.
///
/// # Errors
/// The simulator does not answer, or the audit log cannot be read.
pub(super) async fn count(environment: &Environment, window: Window) -> anyhow::Result<Counts> {
    let mut counts = AzureLog::read(environment).await?.count(window);
    let mut outcome = Ok(());
    environment
        .control_plane
        .for_each_audited(|event| match is_write(&event, window) {
            Ok(is_write) => counts.kubernetes_writes += usize::from(is_write),
            Err(error) => outcome = Err(error),
        })?;
    outcome.map(|()| counts)
}

/// Whether the operator asked for a change then.
pub(super) fn is_write(event: &AuditEvent, window: Window) -> anyhow::Result<bool> {
    let resource = event.object_ref.as_ref();
    let is_lease = resource.is_some_and(|it| it.resource.as_deref() == Some("leases"));
    if event.user.username != OPERATOR || !WRITES.contains(&event.verb.as_str()) || is_lease {
        return Ok(false);
    }
    let received = &event.request_received_timestamp;
    let received = received
        .parse()
        .with_context(|| format!("the time {received:?} in the audit log"))?;
    Ok(window.contains(received))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const IDENTITY: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities";

    fn at(second: u8) -> Timestamp {
        format!("2026-01-02T03:04:{second:02}.5Z").parse().unwrap()
    }

    fn window(from: u8, to: u8) -> Window {
        Window {
            from: at(from),
            to: at(to),
        }
    }

    fn request(second: u8, method: &str, path: &str, status: u16) -> RequestRecord {
        let record = json!({
            "id": 1, "service": "resourceManager", "method": method, "path": format!("{IDENTITY}/{path}"), "operation": "",
            "caller": Uuid::nil(), "started": at(second), "ended": at(second + 1), "status": status,
            "effective": true, "held": false,
        });
        serde_json::from_value(record).unwrap()
    }

    fn azure() -> AzureLog {
        let foreign = RequestRecord {
            caller: Some(Uuid::max()),
            ..request(2, "PUT", "a/federatedIdentityCredentials/x", 200)
        };
        let requests = vec![
            request(1, "GET", "a", 200),
            request(2, "GET", "a/federatedIdentityCredentials", 200),
            request(2, "GET", "B/FederatedIdentityCredentials", 200),
            foreign,
            request(3, "PUT", "a/federatedIdentityCredentials/x", 409),
            request(4, "PUT", "a/federatedIdentityCredentials/x", 429),
            request(5, "PUT", "a/federatedIdentityCredentials/x", 201),
            request(6, "GET", "b", 200),
            request(7, "DELETE", "a/federatedIdentityCredentials/x", 200),
        ];
        AzureLog::of(requests, Uuid::nil())
    }

    #[test]
    fn requests_are_counted_by_what_they_ask_for_and_only_the_operators() {
        let counts = azure().count(window(0, 9));
        let requests = Requests {
            get: 2,
            list: 2,
            put: 3,
            delete: 1,
        };
        assert_eq!(counts.requests, requests);
        assert_eq!((counts.answers_409, counts.answers_429), (1, 1));
        assert_eq!(
            azure().count(window(4, 5)).requests,
            Requests {
                put: 2,
                ..Requests::default()
            }
        );
    }

    #[test]
    fn all_are_looked_at_when_the_last_was_read_and_listed() {
        let azure = azure();
        assert_eq!(azure.all_looked_at(2, window(0, 9)), Some(at(7)));
        assert_eq!(azure.all_looked_at(3, window(0, 9)), None);
        // The read of b is later.
        assert_eq!(azure.all_looked_at(2, window(0, 5)), None);
    }

    fn audited(verb: &str, user: &str, resource: &str, second: u8) -> AuditEvent {
        let event = json!({
            "stage": "ResponseComplete", "verb": verb, "requestURI": "/", "user": { "username": user },
            "objectRef": { "resource": resource }, "responseStatus": { "code": 409 },
            "requestReceivedTimestamp": at(second), "stageTimestamp": at(second),
        });
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn a_kubernetes_write_is_a_change_that_the_operator_asked_for_the_lease_aside() {
        let writes = |verb, user, resource, second| {
            is_write(&audited(verb, user, resource, second), window(3, 6)).unwrap()
        };
        for verb in WRITES {
            assert!(writes(verb, OPERATOR, "workloadidentitybindings", 5));
        }
        assert!(writes("create", OPERATOR, "events", 3));
        assert!(!writes("create", OPERATOR, "events", 2));
        assert!(!writes("create", OPERATOR, "events", 7));
        assert!(!writes("patch", "admin", "serviceaccounts", 5));
        assert!(!writes("update", OPERATOR, "leases", 5));
        for verb in ["get", "list", "watch"] {
            assert!(!writes(verb, OPERATOR, "serviceaccounts", 5));
        }
    }
}
