//! What a binding goes by that was not Ready before, and what comes for those that wait for it.

use azure_simulator::core::http::Request;
use azwib_crds::WorkloadIdentityBinding;
use jiff::{SignedDuration, Timestamp};

use super::books::Judge;
use crate::bindings::{condition, is_ready};
use crate::requests::{identity_of, operation};

/// Who becomes Ready does so with a client id that the identity has.
pub const CLIENT_ID_KNOWN: &str = "who-becomes-ready-knows-the-client-id";
/// What a binding waits for is looked for every minute, however long it has waited.
pub const ARRIVAL_SEEN: &str = "what-is-waited-for-is-looked-for";

/// How old a read of the identity may be in the moment in which Ready is written: half a minute as it is taken, and what a
/// credential takes until it is there, its propagation with it.
const READ_BEFORE: SignedDuration = SignedDuration::from_secs(130);

/// An identity is being asked for, or has been seen.
pub(super) fn asked(judge: Judge<'_>, request: &Request) {
    let shared = judge.shared;
    if operation(request) == "GET" {
        let (identity, now) = (identity_of(request), shared.time.now());
        judge.books().newcomers.read.insert(identity, now);
    }
}

/// Judges a status whose binding was not Ready before.
pub(super) fn became_ready(judge: Judge<'_>, binding: &WorkloadIdentityBinding) {
    let shared = judge.shared;
    let status = binding.status.as_ref();
    let Some(identity) = status.and_then(|it| it.identity.as_ref()) else {
        return;
    };
    let provided = condition(binding, "CredentialReady").is_some_and(|it| it.reason != "InPlace");
    if !is_ready(binding) || provided {
        return;
    }
    let uid = binding.metadata.uid.clone().unwrap_or_default();
    if !judge.books().newcomers.ready.insert(uid) {
        return;
    }
    let ended = judge
        .books()
        .newcomers
        .ended
        .get(&identity.client_id)
        .copied();
    let now = shared.time.now();
    if let Some(ended) = ended.filter(|ended| *ended + READ_BEFORE < now) {
        let metadata = &binding.metadata;
        let what = format!(
            "{:?}/{:?} has become Ready with {}, which is none since {ended}",
            metadata.namespace, metadata.name, identity.client_id
        );
        shared.violated(CLIENT_ID_KNOWN, what);
    }
}

/// Judges what a binding waits for, which has been there since then.
pub(super) fn came(judge: Judge<'_>, identity: &str, since: Timestamp) {
    let shared = judge.shared;
    let pages = judge.books();
    // Azure may want to be left alone, and a process that has just begun has other things to do.
    if !pages.is_left_to_itself(identity, since) {
        return;
    }
    let seen = pages.newcomers.was_read_since(identity, since);
    drop(pages);
    shared.count("identity arrived");
    if !seen {
        shared.violated(
            ARRIVAL_SEEN,
            format!("nobody has asked for {identity} since {since}"),
        );
    }
}
