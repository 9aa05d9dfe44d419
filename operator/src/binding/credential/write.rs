//! The credential: a place among those who write to the identity, the record, the write, and why one was refused.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use azwib_crds::{CredentialOrigin, RecordedCredential, ResolvedIdentity, WorkloadIdentityBinding};

use kube::ResourceExt;

use crate::azure::{AzureError, AzureErrorKind, ListedCredential};
use crate::binding::applied::{Applied, AppliedCredential};
use crate::binding::changes::Changed;
use crate::binding::context::Context;
use crate::binding::error::{Error, Failure, Wait};
use crate::binding::grants::quota::counted;
use crate::binding::read_only::withhold;
use crate::binding::status;
use crate::binding::status::reason::ConditionType;
use crate::binding::write_status::write_status;
use crate::grant::QuotaReached;
use crate::ledger::decide::{Applicant, Decision, Precedence, Refusal, Situation, decide};
use crate::ledger::{BindingRef, Freshness, Ledger, Look, Operation, Place, ReadError, Turn};
use crate::runtime::deliberate::Bug;

/// A listing that a write is decided on is no older than this.
pub const LISTING_FOR_WRITES: Duration = Duration::from_secs(30);

/// An applicant on an identity, among the others on it.
pub(in crate::binding) struct AmongApplicants {
    pub(in crate::binding) applicant: Applicant,
    pub(in crate::binding) applicants: Vec<Arc<Applicant>>,
    pub(in crate::binding) identity: ResolvedIdentity,
}

impl AmongApplicants {
    pub(in crate::binding) fn recorded(&self, origin: CredentialOrigin) -> RecordedCredential {
        let desired = &self.applicant.credential;
        RecordedCredential {
            name: desired.name.to_string(),
            resource_id: self.identity.resource_id.clone(),
            id: None,
            issuer: desired.issuer.to_string(),
            subject: desired.subject.to_string(),
            audience: desired.audience.to_string(),
            origin,
        }
    }

    pub(in crate::binding) fn adopted(&self, name: String) -> RecordedCredential {
        RecordedCredential {
            name,
            ..self.recorded(CredentialOrigin::Adopted)
        }
    }

    fn decide(
        &self,
        listing: &[ListedCredential],
        promised: &BTreeSet<String>,
        ctx: &Context,
    ) -> Decision {
        let situation = Situation {
            listing,
            applicants: &self.applicants,
            promised,
            limit: ctx.settings.credential_limit,
        };
        decide(&self.applicant, &situation)
    }
}

/// What came of the wish to write.
pub(in crate::binding) enum Taken {
    Place(Place),
    /// The credential meanwhile stands as desired.
    InPlace(RecordedCredential),
}

/// Takes a place among those who write to the identity and decides again from a listing that no write of ours can have
/// outdated since: one that is under way has its slot.
pub(in crate::binding) async fn take_place(
    ledger: &Arc<Ledger>,
    among: &AmongApplicants,
    ctx: &Context,
) -> Result<Taken, Error> {
    let name = &among.applicant.credential.name;
    withhold(
        ConditionType::CredentialReady,
        || {
            format!(
                "write the federated identity credential {name} of {}",
                ledger.id()
            )
        },
        ctx,
    )?;
    let writer = among.applicant.writer();
    let mut place = ledger.place(&writer, Operation::Put).await?;
    let listing = ledger
        .listing(writer.binding(), Freshness::within(LISTING_FOR_WRITES))
        .await
        .map_err(|error| unlisted(error, ledger))?;
    let listed = (&*listing.credentials, &*among.applicants);
    let counted = counted(&among.applicant, ledger.id(), listed, ctx);
    let decision = place.decide(&among.applicant.credential, |promised| {
        let decision = among.decide(&listing.credentials, &promised.names, ctx);
        if let (Decision::Create, Some(counted)) = (&decision, &counted) {
            counted.check(&promised.subjects)?;
        }
        Ok::<_, QuotaReached>(decision)
    })?;
    match decision {
        Decision::Keep => Ok(Taken::InPlace(among.recorded(CredentialOrigin::Created))),
        Decision::Adopt { name } => Ok(Taken::InPlace(among.adopted(name))),
        Decision::Create | Decision::Update => {
            let look = if among.applicant.standing == Precedence::Refused {
                Look::Repeat
            } else {
                Look::First
            };
            place.admit(look)?;
            Ok(Taken::Place(place))
        }
        Decision::Refuse(refusal) => {
            drop(place);
            Err(refused(refusal, ledger, &among.applicant))
        }
    }
}

