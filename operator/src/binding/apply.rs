//! Writes: the record, the ServiceAccount, the credential, in this order.

use std::collections::BTreeSet;
use std::sync::Arc;

use azwib_crds::{
    CredentialOrigin, RecordedCredential, ResolvedIdentity, ServiceAccountStatus,
    WorkloadIdentityBinding, WorkloadIdentityBindingStatus,
};
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use super::account::AccountConfiguration;
use super::error::Error;
use super::observe::LISTING_FOR_WRITES;
use super::plan::{AccountStep, CredentialStep, Plan};
use super::service_account::{ServiceAccountError, apply_account};
use super::validate::Desired;
use super::{Context, status};
use crate::azure::{AzureError, AzureErrorKind, ListedCredential};
use crate::kubeutil::FIELD_MANAGER;
use crate::ledger::plan::{Contender, Decision, Refusal, Situation, Standing, decide};
use crate::ledger::{BindingRef, Freshness, Ledger, Operation, Place, ReadError, Turn};
use crate::runtime::deliberate::Bug;

/// What was done, as far as it went.
#[derive(Debug)]
pub struct Applied {
    pub identity: ResolvedIdentity,
    pub account: Option<AppliedAccount>,
    /// The account is missing, and made only once the credential works.
    pub account_waits: bool,
    pub credential: AppliedCredential,
    /// The binding as it was last written, when a record was written.
    pub recorded: Option<WorkloadIdentityBinding>,
    /// What stopped the pass.
    pub error: Option<Error>,
}

/// A ServiceAccount that carries what it should.
#[derive(Debug)]
pub struct AppliedAccount {
    pub status: ServiceAccountStatus,
    pub note: Option<String>,
}

/// How far the credential is.
#[derive(Debug, PartialEq, Eq)]
pub enum AppliedCredential {
    /// It stands as claimed.
    InPlace(RecordedCredential),
    /// It was not reached; what is recorded stays recorded.
    NotReached,
    /// It was recorded, and then not written: the record is withdrawn.
    Withdrawn,
    /// It was sent, and the answer was lost: the record stays.
    Unknown,
}

/// Carries the plan out.
pub async fn apply(
    plan: Plan,
    binding: &WorkloadIdentityBinding,
    desired: &Desired,
    ctx: &Context,
) -> Applied {
    let mut applied = Applied {
        identity: plan.identity.clone(),
        account: None,
        account_waits: false,
        credential: AppliedCredential::NotReached,
        recorded: None,
        error: None,
    };
    if let Err(error) = carry_out(plan, binding, desired, ctx, &mut applied).await {
        if applied.recorded.is_some() && applied.credential == AppliedCredential::NotReached {
            applied.credential = AppliedCredential::Withdrawn;
        }
        applied.error = Some(error);
    }
    applied
}

async fn carry_out(
    plan: Plan,
    binding: &WorkloadIdentityBinding,
    desired: &Desired,
    ctx: &Context,
    applied: &mut Applied,
) -> Result<(), Error> {
    let Plan {
        ledger,
        identity,
        account,
        credential,
        contender,
        contenders,
    } = plan;
    let mut account = Account::planned(account, desired, ctx).await?;
    // The credential of an account that waits for it goes on; what the account waits for is said at the end.
    applied.account_waits = account.is_none();
    let waiting = applied
        .account_waits
        .then_some(Error::from(ServiceAccountError::WaitingForCredential));
    let claim = Claimed {
        contender,
        contenders,
        identity,
    };
    let in_place = match credential {
        CredentialStep::Keep => Ok(claim.recorded(CredentialOrigin::Created)),
        CredentialStep::Adopt { name } => Ok(claim.adopted(name)),
        CredentialStep::Stop(error) => Err(error),
        CredentialStep::Refuse(refusal) => Err(refused(refusal, &ledger, &claim.contender)),
        CredentialStep::Write => match take_place(&ledger, &claim, ctx).await {
            Ok(Taken::InPlace(credential)) => Ok(credential),
            Err(error) => Err(error),
            Ok(Taken::Place(place)) => {
                // An account that was refused is tried first: each try would record a write and withdraw that again.
                if status::account_failed(binding)
                    && let Some(account) = account.take()
                {
                    applied.account = Some(account.apply().await?);
                }
                if !Bug::RecordedAfterPut.is_on() {
                    applied.recorded = Some(record(&claim, binding, ctx).await?);
                    ledger.recorded(&claim.contender.claim.name);
                }
                if let Some(account) = account {
                    applied.account = Some(account.apply().await?);
                }
                put(place.turn().await?, &claim, binding, ctx, applied).await?;
                return waiting.map_or(Ok(()), Err);
            }
        },
    };
    if let Some(account) = account {
        applied.account = Some(account.apply().await?);
    }
    applied.credential = AppliedCredential::InPlace(in_place?);
    waiting.map_or(Ok(()), Err)
}

