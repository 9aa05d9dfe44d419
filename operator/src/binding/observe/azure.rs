//! Reads what is in Azure: the identity and its credentials, as fresh as their use asks for.

use std::sync::Arc;
use std::time::Duration;

use azwib_crds::{ResolvedIdentity, WorkloadIdentityBinding};

use super::reader::{Reader, Unread};
use crate::azure::ListedCredential;
use crate::binding::context::Context;
use crate::binding::credential::applicants::credential_reason;
use crate::binding::credential::record::{acknowledged, recorded_identity};
use crate::binding::credential::write::LISTING_FOR_WRITES;
use crate::binding::error::Error;
use crate::binding::status::reason::{ConditionType, Persistence, Reason};
use crate::binding::status::{was_good, was_ready};
use crate::binding::validate::Desired;
use crate::kubeutil::conditions::{ConditionStatus, find};
use crate::ledger::decide::is_met;
use crate::ledger::{BindingRef, Freshness, Ledger};
use crate::runtime::deliberate::Bug;

/// A binding that was never Ready on an identity uses no older read of it: the identity may have been made again since, and its client id
/// would be a dead one. One read still serves all bindings that come together.
pub const IDENTITY_FOR_NEWCOMERS: Duration = Duration::from_secs(30);

/// A listing that shows no free slot is believed this long: while a binding waits for a slot, a new listing is made every minute.
const LISTING_WITHOUT_SLOT: Duration = Duration::from_secs(55);

/// What is in Azure.
pub struct InAzure {
    pub identity: ResolvedIdentity,
    /// A listing that failed stops the credential, not the account.
    pub listing: Result<Vec<ListedCredential>, Error>,
}

/// Reads the identity and its credentials; writes nothing.
pub async fn in_azure(
    binding: &WorkloadIdentityBinding,
    desired: &Desired,
    ctx: &Context,
) -> Result<InAzure, Error> {
    let ledger = ctx.ledgers.of(&desired.identity);
    let Unread { identity, error } = match read(binding, &ledger, desired, ctx).await {
        Ok((identity, listing)) => {
            return Ok(InAzure {
                identity,
                listing: Ok(listing),
            });
        }
        Err(unread) => unread,
    };
    let identity = match (identity, recorded_identity(binding)) {
        (Some(identity), _) => identity,
        // A good binding's account is looked after on the word of its status, unless others have seen since that the
        // identity was made again: each would put its own client id back. One that is not Ready needs a read.
        (None, Some(recorded))
            if was_good(binding.status.as_ref(), desired)
                && error.is_disturbance()
                && ledger
                    .has_client_id(&recorded.client_id)
                    .unwrap_or(was_ready(binding, desired) || Bug::DeadClientIdKept.is_on()) =>
        {
            recorded
        }
        (None, _) => return Err(error),
    };
    Ok(InAzure {
        identity,
        listing: Err(error),
    })
}

/// The identity and its credentials, as fresh as their use asks for.
async fn read(
    binding: &WorkloadIdentityBinding,
    ledger: &Arc<Ledger>,
    desired: &Desired,
    ctx: &Context,
) -> Result<(ResolvedIdentity, Vec<ListedCredential>), Unread> {
    let reader = Reader {
        who: &BindingRef::of(binding),
        ledger,
        id: &desired.identity,
        ctx,
    };
    let is_newcomer = is_unobserved(binding);
    // A newcomer takes nothing old in any case.
    let requested = ctx.requests.of(binding).filter(|_| !is_newcomer);
    let fresh = |max_age| {
        Freshness::within(max_age)
            .as_requested(requested)
            .of_newcomer(is_newcomer)
    };
    let resync = fresh(if waits_for_slot(binding) && Bug::FullForEver.is_on() {
        Duration::MAX
    } else {
        ctx.settings.resync_period
    });
    // Also where its credential stands: the identity may have been made again before its account was ever made.
    let identity = if was_ready(binding, desired) || Bug::OldSuccessTrusted.is_on() {
        resync
    } else {
        resync.and_within(IDENTITY_FOR_NEWCOMERS)
    };
    let failed = failed_for_want_of_change(binding, ConditionType::IdentityResolved);
    let identity = reader.identity(identity.of_known_failure(failed)).await?;
    let earlier = acknowledged(binding, desired, &identity, ctx.clock.now());
    let listing = reader.listing(&identity, resync, earlier).await?;
    if is_met(&desired.credential, &listing.credentials) {
        return Ok((identity, listing.credentials));
    }
    if !was_good(binding.status.as_ref(), desired) {
        let max_age = fresh(listing_before_a_write(binding));
        let listing = reader.listing(&identity, max_age, None).await?;
        return Ok((identity, listing.credentials));
    }
    // A credential that was good and now is not there: the identity may have gone with it, and one read proves little.
    // Both are asked for again before anything is concluded.
    let again = fresh(LISTING_FOR_WRITES).and_newer_than(Some(listing.asked));
    let identity = reader.identity(again).await?;
    let listing = reader.listing(&identity, again, None).await?;
    Ok((identity, listing.credentials))
}

/// How old a listing may be that a write follows from.
fn listing_before_a_write(binding: &WorkloadIdentityBinding) -> Duration {
    if !waits_for_slot(binding) {
        LISTING_FOR_WRITES
    } else if Bug::FullForEver.is_on() {
        Duration::MAX
    } else {
        LISTING_WITHOUT_SLOT
    }
}

/// Whether nothing was ever said of the binding.
fn is_unobserved(binding: &WorkloadIdentityBinding) -> bool {
    let status = binding.status.as_ref();
    status.is_none_or(|status| status.observed_generation < 0)
}

/// Whether status says that this step failed for something that has to change first: another try is a repeat.
fn failed_for_want_of_change(binding: &WorkloadIdentityBinding, step: ConditionType) -> bool {
    let status = binding.status.as_ref();
    let condition = status.and_then(|status| find(&status.conditions, step.as_str()));
    condition
        .filter(|it| it.status == ConditionStatus::False.as_str())
        .and_then(|it| Reason::named(&it.reason))
        .is_some_and(|reason| reason.persistence() != Persistence::Heals)
}

fn waits_for_slot(binding: &WorkloadIdentityBinding) -> bool {
    credential_reason(binding) == Some(Reason::CredentialLimitReached)
}
