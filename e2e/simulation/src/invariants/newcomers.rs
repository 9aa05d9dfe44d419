//! What a binding goes by that was not Ready before, and what comes for those that wait for it.

use std::collections::{BTreeMap, BTreeSet};

use azure_simulator::core::http::Request;
use azwib_crds::WorkloadIdentityBinding;
use jiff::{SignedDuration, Timestamp};

use crate::bindings::{condition, is_ready};
use crate::requests::{identity_of, operation};
use crate::shared::Shared;
use crate::trace::lock;

/// Who becomes Ready does so with a client id that the identity has.
pub const CLIENT_ID_KNOWN: &str = "who-becomes-ready-knows-the-client-id";
/// What a binding waits for is looked for every minute, however long it has waited.
pub const ARRIVAL_SEEN: &str = "what-is-waited-for-is-looked-for";

/// How old a read of the identity may be in the moment in which Ready is written: half a minute as it is taken, and what a
/// credential takes until it is there, its propagation with it.
const READ_BEFORE: SignedDuration = SignedDuration::from_secs(130);

/// What is remembered of identities.
#[derive(Debug, Default)]
pub struct Newcomers {
    /// Since when a client id means nothing.
    ended: BTreeMap<String, Timestamp>,
    /// When an identity was last asked for, by its lower-cased id.
    read: BTreeMap<String, Timestamp>,
    /// Who has been Ready before, by UID: a good binding goes by a read that may be as old as a resync.
    ready: BTreeSet<String>,
}

impl Newcomers {
    pub fn ended(&mut self, client_id: String, now: Timestamp) {
        self.ended.insert(client_id, now);
    }

    pub fn was_read_since(&self, identity: &str, since: Timestamp) -> bool {
        let read = self.read.get(&identity.to_ascii_lowercase());
        read.is_some_and(|at| *at >= since)
    }
}

/// An identity is being asked for, or has been seen.
pub(super) fn asked(shared: &Shared, request: &Request) {
    if operation(request) == "GET" {
        let (identity, now) = (identity_of(request), shared.time.now());
        lock(&shared.books).newcomers.read.insert(identity, now);
    }
}

/// Judges a status whose binding was not Ready before.
pub(super) fn became_ready(shared: &Shared, binding: &WorkloadIdentityBinding) {
    let status = binding.status.as_ref();
    let Some(identity) = status.and_then(|it| it.identity.as_ref()) else {
        return;
    };
    let provided = condition(binding, "CredentialReady").is_some_and(|it| it.reason != "InPlace");
    if !is_ready(binding) || provided {
        return;
    }
    let uid = binding.metadata.uid.clone().unwrap_or_default();
    if !lock(&shared.books).newcomers.ready.insert(uid) {
        return;
    }
    let ended = lock(&shared.books)
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
