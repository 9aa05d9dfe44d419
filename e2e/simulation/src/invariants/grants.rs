//! Nothing is made without a grant, and nothing stays without one.

use std::time::Duration;

use azure_simulator::core::Azure;
use azure_simulator::core::http::Request;
use azwib_crds::WorkloadIdentityBinding;
use http::Method;
use jiff::SignedDuration;

use super::books::Judge;
use super::slots::stood_when_decided;
use crate::bindings::{account, identity_id};
use crate::caller::Caller;
use crate::grants::{covered, longest_without, quota_of, versions_since};
use crate::kubernetes::{Call, Kind};
use crate::names::{ISSUER, our_name};
use crate::requests::{credential_of, identity_of, operation};
use crate::shared::Shared;
use crate::trace::lock;

/// No credential is written without a grant in the moment of sending, and none of ours stays without one.
pub const GRANTED: &str = "nothing-without-a-grant";

/// The annotation that names an identity.
const CLIENT_ID: &str = "azure.workload.identity/client-id";

/// No new credential of ours goes beyond the quota of a grant.
pub const QUOTA: &str = "quotas-of-grants-are-kept";

/// A quota that has just changed may not have been known when it was decided.
const KNOWN_AFTER: SignedDuration = SignedDuration::from_secs(120);

/// So long a decision may take to be seen in Azure.
const MOMENT: SignedDuration = SignedDuration::from_secs(5);

/// The status of a grant says what is the case, and is written at most twice a minute.
pub const TOLD: &str = "grants-tell-what-they-cover";

/// Between two writes of a status by one process.
const SETTLES: SignedDuration = SignedDuration::from_millis(29_900);

/// What a process was shown so short a time ago it may not have read yet.
const READING: SignedDuration = SignedDuration::from_millis(50);

/// A gap that is shorter costs nobody anything; some of it the watch may add.
const SHORT: Duration = Duration::from_secs(4);

/// Whether the binding was without a grant for long enough that it may have lost Ready.
pub(super) fn was_without(shared: &Shared, binding: &WorkloadIdentityBinding) -> bool {
    shared.requires_grants && without(shared, binding) >= SHORT
}

/// Whether a quota of a grant may have kept the binding from a slot until a moment ago: who comes in the moment in which it is lifted
/// may be decided on first.
pub(super) fn may_be_over_quota(shared: &Shared, binding: &WorkloadIdentityBinding) -> bool {
    let cluster = &shared.cluster;
    let (own, identity) = (account(binding), identity_id(binding));
    let since = shared.time.now() - MOMENT;
    let had_quota = |version| {
        let (grants, namespaces) = (
            cluster.at_version(Kind::Grant, version),
            cluster.at_version(Kind::Namespace, version),
        );
        quota_of(&grants, &namespaces, own, identity).is_some()
    };
    shared.requires_grants && versions_since(cluster, since).any(had_quota)
}

/// Whether it was for long enough that what was made for it may have been taken away.
pub(super) fn was_revoked(shared: &Shared, binding: &WorkloadIdentityBinding) -> bool {
    shared.requires_grants && without(shared, binding) >= shared.revocation_grace
}

fn without(shared: &Shared, binding: &WorkloadIdentityBinding) -> Duration {
    let now = shared.time.now();
    longest_without(&shared.cluster, now, account(binding), identity_id(binding))
}

/// A process is shown a kind as it was at a version.
pub(super) fn shown(judge: Judge<'_>, process: &Caller, kind: Kind, version: u64) {
    if matches!(kind, Kind::Grant | Kind::Namespace) {
        let now = judge.shared.time.now();
        let mut books = judge.books();
        let shown = books.shown.entry((process.replica, kind)).or_default();
        shown.push((now, version));
    }
}

