//! Reads what is there: the identity and its credentials in Azure, the account and its other bindings in the cluster.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use azwib_crds::{
    CredentialOrigin, ManagedIdentityId, ResolvedIdentity, WorkloadIdentityBinding,
    WorkloadIdentityBindingStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::Context;
use super::account::api::account;
use super::account::{AccountBinding, ExistingAccount, account_bindings};
use super::credential::applicants::{applicant, credential_reason};
use super::credential::duplicates::{OlderDuplicate, older_duplicate};
use super::credential::orphans::orphans;
use super::credential::record::{acknowledged, content_of, record, recorded_identity, resolved};
use super::credential::write::LISTING_FOR_WRITES;
use super::error::Error;
use super::index::readable;
use super::status::believed::without_other_issuers;
use super::status::reason::{ConditionType, Persistence, Reason};
use super::validate::{Desired, Error as InvalidBinding, service_account_name, validate};
use crate::azure::{AzureErrorKind, Identity, ListedCredential, safe_line};
use crate::kubeutil::conditions::{ConditionStatus, find, is_true};
use crate::ledger::decide::{Applicant, front_of_line, is_met};
use crate::ledger::{BindingRef, Freshness, Ledger, Listing, NotNow, ReadError};
use crate::runtime::deliberate::Bug;

/// A binding that was never Ready on an identity uses no older read of it: the identity may have been made again since, and its client id
/// would be a dead one. One read still serves all bindings that come together.
const IDENTITY_FOR_NEWCOMERS: Duration = Duration::from_secs(30);

/// A listing that shows no free slot is believed this long: while a binding waits for a slot, a new listing is made every minute.
const LISTING_WITHOUT_SLOT: Duration = Duration::from_secs(55);

/// What one pass found.
pub struct Observed {
    pub identity: ResolvedIdentity,
    /// Names of the credentials that others are about to create on the identity.
    pub promised: BTreeSet<String>,
    /// A listing that failed stops the credential, not the account.
    pub listing: Result<Vec<ListedCredential>, Error>,
    /// The claim of this binding among those on the identity.
    pub applicant: Applicant,
    pub applicants: Vec<Arc<Applicant>>,
    pub account: Option<ExistingAccount>,
    /// The bindings that count for the account, this one included.
    pub account_bindings: Vec<AccountBinding>,
    /// An older binding with the same account and identity.
    pub older_duplicate: Option<OlderDuplicate>,
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
    if let Some(pending) = record(binding, desired, CredentialOrigin::Pending) {
        ledger.take_note_of_pending(&pending.name, desired.claim.content());
    }
    let (identity, listing) = match azure(binding, &ledger, desired, good, ctx).await {
        Ok((identity, listing)) => (identity, Ok(listing)),
        Err(Unread { identity, error }) => match (identity, recorded_identity(binding)) {
            (Some(identity), _) => (identity, Err(error)),
            // A good binding's account is looked after on the word of its status, unless others have seen since that the
            // identity was made again: each would put its own client id back. One that is not Ready needs a read.
            (None, Some(recorded))
                if good
                    && error.is_disturbance()
                    && ledger
                        .has_client_id(&recorded.client_id)
                        .unwrap_or(is_ready(binding, good) || Bug::DeadClientIdKept.is_on()) =>
            {
                (recorded, Err(error))
            }
            (None, _) => return Err(error),
        },
    };
    let applicant = applicant(binding, desired.claim.clone());
    // An older binding of the same account and identity may be on its way out, and its credential with it.
    let listing = match listing {
        Ok(_) if ledger.awaits_deletion(&applicant.writer(), &desired.claim.name) => {
            Err(NotNow::UnderWay.into())
        }
        listing => listing,
    };
    // Who else wants a slot matters to a claim that needs one.
    let met = listing
        .as_ref()
        .is_ok_and(|listing| is_met(&desired.claim, listing));
    let applicants = if met {
        vec![]
    } else {
        applicants(&ledger, ctx)
    };
    let account = account(&desired.namespace, &desired.service_account, ctx).await?;
    let bindings_of_account = ctx.bindings_of_account(&desired.namespace, &desired.service_account);
    let account_bindings = account_bindings(binding, &identity, &bindings_of_account);
    let older_duplicate = older_duplicate(
        binding,
        &desired.identity,
        &bindings_of_account,
        &ctx.settings.defaults,
    );
    Ok(Observed {
        promised: ledger.promised(),
        identity,
        listing,
        applicant,
        applicants,
        account,
        account_bindings,
        older_duplicate,
        credential_works: good && propagated(binding, ctx),
    })
}

