//! Puts a binding in its place among those who write to its identity: behind what an earlier process may have sent, and behind
//! a deletion of its credential. What a pass tells the ledger besides, it tells by its reads and writes.

use std::time::Duration;

use azwib_crds::{CredentialOrigin, WorkloadIdentityBinding};
use kube::ResourceExt;

use super::context::Context;
use super::credential::applicants::applicant;
use super::credential::record::record;
use super::observe::InAzure;
use super::validate::{Desired, service_account_name};
use crate::ledger::NotNow;

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
/// became of it, who does not have the credential yet does not count on it either. Nor does it in the first
/// settle time of a term count on what its status does not record, where a binding of its account has gone before that.
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
    let not_now = if ledger.awaits_deletion(&writer(), name) {
        Some(NotNow::UnderWay)
    } else {
        let settles_in = may_go(binding, desired, &in_azure, ctx);
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

/// How long a credential that was listed may still go, or be gone already, for a binding that does not have it yet.
fn may_go(
    binding: &WorkloadIdentityBinding,
    desired: &Desired,
    in_azure: &InAzure,
    ctx: &Context,
) -> Option<Duration> {
    let ledger = ctx.ledgers.of(&desired.identity);
    let name = desired.credential.name.as_str();
    if record(binding, desired, CredentialOrigin::Created).is_some() {
        return None;
    }
    let listing = in_azure.listing.as_ref().ok()?;
    let is_listed = listing.iter().any(|it| it.name.eq_ignore_ascii_case(name));
    let is_pending = record(binding, desired, CredentialOrigin::Pending).is_some();
    // What the leader before has deleted a moment before it ended may be listed for a while.
    let is_shown_late = || {
        let namespace = binding.namespace().unwrap_or_default();
        let account = service_account_name(binding);
        is_listed && !is_pending && ctx.bindings.has_lost_one(&namespace, &account)
    };
    let listed_late = ledger.earlier_settles_in().filter(|_| is_shown_late());
    if listed_late.is_some() {
        ledger.take_note_of_late_listings();
    }
    ledger.deletion_settles_in(name).or(listed_late)
}