/// A request leaves a process.
pub(super) fn sent(judge: Judge<'_>, process: &Caller, request: &Request) {
    let shared = judge.shared;
    if !shared.requires_grants || operation(request) != "PUT" {
        return;
    }
    let Some(name) = credential_of(request) else {
        return;
    };
    let identity = identity_of(request);
    let Some((namespace, account)) = account_of(judge, &name) else {
        return;
    };
    if !may_go_by_a_grant(judge, process, (&namespace, &account), &identity) {
        let what = format!("{name} was written, and no grant covers {namespace}/{account}");
        shared.violated(GRANTED, what);
    }
}

/// Whether a grant covers this, as the process may know them now.
fn may_go_by_a_grant(
    judge: Judge<'_>,
    process: &Caller,
    account: (&str, &str),
    identity: &str,
) -> bool {
    let cluster = &judge.shared.cluster;
    let at = |kind| versions(judge, process, kind);
    let (grants, namespaces) = (at(Kind::Grant), at(Kind::Namespace));
    grants.iter().any(|grants| {
        let grants = cluster.at_version(Kind::Grant, *grants);
        namespaces.iter().any(|namespaces| {
            let namespaces = cluster.at_version(Kind::Namespace, *namespaces);
            covered(&grants, &namespaces, account, identity)
        })
    })
}

/// What a process may go by: the last version that it was shown some time ago, and what it was shown since.
fn versions(judge: Judge<'_>, process: &Caller, kind: Kind) -> Vec<u64> {
    let now = judge.shared.time.now();
    let books = judge.books();
    let shown = books.shown.get(&(process.replica, kind));
    let shown = shown.map_or(&[][..], Vec::as_slice);
    let recent = shown
        .iter()
        .rev()
        .take_while(|(at, _)| now.duration_since(*at) <= READING);
    let older = shown
        .iter()
        .rev()
        .find(|(at, _)| now.duration_since(*at) > READING);
    recent.chain(older).map(|(_, version)| *version).collect()
}

/// A process has written an account: that names another identity than before only where a grant covers that.
pub(super) fn account_written(judge: Judge<'_>, process: &Caller, call: &Call<'_>) {
    let shared = judge.shared;
    let Ok(object) = call.outcome else {
        return;
    };
    if call.key.kind != Kind::Account || *call.method != Method::PATCH {
        return;
    }
    let carried = object["metadata"]["annotations"][CLIENT_ID].as_str();
    let (carried, place) = (carried.map(str::to_owned), call.key.clone());
    let version = object["metadata"]["resourceVersion"].as_str();
    let version = version.and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
    let before = shared.cluster.before(&place, version);
    let before = before.and_then(|it| {
        let id = it["metadata"]["annotations"][CLIENT_ID].as_str();
        id.map(str::to_owned)
    });
    let Some(client_id) = carried.filter(|it| before.as_ref() != Some(it)) else {
        return;
    };
    if !shared.requires_grants || shared.cluster.policy(&place.namespace).is_some() {
        return;
    }
    let identity = {
        let azure = lock(&shared.azure);
        let mut identities = azure.identities();
        let found = identities.find(|(_, it)| it.client_id.to_string() == client_id);
        found.map(|(id, _)| id)
    };
    // One that is gone meanwhile names nobody.
    let Some(identity) = identity else { return };
    if !may_go_by_a_grant(judge, process, (&place.namespace, &place.name), &identity) {
        let what = format!(
            "{}/{} was given a client id, and no grant covers it",
            place.namespace, place.name
        );
        shared.violated(GRANTED, what);
    }
}