/// The claim that is made on an identity, among the others on it.
struct Claimed {
    contender: Contender,
    contenders: Vec<Contender>,
    identity: ResolvedIdentity,
}

impl Claimed {
    fn recorded(&self, origin: CredentialOrigin) -> RecordedCredential {
        let claim = &self.contender.claim;
        RecordedCredential {
            name: claim.name.to_string(),
            resource_id: self.identity.resource_id.clone(),
            issuer: claim.issuer.to_string(),
            subject: claim.subject.to_string(),
            audience: claim.audience.to_string(),
            origin,
        }
    }

    fn adopted(&self, name: String) -> RecordedCredential {
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
            contenders: &self.contenders,
            promised,
            limit: ctx.settings.credential_limit,
        };
        decide(&self.contender, &situation)
    }
}

/// What came of the wish to write.
enum Taken {
    Place(Place),
    /// The credential meanwhile stands as claimed.
    InPlace(RecordedCredential),
}

/// Takes a place among those who write to the identity and decides again from a listing that no write of ours can have
/// outdated since: one that is under way has its slot.
async fn take_place(ledger: &Arc<Ledger>, claim: &Claimed, ctx: &Context) -> Result<Taken, Error> {
    let applicant = claim.contender.applicant();
    let mut place = ledger.place(&applicant, Operation::Put).await?;
    let listing = ledger
        .listing(applicant.binding(), Freshness::within(LISTING_FOR_WRITES))
        .await
        .map_err(|error| unlisted(error, ledger))?;
    let name = &claim.contender.claim.name;
    let decision = place.decide(name, |promised| {
        claim.decide(&listing.credentials, promised, ctx)
    });
    match decision {
        Decision::Keep => Ok(Taken::InPlace(claim.recorded(CredentialOrigin::Created))),
        Decision::Adopt { name } => Ok(Taken::InPlace(claim.adopted(name))),
        Decision::Create | Decision::Update => {
            place.admit()?;
            Ok(Taken::Place(place))
        }
        Decision::Refuse(refusal) => {
            drop(place);
            Err(refused(refusal, ledger, &claim.contender))
        }
    }
}

/// Why a claim gets nothing; where that is for want of a slot, the binding is woken when there may be one. Not so where
/// Azure has refused the claim for a reason of its own and there is a slot: it is tried at its own pace. Claims that are
/// refused would wake one another for ever, and keep their identity throttled.
fn refused(refusal: Refusal, ledger: &Ledger, contender: &Contender) -> Error {
    let is_limit = matches!(refusal, Refusal::LimitReached { .. });
    let is_put_off = contender.standing == Standing::Refused && refusal.leaves_slot_to_others();
    if is_limit && !is_put_off {
        let all_in_use = matches!(refusal, Refusal::LimitReached { before: false, .. });
        ledger.wait_for_slot(&contender.rank.binding, all_in_use);
    }
    Error::Claim(refusal)
}

fn unlisted(error: ReadError, ledger: &Ledger) -> Error {
    match error {
        ReadError::Azure(source) => Error::ListCredentials {
            identity: ledger.id().to_string(),
            source,
        },
        ReadError::NotNow(why) => why.into(),
    }
}

/// Writes to status which credential is about to be sent, with the resourceVersion that was read.
///
/// It fails for a binding that has changed or is gone, so a stale view of the cluster cannot make a credential; and
/// whatever happens afterwards, cleanup knows what to look for. It is sent even where it changes nothing.
async fn record(
    claim: &Claimed,
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
) -> Result<WorkloadIdentityBinding, Error> {
    let status = status::recording(
        binding,
        &claim.identity,
        claim.recorded(CredentialOrigin::Pending),
        ctx,
    );
    Ok(write_status(binding, status, ctx).await?)
}

