//! Reads what is there: the identity and its credentials in Azure, the account and its other bindings in the cluster.

use std::sync::Arc;
use std::time::Duration;

use azwib_crds::{
    CredentialOrigin, ManagedIdentityId, RecordedCredential, ResolvedIdentity,
    WorkloadIdentityBinding,
};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::{Api, ResourceExt};
use kube_runtime::reflector::ObjectRef;

use super::Context;
use super::account::Claimant;
use super::claims::{contender, contenders, credential_reason};
use super::context::readable;
use super::error::Error;
use super::orphans::orphans;
use super::reason::{ConditionType, Reason};
use super::validate::{Defaults, Desired, identity_id};
use crate::azure::{AzureErrorKind, Identity, ListedCredential};
use crate::ledger::plan::{Contender, is_met};
use crate::ledger::{BindingRef, Freshness, Ledger, Listing, NotNow, ReadError};
use crate::runtime::deliberate::Bug;

/// A listing that a write is decided on is no older than this.
pub const LISTING_FOR_WRITES: Duration = Duration::from_secs(10);

/// A listing that shows no slot is believed for so long: while somebody waits, there is a new one every minute.
const LISTING_WITHOUT_SLOT: Duration = Duration::from_secs(55);

/// What one pass found.
pub struct Observed {
    pub ledger: Arc<Ledger>,
    pub identity: ResolvedIdentity,
    /// A listing that failed stops the credential, not the account.
    pub listing: Result<Vec<ListedCredential>, Error>,
    /// The claim of this binding among those on the identity.
    pub contender: Contender,
    pub contenders: Vec<Contender>,
    pub account: Option<ObjectMeta>,
    /// The bindings that count for the account, this one included.
    pub claimants: Vec<Claimant>,
    /// An older binding with the same account and identity.
    pub older_twin: Option<String>,
    /// The credential was good when last seen, and had its propagation time.
    pub credential_works: bool,
}

/// Reads; writes nothing.
pub async fn observe(
    binding: &WorkloadIdentityBinding,
    desired: &Desired,
    ctx: &Context,
) -> Result<Observed, Error> {
    let ledger = ctx.ledgers.of(&desired.identity);
    let good = was_good(binding, desired);
    // An earlier process may have sent it a moment before it ended. A listing that shows it settles that.
    if pending_record(binding, desired).is_some() {
        ledger.take_note(desired.claim.name.as_str(), desired.claim.content());
    }
    let (identity, listing) = match azure(binding, &ledger, desired, good, ctx).await {
        Ok((identity, listing)) => (identity, Ok(listing)),
        Err(Unread { identity, error }) => match (identity, recorded_identity(binding)) {
            (Some(identity), _) => (identity, Err(error)),
            // A good binding's account is looked after on the word of its status.
            (None, Some(recorded)) if good && error.is_disturbance() => (recorded, Err(error)),
            (None, _) => return Err(error),
        },
    };
    let contender = contender(binding, desired.claim.clone());
    // An older binding of the same account and identity may be on its way out, and its credential with it.
    let listing = match listing {
        Ok(_) if ledger.awaits_deletion(&contender.applicant(), &desired.claim.name) => {
            Err(NotNow::UnderWay.into())
        }
        listing => listing,
    };
    // Who else wants a slot matters to a claim that needs one.
    let met = listing
        .as_ref()
        .is_ok_and(|listing| is_met(&desired.claim, listing));
    let contenders = if met {
        vec![]
    } else {
        contenders(&ledger, ctx)
    };
    let account = account(&desired.namespace, &desired.service_account, ctx).await?;
    let siblings = ctx.siblings(&desired.namespace, &desired.service_account);
    let claimants = claimants(binding, &identity, &siblings);
    let older_twin = older_twin(
        binding,
        &desired.identity,
        &siblings,
        &ctx.settings.defaults,
    );
    Ok(Observed {
        ledger,
        identity,
        listing,
        contender,
        contenders,
        account,
        claimants,
        older_twin,
        credential_works: good && propagated(binding, ctx),
    })
}

/// What could not be read, and the identity if that could.
struct Unread {
    identity: Option<ResolvedIdentity>,
    error: Error,
}

