//! Nobody asks for a slot that has not been there for long.
//!
//! Azure's own refusal of one credential too many would hide a process that decides by an old listing; and where the
//! operator's limit is a lower one, nobody refuses.

use azure_simulator::core::Azure;
use azure_simulator::core::http::Request;
use jiff::SignedDuration;

use super::books::Judge;
use crate::caller::Caller;
use crate::names::short;
use crate::requests::Target;
use crate::shared::Shared;
use crate::trace::lock;

/// An identity never has more credentials than it may have.
pub const LIMIT: &str = "never-more-than-the-limit";
/// No new credential is sent on the word of an old listing.
pub const SLOT_SEEN: &str = "no-slot-on-the-word-of-an-old-listing";

/// How long a listing that a write is decided on may be outdated when that write is sent: it was asked for up to 30 s
/// before, a read lags by up to 15 s, and the write before it may take as long as a request may.
pub(super) const OUTDATED: SignedDuration = SignedDuration::from_secs(75);

/// Notes which identities are full: since when.
pub(super) fn look(judge: Judge<'_>, azure: &Azure) {
    let shared = judge.shared;
    let now = shared.time.now();
    let full: Vec<_> = azure
        .identities()
        .filter(|(_, identity)| identity.credentials.len() >= shared.limit)
        .map(|(id, _)| id.to_ascii_lowercase())
        .collect();
    let since = &mut judge.books().full_since;
    since.retain(|id, _| full.contains(id));
    for id in full {
        since.entry(id).or_insert(now);
    }
}

/// Azure's own limit holds.
pub(super) fn within_the_limit(shared: &Shared, azure: &Azure) {
    let limit = azure.settings().tunables.credential_limit;
    for (id, identity) in azure.identities() {
        if identity.credentials.len() > limit {
            shared.violated(
                LIMIT,
                format!("{} on {}", identity.credentials.len(), short(&id)),
            );
        }
    }
}

/// A new credential of ours stands, and so many there are with it.
///
/// Azure refuses what goes beyond its own limit. Beyond a lower one of the operator's nobody does, so this is the judge of
/// whether all are counted; somebody else may have been faster.
pub(super) fn created(judge: Judge<'_>, process: &Caller, identity: &str, used: usize) {
    let shared = judge.shared;
    let now = shared.time.now();
    let touched = judge.books().touched(identity);
    let others_were_faster = touched.is_some_and(|it| now.duration_since(it) <= OUTDATED);
    if used > shared.limit && !others_were_faster && !process.is_dead() {
        let what = format!(
            "{used} on {}, and {} are allowed",
            short(identity),
            shared.limit
        );
        shared.violated(LIMIT, what);
    }
}

/// A process is about to send a request.
pub(super) fn sent(judge: Judge<'_>, request: &Request) {
    if *request.method.as_str() != *"PUT" {
        return;
    }
    let shared = judge.shared;
    let target = Target::of(&lock(&shared.azure), request);
    if target.credential.is_some() {
        return;
    }
    let since = judge.books().full_since.get(&target.identity).copied();
    if let Some(since) = since
        && shared.time.now().duration_since(since) > OUTDATED
    {
        let what = format!(
            "{} is sent, and the identity has been full since {since}",
            short(&request.path)
        );
        shared.violated(SLOT_SEEN, what);
    }
}

/// Whether one of this name may have been in the listing that was decided on, with other content, and was removed by somebody
/// else since: an update needs no slot, and that it makes a credential anew nobody can know.
pub(super) fn stood_when_decided(judge: Judge<'_>, identity: &str, name: &str) -> bool {
    let shared = judge.shared;
    let removed = judge.books().removed(identity, name);
    removed.is_some_and(|at| shared.time.now().duration_since(at) <= OUTDATED)
}