/// Why an applicant gets nothing; where that is for want of a slot, the binding is woken when there may be one. Not so where
/// Azure has refused the credential for a reason of its own and there is a slot: it is tried at its own pace. Applicants that are
/// refused would wake one another for ever, and keep their identity throttled.
pub(in crate::binding) fn refused(
    refusal: Refusal,
    ledger: &Arc<Ledger>,
    applicant: &Applicant,
) -> Error {
    let is_limit = matches!(refusal, Refusal::LimitReached { .. });
    let is_put_off = applicant.standing == Precedence::Refused && refusal.leaves_slot_to_others();
    if is_limit && !is_put_off {
        let all_in_use = matches!(refusal, Refusal::LimitReached { before: false, .. });
        ledger.wait_for_slot(applicant, all_in_use);
    }
    refusal.into()
}

fn unlisted(error: ReadError, ledger: &Ledger) -> Error {
    match error {
        ReadError::Azure { source, again } => Failure::ListCredentials {
            identity: ledger.id().to_string(),
            source,
            again,
        }
        .into(),
        ReadError::NotNow(why) => why.into(),
    }
}

/// Writes to status which credential is about to be sent, with the resourceVersion that was read.
///
/// It fails for a binding that has changed or is gone, so a stale view of the cluster cannot make a credential; and
/// whatever happens afterwards, cleanup knows what to look for. It is sent even where it changes nothing.
pub(in crate::binding) async fn record(
    among: &AmongApplicants,
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
) -> Result<WorkloadIdentityBinding, Error> {
    let status = status::recording(
        binding,
        &among.identity,
        among.recorded(CredentialOrigin::Pending),
        &ctx.settled(),
        &ctx.moment(Duration::ZERO),
    );
    // From here on the credential may change: until a look shows it again, it does not count as known good.
    ctx.known_good.forget(&binding.uid().unwrap_or_default());
    let written = write_status(binding, status.clone(), ctx).await?;
    // From now on status knows the identity as it is.
    ctx.events.identity_replaced(binding, &status);
    Ok(written)
}

pub(in crate::binding) async fn put(
    turn: Turn,
    among: &AmongApplicants,
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
    (may_go, applied): (impl Fn() -> bool + Send + Sync + 'static, &mut Applied),
) -> Result<(), Error> {
    let (ledger, desired) = (Arc::clone(turn.ledger()), &among.applicant.credential);
    match turn.put(&desired.name, &desired.content(), may_go).await {
        Ok(None) => Err(Wait::GrantGone.into()),
        Ok(Some(_)) => {
            ctx.changes.note(Changed::Credential);
            applied.credential =
                AppliedCredential::InPlace(among.recorded(CredentialOrigin::Created));
            Ok(())
        }
        Err(source) => {
            if source.outcome_unknown() && !Bug::RecordWithdrawn.is_on() {
                applied.credential = AppliedCredential::Unknown;
            }
            Err(explain(source, &ledger, among, binding, ctx).await)
        }
    }
}

/// Why Azure refused a write, from a read after it: other writers are faster, and some codes leave it open.
async fn explain(
    source: AzureError,
    ledger: &Arc<Ledger>,
    among: &AmongApplicants,
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
) -> Error {
    let identity = ledger.id().to_string();
    let who = BindingRef::of(binding);
    match source.kind() {
        AzureErrorKind::Refused
        | AzureErrorKind::AccessDenied
        | AzureErrorKind::Conflict
        | AzureErrorKind::IssuerSubjectExists => {
            match ledger.listing(&who, Freshness::now()).await {
                Ok(listing) => {
                    if let Decision::Refuse(refusal) =
                        among.decide(&listing.credentials, &ledger.promised(), ctx)
                    {
                        return refused(refusal, ledger, &among.applicant);
                    }
                }
                // The listing cannot be made now, and Azure's pace might never let it be made: another try would meet the same. So what
                // Azure has said is reported.
                Err(ReadError::NotNow(_)) => {}
                // Whether there was no slot is not known, and so not what to say: the next pass finds out.
                Err(error) => return unlisted(error, ledger),
            }
        }
        AzureErrorKind::ParentNotFound => {
            if let Err(ReadError::Azure { source, again }) =
                ledger.identity(&who, Freshness::now()).await
            {
                return Error::from(Failure::ReadIdentity {
                    identity,
                    source,
                    again,
                });
            }
        }
        _ => {}
    }
    Error::from(Failure::WriteCredential {
        identity,
        name: among.applicant.credential.name.clone(),
        source,
    })
}