/// The identity and its credentials, as fresh as their use asks for.
async fn azure(
    binding: &WorkloadIdentityBinding,
    ledger: &Arc<Ledger>,
    desired: &Desired,
    good: bool,
    ctx: &Context,
) -> Result<(ResolvedIdentity, Vec<ListedCredential>), Unread> {
    let reader = Reader {
        who: &BindingRef::of(binding),
        ledger,
        desired,
        ctx,
    };
    let requested = ctx.fresh_reads_since(binding);
    // A moment is asked for with what was asked for at that moment included.
    let requested = requested.and_then(|since| since.checked_sub(Duration::from_nanos(1)));
    let fresh = |max_age| {
        Freshness::within(max_age)
            .and_newer_than(requested)
            .of_newcomer(binding.status.is_none() || is_unobserved(binding))
    };
    let resync = fresh(if waits_for_slot(binding) && Bug::FullForEver.is_on() {
        Duration::MAX
    } else {
        ctx.settings.resync_period
    });
    let identity = reader.identity(resync).await?;
    let listing = reader.listing(&identity, resync).await?;
    if is_met(&desired.claim, &listing.credentials) {
        return Ok((identity, listing.credentials));
    }
    if !good {
        let max_age = if waits_for_slot(binding) && Bug::FullForEver.is_on() {
            Duration::MAX
        } else if waits_for_slot(binding) {
            LISTING_WITHOUT_SLOT
        } else {
            LISTING_FOR_WRITES
        };
        let listing = reader.listing(&identity, fresh(max_age)).await?;
        return Ok((identity, listing.credentials));
    }
    // A credential that was good and now is not there: the identity may have gone with it, and one read proves little.
    // Both are asked for again before anything is concluded.
    let again = fresh(LISTING_FOR_WRITES).and_newer_than(Some(listing.asked));
    let identity = reader.identity(again).await?;
    let listing = reader.listing(&identity, again).await?;
    Ok((identity, listing.credentials))
}

/// Reads of one binding.
struct Reader<'a> {
    who: &'a BindingRef,
    ledger: &'a Arc<Ledger>,
    desired: &'a Desired,
    ctx: &'a Context,
}

impl Reader<'_> {
    async fn identity(&self, freshness: Freshness) -> Result<ResolvedIdentity, Unread> {
        match self.ledger.identity(self.who, freshness).await {
            Ok(identity) => Ok(resolved(self.desired, identity)),
            Err(error) => Err(Unread {
                identity: None,
                error: match error {
                    ReadError::Azure(source) => Error::ReadIdentity {
                        identity: self.desired.identity.to_string(),
                        source,
                    },
                    ReadError::NotNow(why) => Error::NotNow {
                        step: ConditionType::IdentityResolved,
                        reading: true,
                        why,
                    },
                },
            }),
        }
    }

    async fn listing(
        &self,
        identity: &ResolvedIdentity,
        freshness: Freshness,
    ) -> Result<Listing, Unread> {
        let source = match self.ledger.listing(self.who, freshness).await {
            Ok(listing) => {
                if listing.first_seen {
                    log_orphans(&listing.credentials, self.ledger, self.ctx);
                }
                return Ok(listing);
            }
            Err(ReadError::Azure(source)) => source,
            Err(ReadError::NotNow(why)) => {
                return Err(Unread {
                    identity: Some(identity.clone()),
                    error: Error::NotNow {
                        step: ConditionType::CredentialReady,
                        reading: true,
                        why,
                    },
                });
            }
        };
        if source.kind() == AzureErrorKind::ParentNotFound {
            // The identity was there when it was last read: is it still?
            self.identity(Freshness::now()).await?;
        }
        Err(Unread {
            identity: Some(identity.clone()),
            error: Error::ListCredentials {
                identity: self.desired.identity.to_string(),
                source,
            },
        })
    }
}

/// Tells, once for each listing, of credentials that have lost their binding.
fn log_orphans(listing: &[ListedCredential], ledger: &Ledger, ctx: &Context) {
    let bindings = ctx.bindings.of_identity(ledger.id());
    let bindings: Vec<_> = readable(&bindings).collect();
    let orphans = orphans(listing, &ctx.settings.defaults.issuer, &bindings);
    if !orphans.is_empty() {
        tracing::warn!(
            identity = %ledger.id(),
            count = orphans.len(),
            credentials = orphans.join(", "),
            "credentials of azwib that no binding has to do with any more, retained ones among them"
        );
    }
}

fn is_unobserved(binding: &WorkloadIdentityBinding) -> bool {
    binding
        .status
        .as_ref()
        .is_some_and(|status| status.observed_generation < 0)
}

fn waits_for_slot(binding: &WorkloadIdentityBinding) -> bool {
    credential_reason(binding) == Some(Reason::CredentialLimitReached)
}

fn pending_record<'a>(
    binding: &'a WorkloadIdentityBinding,
    desired: &Desired,
) -> Option<&'a RecordedCredential> {
    binding
        .status
        .as_ref()?
        .credentials
        .iter()
        .find(|credential| {
            credential.origin == CredentialOrigin::Pending
                && credential.name == desired.claim.name.as_str()
        })
}