/// A new credential of ours stands.
pub(super) fn created(
    judge: Judge<'_>,
    process: &Caller,
    azure: &Azure,
    identity: &str,
    owner: (&str, &str),
) {
    let shared = judge.shared;
    if !shared.requires_grants || process.is_dead() {
        return;
    }
    // Who had one before gets it again.
    let is_repair = shared.cluster.bindings().iter().any(|binding| {
        let uid = binding.metadata.uid.as_deref().unwrap_or_default();
        let books = judge.books();
        account(binding) == owner
            && (books.with_credential.contains(uid) || books.repaired.contains(uid))
    });
    // It was to get other content, and somebody has removed it just before.
    let name = our_name(owner.0, owner.1).unwrap_or_default();
    if is_repair || stood_when_decided(judge, identity, &name) {
        return;
    }
    let now = shared.time.now();
    let changes = shared.cluster.changed_at(&[Kind::Grant, Kind::Namespace]);
    if changes
        .last()
        .is_some_and(|(_, at)| now.duration_since(*at) < KNOWN_AFTER)
    {
        return;
    }
    let cluster = &shared.cluster;
    let (grants, namespaces) = (cluster.all(Kind::Grant), cluster.all(Kind::Namespace));
    let Some((grant, quota)) = quota_of(&grants, &namespaces, owner, identity) else {
        return;
    };
    let grant = std::slice::from_ref(grant);
    let Some(found) = azure.identity(identity) else {
        return;
    };
    let used = found.credentials.values().filter(|it| {
        let subject = it.subject.as_deref().unwrap_or_default();
        let account = subject.strip_prefix("system:serviceaccount:");
        let account = account.and_then(|it| it.split_once(':'));
        it.issuer == ISSUER
            && account.is_some_and(|(namespace, account)| {
                our_name(namespace, account).is_some_and(|name| name.eq_ignore_ascii_case(&it.name))
                    && covered(grant, &namespaces, (namespace, account), identity)
            })
    });
    let used = used.count() as u64;
    if used > quota {
        let what = format!(
            "{}/{} got one of {used} credentials of {identity}, and {quota} are allowed",
            owner.0, owner.1
        );
        shared.violated(QUOTA, what);
    }
}

/// Whose credential bears this name.
fn account_of(judge: Judge<'_>, name: &str) -> Option<(String, String)> {
    let bindings = judge.shared.cluster.bindings();
    bindings.iter().find_map(|binding| {
        let (namespace, account) = account(binding);
        let ours = our_name(namespace, account)?;
        ours.eq_ignore_ascii_case(name)
            .then(|| (namespace.to_owned(), account.to_owned()))
    })
}

/// A process has written the status of a grant.
pub(super) fn told(judge: Judge<'_>, process: &Caller, call: &Call<'_>) {
    let (shared, key) = (judge.shared, call.key);
    let Ok(grant) = call.outcome else { return };
    if key.kind != Kind::Grant {
        return;
    }
    shared.trace.note(format!(
        "kubernetes status of the grant {}: {} bindings, {}",
        key.name, grant["status"]["bindings"], grant["status"]["conditions"][0]["reason"],
    ));
    shared.count("status of a grant");
    let now = shared.time.now();
    let uid = grant["metadata"]["uid"].to_string();
    let mut books = judge.books();
    let before = books.told.insert((process.number, uid), now);
    // A write of a process that was stopped leaves it when it goes on, long after it was due.
    let went_on = books.went_on.get(&process.replica).copied();
    drop(books);
    if went_on.is_some_and(|at| now.duration_since(at) < SETTLES) {
        return;
    }
    if before.is_some_and(|before| now.duration_since(before) < SETTLES) {
        let what = format!("the status of {} was written twice within 30 s", key.name);
        shared.violated(TOLD, what);
    }
}

/// At the end each grant says how many bindings it covers, and of which generation that is.
pub(crate) fn tell_what_they_cover(shared: &Shared) {
    if !shared.requires_grants {
        return;
    }
    let (grants, namespaces) = (
        shared.cluster.all(Kind::Grant),
        shared.cluster.all(Kind::Namespace),
    );
    let bindings = shared.cluster.bindings();
    for grant in &grants {
        let only = std::slice::from_ref(grant);
        let covers = |it: &&WorkloadIdentityBinding| {
            covered(only, &namespaces, account(it), identity_id(it))
        };
        let expected = bindings.iter().filter(covers).count();
        let (status, name) = (&grant["status"], &grant["metadata"]["name"]);
        if status["bindings"] != expected
            || status["observedGeneration"] != grant["metadata"]["generation"]
        {
            let what = format!("{name} covers {expected} bindings, and its status says {status}");
            shared.violated(TOLD, what);
        }
    }
}
