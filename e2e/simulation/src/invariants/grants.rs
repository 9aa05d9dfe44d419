//! Nothing is made without a grant, and nothing stays without one.

use std::time::Duration;

use azure_simulator::core::http::Request;
use azwib_crds::WorkloadIdentityBinding;
use jiff::SignedDuration;

use super::books::Judge;
use crate::bindings::{account, identity_id};
use crate::caller::Caller;
use crate::grants::{covered, longest_without};
use crate::kubernetes::Kind;
use crate::names::our_name;
use crate::requests::{credential_of, identity_of, operation};
use crate::shared::Shared;

/// No credential is written without a grant in the moment of sending, and none of ours stays without one.
pub const GRANTED: &str = "nothing-without-a-grant";

/// What a process was shown so short a time ago it may not have read yet.
const READING: SignedDuration = SignedDuration::from_millis(50);

/// A gap that is shorter costs nobody anything; some of it the watch may add.
const SHORT: Duration = Duration::from_secs(4);

/// Whether the binding was without a grant for long enough that it may have lost Ready.
pub(super) fn was_without(shared: &Shared, binding: &WorkloadIdentityBinding) -> bool {
    shared.requires_grants && without(shared, binding) >= SHORT
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
        let shown = books.shown.entry((process.number, kind)).or_default();
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
    let at = |kind| versions(judge, process, kind);
    let (grants, namespaces) = (at(Kind::Grant), at(Kind::Namespace));
    let allowed = grants.iter().any(|grants| {
        let grants = shared.cluster.at_version(Kind::Grant, *grants);
        namespaces.iter().any(|namespaces| {
            let namespaces = shared.cluster.at_version(Kind::Namespace, *namespaces);
            covered(&grants, &namespaces, (&namespace, &account), &identity)
        })
    });
    if !allowed {
        let what = format!("{name} was written, and no grant covers {namespace}/{account}");
        shared.violated(GRANTED, what);
    }
}

/// What a process may go by: the last version that it was shown some time ago, and what it was shown since.
fn versions(judge: Judge<'_>, process: &Caller, kind: Kind) -> Vec<u64> {
    let now = judge.shared.time.now();
    let books = judge.books();
    let shown = books.shown.get(&(process.number, kind));
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