fn recorded_identity(binding: &WorkloadIdentityBinding) -> Option<ResolvedIdentity> {
    binding.status.as_ref()?.identity.clone()
}

fn propagated(binding: &WorkloadIdentityBinding, ctx: &Context) -> bool {
    let moment = ctx.moment(Duration::ZERO);
    binding.status.as_ref().is_some_and(|status| {
        super::status::propagation_left(&status.conditions, &moment).is_zero()
    })
}

/// Whether status records exactly what is desired, in a credential that was good when last seen.
pub fn was_good(binding: &WorkloadIdentityBinding, desired: &Desired) -> bool {
    binding
        .status
        .as_ref()
        .is_some_and(|status| super::status::records_good(status, desired))
}

fn resolved(desired: &Desired, identity: Identity) -> ResolvedIdentity {
    ResolvedIdentity {
        resource_id: desired.identity.to_string(),
        client_id: identity.client_id.to_string(),
        principal_id: identity.principal_id,
        tenant_id: identity.tenant_id,
    }
}

/// The account's metadata from the watch; where it shows none, from the API server, so that an account that somebody
/// has just made is not taken for ours.
async fn account(
    namespace: &str,
    name: &str,
    ctx: &Context,
) -> Result<Option<ObjectMeta>, kube::Error> {
    let key = ObjectRef::<PartialObjectMeta<ServiceAccount>>::new(name).within(namespace);
    match ctx.accounts.get(&key) {
        Some(account) => Ok(Some(account.metadata.clone())),
        None => account_now(namespace, name, ctx).await,
    }
}

/// The account's metadata from the API server.
pub(super) async fn account_now(
    namespace: &str,
    name: &str,
    ctx: &Context,
) -> Result<Option<ObjectMeta>, kube::Error> {
    let accounts: Api<ServiceAccount> = Api::namespaced(ctx.client.clone(), namespace);
    let account = accounts.get_metadata_opt(name).await?;
    Ok(account.map(|account| account.metadata))
}

fn claimants(
    binding: &WorkloadIdentityBinding,
    identity: &ResolvedIdentity,
    siblings: &[WorkloadIdentityBinding],
) -> Vec<Claimant> {
    siblings
        .iter()
        .filter(|sibling| sibling.uid() != binding.uid())
        .filter_map(claimant)
        .chain([claimant_of(binding, identity)])
        .collect()
}

/// A binding that counts for its account; None while it is being deleted or its identity was never resolved.
pub fn claimant(binding: &WorkloadIdentityBinding) -> Option<Claimant> {
    if binding.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let identity = binding.status.as_ref()?.identity.as_ref()?;
    Some(claimant_of(binding, identity))
}

/// This binding as a claimant with that identity.
pub fn claimant_of(binding: &WorkloadIdentityBinding, identity: &ResolvedIdentity) -> Claimant {
    Claimant {
        name: binding.name_any(),
        uid: binding.uid().unwrap_or_default(),
        created: binding.creation_timestamp().map(|time| time.0),
        role: binding.spec.service_account.role,
        suspended: binding.spec.suspend,
        client_id: identity.client_id.clone(),
        tenant_id: identity.tenant_id.clone(),
        token_expiration_seconds: binding.spec.service_account.token_expiration_seconds,
        deletion_policy: binding.spec.deletion_policy,
    }
}

/// The oldest of the older bindings with the same account and identity: it alone makes the claim.
fn older_twin(
    binding: &WorkloadIdentityBinding,
    identity: &ManagedIdentityId,
    siblings: &[WorkloadIdentityBinding],
    defaults: &Defaults,
) -> Option<String> {
    let age = |binding: &WorkloadIdentityBinding| {
        (
            binding.creation_timestamp().map(|time| time.0),
            binding.name_any(),
        )
    };
    siblings
        .iter()
        .filter(|sibling| is_live_twin(sibling, binding.uid().as_deref(), identity, defaults))
        .map(age)
        .filter(|other| *other < age(binding) && !Bug::TwinsBothCount.is_on())
        .min()
        .map(|(_, name)| name)
}

/// Whether `sibling`, a binding of the same account, is another than the one with this UID, is for that identity, and is
/// not being deleted.
pub fn is_live_twin(
    sibling: &WorkloadIdentityBinding,
    uid: Option<&str>,
    identity: &ManagedIdentityId,
    defaults: &Defaults,
) -> bool {
    sibling.uid().as_deref() != uid
        && sibling.metadata.deletion_timestamp.is_none()
        && identity_id(&sibling.spec.identity, defaults).is_ok_and(|other| other == *identity)
}

#[cfg(test)]
mod tests;