/// The binding without records of other issuers, where the identity has a credential that is provably its own: then this
/// cluster has made it, and somebody has put another's status over it. None where it has no such records.
///
/// Where there is no such credential, it stays as it is: another issuer's record is all that is known. Where that cannot be
/// seen, a binding that this process has known to be good is as it was: a status that somebody else has written proves nothing.
pub async fn own_again(
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
) -> Result<Option<WorkloadIdentityBinding>, Error> {
    let defaults = &ctx.settings.defaults;
    let changed = match validate(binding, defaults) {
        Err(changed @ InvalidBinding::IssuerChanged { .. }) => changed,
        _ => return Ok(None),
    };
    let Some(own) = without_other_issuers(binding, &defaults.issuer) else {
        return Err(changed.into());
    };
    let desired = validate(&own, defaults)?;
    let known = as_known(binding, &desired, ctx).await;
    let ledger = ctx.ledgers.of(&desired.identity);
    let freshness = Freshness::within(ctx.settings.resync_period);
    let listing = match ledger.listing(&BindingRef::of(binding), freshness).await {
        Ok(listing) => listing,
        Err(_) if known.is_some() => return Ok(known),
        // Whoever reads it now wakes this one.
        Err(ReadError::NotNow(why @ NotNow::UnderWay)) => {
            return Err(Error::NotNow {
                step: ConditionType::CredentialReady,
                reading: true,
                why,
            });
        }
        Err(_) => return Err(changed.into()),
    };
    let (name, wanted) = (desired.claim.name.as_str(), desired.claim.content());
    let stands = listing.credentials.iter().any(|credential| {
        credential.name.eq_ignore_ascii_case(name)
            && credential.content.as_ref().is_some_and(|content| {
                content.issuer == wanted.issuer && content.subject == wanted.subject
            })
    });
    if stands {
        tracing::warn!(
            binding = binding.name_any(),
            namespace = desired.namespace,
            changed = safe_line(&changed.to_string()),
            "a record of another issuer is forgotten: the identity has the credential of this cluster"
        );
        Ok(Some(known.unwrap_or(own)))
    } else {
        Err(changed.into())
    }
}

/// A binding that this process has known to be good, as it was then, where its status does not say that it is: somebody else
/// has written that. None where nothing of the kind is known, as for a binding that is as it was left.
pub async fn as_known_good(
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
) -> Option<WorkloadIdentityBinding> {
    let desired = validate(binding, &ctx.settings.defaults).ok()?;
    if is_ready(binding, was_good(binding, &desired)) {
        return None;
    }
    as_known(binding, &desired, ctx).await
}

async fn as_known(
    binding: &WorkloadIdentityBinding,
    desired: &Desired,
    ctx: &Context,
) -> Option<WorkloadIdentityBinding> {
    let known = ctx.known_good.as_known(binding, desired)?;
    Some(without_missing_account(&known, ctx).await.into_owned())
}

/// The binding without its account and the step of that, where status tells of them and there is no such account: neither is
/// copied by a pass which does not come to the account.
pub async fn without_missing_account<'a>(
    binding: &'a WorkloadIdentityBinding,
    ctx: &Context,
) -> Cow<'a, WorkloadIdentityBinding> {
    let step = ConditionType::ServiceAccountReady.as_str();
    let status = binding.status.as_ref();
    let tells = |status: &WorkloadIdentityBindingStatus| {
        status.service_account.is_some() || is_true(&status.conditions, step)
    };
    if !status.is_some_and(tells) || Bug::ForeignStatusBelieved.is_on() {
        return Cow::Borrowed(binding);
    }
    let namespace = binding.namespace().unwrap_or_default();
    match account(&namespace, &service_account_name(binding), ctx).await {
        Ok(None) => {}
        // Where that cannot be seen, it is as it was.
        Ok(Some(_)) | Err(_) => return Cow::Borrowed(binding),
    }
    let mut without = binding.clone();
    if let Some(status) = &mut without.status {
        status.service_account = None;
        let done = |it: &Condition| it.type_ == step && it.status == ConditionStatus::True.as_str();
        status.conditions.retain(|it| !done(it));
    }
    Cow::Owned(without)
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
    let identity = if is_ready(binding, good) || Bug::OldSuccessTrusted.is_on() {
        resync
    } else {
        resync.and_within(IDENTITY_FOR_NEWCOMERS)
    };
    let failed = failed_for_want_of_change(binding, ConditionType::IdentityResolved);
    let identity = reader.identity(identity.of_known_failure(failed)).await?;
    if let Some((credential, ago)) = acknowledged(binding, desired, &identity, ctx.clock.now()) {
        ledger.take_note_of_acknowledged(&credential.name, content_of(credential), ago);
    }
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
            Ok((identity, asked)) => {
                if self.ledger.is_news_of_identity(&identity, asked) {
                    wake_who_names_another(&identity, self.ledger, self.ctx);
                }
                Ok(resolved(self.desired.identity.to_string(), &identity))
            }
            Err(error) => Err(Unread {
                identity: None,
                error: match error {
                    ReadError::Azure { source, again } => Error::ReadIdentity {
                        identity: self.desired.identity.to_string(),
                        source,
                        again,
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
        let (source, again) = match self.ledger.listing(self.who, freshness).await {
            Ok(listing) => {
                if self.ledger.is_first_with_listing(listing.asked) {
                    log_orphans(&listing.credentials, self.ledger, self.ctx);
                }
                return Ok(listing);
            }
            Err(ReadError::Azure { source, again }) => (source, again),
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
                again,
            },
        })
    }
}