/// Replaces the status of the binding as it was read; 409 if it has changed since, 404 if it is gone.
pub async fn write_status(
    binding: &WorkloadIdentityBinding,
    status: WorkloadIdentityBindingStatus,
    ctx: &Context,
) -> Result<WorkloadIdentityBinding, kube::Error> {
    let bindings: Api<WorkloadIdentityBinding> =
        Api::namespaced(ctx.client.clone(), &binding.namespace().unwrap_or_default());
    let updated = WorkloadIdentityBinding {
        status: Some(status),
        ..binding.clone()
    };
    let parameters = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let written = bindings
        .replace_status(&binding.name_any(), &parameters, &updated)
        .await?;
    ctx.bindings.wrote(binding, &written);
    Ok(written)
}

async fn put(
    turn: Turn,
    claimed: &Claimed,
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
    applied: &mut Applied,
) -> Result<(), Error> {
    let (ledger, claim) = (Arc::clone(turn.ledger()), &claimed.contender.claim);
    match turn.put(&claim.name, &claim.content()).await {
        Ok(_) => {
            applied.credential =
                AppliedCredential::InPlace(claimed.recorded(CredentialOrigin::Created));
            Ok(())
        }
        Err(source) => {
            if source.outcome_unknown() && !Bug::RecordWithdrawn.is_on() {
                applied.credential = AppliedCredential::Unknown;
            }
            Err(explain(source, &ledger, claimed, binding, ctx).await)
        }
    }
}

/// Why Azure refused a write, from a read after it: other writers are faster, and some codes leave it open.
async fn explain(
    source: AzureError,
    ledger: &Arc<Ledger>,
    claim: &Claimed,
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
) -> Error {
    let identity = claim.identity.resource_id.clone();
    let who = BindingRef::of(binding);
    match source.kind() {
        AzureErrorKind::Refused | AzureErrorKind::IssuerSubjectExists => {
            match ledger.listing(&who, Freshness::now()).await {
                Ok(listing) => {
                    if let Decision::Refuse(refusal) =
                        claim.decide(&listing.credentials, &ledger.promised(), ctx)
                    {
                        return refused(refusal, ledger, &claim.contender);
                    }
                }
                // Whether there was no slot is not known, and so not what to say: the next pass finds out.
                Err(error) => return unlisted(error, ledger),
            }
        }
        AzureErrorKind::ParentNotFound => {
            if let Err(ReadError::Azure(source)) = ledger.identity(&who, Freshness::now()).await {
                return Error::ReadIdentity { identity, source };
            }
        }
        _ => {}
    }
    Error::WriteCredential {
        identity,
        name: claim.contender.claim.name.clone(),
        source,
    }
}

/// What is to become of the account.
struct Account<'a> {
    configuration: AccountConfiguration,
    needs_apply: bool,
    desired: &'a Desired,
    ctx: &'a Context,
}

impl<'a> Account<'a> {
    /// None when the account is not made yet. Fails when it stays with whoever holds it.
    async fn planned(
        step: AccountStep,
        desired: &'a Desired,
        ctx: &'a Context,
    ) -> Result<Option<Self>, ServiceAccountError> {
        let (configuration, needs_apply) = match step {
            AccountStep::InPlace(configuration) => (configuration, false),
            AccountStep::Apply(configuration) => (configuration, true),
            AccountStep::Wait => return Ok(None),
            AccountStep::Stop(error) => return Err(error),
            AccountStep::GiveUp(configuration, error) => {
                let (namespace, name) = (&desired.namespace, &desired.service_account);
                apply_account(namespace, name, configuration, ctx).await?;
                return Err(error);
            }
        };
        Ok(Some(Self {
            configuration,
            needs_apply,
            desired,
            ctx,
        }))
    }

    async fn apply(self) -> Result<AppliedAccount, ServiceAccountError> {
        let Self {
            mut configuration,
            needs_apply,
            desired:
                Desired {
                    namespace,
                    service_account,
                    ..
                },
            ctx,
        } = self;
        if needs_apply {
            configuration = apply_account(namespace, service_account, configuration, ctx).await?;
        }
        let status = ServiceAccountStatus {
            name: service_account.clone(),
            origin: configuration.origin,
        };
        Ok(AppliedAccount {
            status,
            note: configuration.note,
        })
    }
}
