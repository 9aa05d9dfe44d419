//! Puts a binding in its place among those who write to its identity: behind what an earlier process may have sent, and behind
//! a deletion of its credential. What a pass tells the ledger besides, it tells by its reads and writes.

use azwib_crds::{CredentialOrigin, WorkloadIdentityBinding};

use super::context::Context;
use super::credential::applicants::applicant;
use super::credential::record::record;
use super::observe::InAzure;
use super::validate::Desired;
use crate::ledger::NotNow;
use crate::runtime::deliberate::Bug;

/// Before anything is read: an earlier process may have sent what status records as pending, a moment before it ended. A
/// listing that shows it settles that.
pub(super) fn behind_earlier_process(
    binding: &WorkloadIdentityBinding,
    desired: &Desired,
    ctx: &Context,
) {
    if let Some(pending) = record(binding, desired, CredentialOrigin::Pending) {
        let ledger = ctx.ledgers.of(&desired.identity);
        ledger.take_note_of_pending(&pending.name, desired.credential.content());
    }
}

/// Once Azure was read: an older binding of the same account and identity may be on its way out, and its credential with it.
/// Then this one waits for that, whatever was listed, and is woken after it. Where the deletion was sent and nobody knows what
/// became of it, who does not have the credential yet does not count on it either. Nor does it count on what it has no record of in the first
/// settle time of a process.
pub(super) fn behind_deletion(
    binding: &WorkloadIdentityBinding,
    desired: &Desired,
    in_azure: InAzure,
    ctx: &Context,
) -> InAzure {
    let ledger = ctx.ledgers.of(&desired.identity);
    let writer = || applicant(binding, desired.credential.clone()).writer();
    let name = &desired.credential.name;
    if in_azure.listing.is_err() {
        return in_azure;
    }
    let has_it = record(binding, desired, CredentialOrigin::Created).is_some();
    let is_unrecorded = !has_it && record(binding, desired, CredentialOrigin::Pending).is_none();
    let is_listed = in_azure.listing.as_ref().is_ok_and(|listing| {
        let mut listed = listing.iter();
        listed.any(|it| it.name.eq_ignore_ascii_case(name.as_str()))
    });
    // What an earlier process has deleted a moment before it ended may be shown for a while, and what it was deleting may go.
    let shown_late = ledger
        .earlier_settles_in()
        .filter(|_| is_unrecorded && is_listed);
    let not_now = if ledger.awaits_deletion(&writer(), name) {
        Some(NotNow::UnderWay)
    } else {
        let settles_in = ledger.deletion_settles_in(name.as_str());
        let settles_in = settles_in.filter(|_| !has_it).or(shown_late);
        let settles_in = settles_in.filter(|_| !Bug::CountsOnWhatGoes.is_on());
        settles_in.map(|settles_in| NotNow::Unsettled { settles_in })
    };
    match not_now {
        Some(not_now) => InAzure {
            listing: Err(not_now.into()),
            ..in_azure
        },
        None => in_azure,
    }
}