/// The claims at the front of the line of this ledger's identity, as many as a decision needs.
fn applicants(ledger: &Ledger, ctx: &Context) -> Vec<Arc<Applicant>> {
    let most = front_of_line(ctx.settings.credential_limit);
    let mut applicants = ctx.bindings.front_of_line(ledger.id(), most);
    applicants.retain(|it| {
        !Bug::LineForgottenAtRestart.is_on() || ctx.knows_of_failure(&it.rank.binding)
    });
    applicants
}

/// Has every binding looked at that names the identity by another client id: it was made again.
fn wake_who_names_another(identity: &Identity, ledger: &Ledger, ctx: &Context) {
    let bindings = ctx.bindings.of_identity(ledger.id());
    let client_id = identity.client_id.to_string();
    let named = readable(&bindings).filter(|binding| {
        let recorded = binding.status.as_ref().and_then(|it| it.identity.as_ref());
        binding.metadata.deletion_timestamp.is_none()
            && !binding.spec.suspend
            && recorded.is_some_and(|it| {
                it.client_id != client_id
                    && ManagedIdentityId::parse(&it.resource_id).is_ok_and(|id| id == *ledger.id())
            })
    });
    ledger.wake(named.map(BindingRef::of));
}

/// Tells, once for each change of them, of credentials that have lost their binding.
fn log_orphans(listing: &[ListedCredential], ledger: &Ledger, ctx: &Context) {
    let bindings = ctx.bindings.of_identity(ledger.id());
    let bindings: Vec<_> = readable(&bindings).collect();
    let unreadable = ctx.bindings.namespaces_with_unreadable();
    let orphans = orphans(
        listing,
        &ctx.settings.defaults.issuer,
        &bindings,
        &unreadable,
    );
    if ledger.is_news(&orphans) && !orphans.is_empty() {
        tracing::warn!(
            identity = %ledger.id(),
            count = orphans.len(),
            credentials = orphans.join(", "),
            "credentials of azwib that no binding has to do with any more, retained ones among them"
        );
    }
}

/// Whether nothing was ever said of the binding.
fn is_unobserved(binding: &WorkloadIdentityBinding) -> bool {
    let status = binding.status.as_ref();
    status.is_none_or(|status| status.observed_generation < 0)
}

/// Whether a binding whose credential is `good` is Ready. It keeps that through whatever does not let us look.
fn is_ready(binding: &WorkloadIdentityBinding, good: bool) -> bool {
    let status = binding.status.as_ref();
    good && status.is_some_and(|it| is_true(&it.conditions, ConditionType::Ready.as_str()))
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

fn propagated(binding: &WorkloadIdentityBinding, ctx: &Context) -> bool {
    let moment = ctx.moment(Duration::ZERO);
    binding.status.as_ref().is_some_and(|status| {
        super::status::propagation_left(&status.conditions, &moment).is_zero()
    })
}

/// Whether a binding that cannot be looked at is as its status says: it was good when last seen. One that is not Ready becomes so
/// only by a client id that this process has read: the identity may have been made again since.
pub fn is_as_last_seen(
    binding: &WorkloadIdentityBinding,
    desired: &Desired,
    ctx: &Context,
) -> bool {
    let good = was_good(binding, desired);
    let has_its_identity = || {
        let ledger = ctx.ledgers.of(&desired.identity);
        recorded_identity(binding)
            .is_some_and(|it| ledger.has_client_id(&it.client_id) == Some(true))
    };
    good && (is_ready(binding, good) || has_its_identity() || Bug::DeadClientIdKept.is_on())
}

/// Whether status records exactly what is desired, in a credential that was good when last seen.
fn was_good(binding: &WorkloadIdentityBinding, desired: &Desired) -> bool {
    binding
        .status
        .as_ref()
        .is_some_and(|status| super::status::records_good(status, desired))
}
