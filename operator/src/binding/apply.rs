//! Writes: the record, the ServiceAccount, the credential, in this order.

use std::sync::Arc;

use azwib_crds::{
    CredentialOrigin, RecordedCredential, ResolvedIdentity, ServiceAccountStatus,
    WorkloadIdentityBinding, WorkloadIdentityBindingStatus,
};
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use tokio::time::Instant;

use super::account::AccountConfiguration;
use super::error::Error;
use super::observe::LISTING_FOR_WRITES;
use super::plan::{AccountStep, CredentialStep, Plan};
use super::service_account::{ServiceAccountError, apply_account};
use super::validate::Desired;
use super::{Context, status};
use crate::azure::{AzureError, AzureErrorKind};
use crate::kubeutil::FIELD_MANAGER;
use crate::ledger::plan::{Claim, Decision, decide};
use crate::ledger::{BindingRef, Freshness, Ledger, Turn};

/// What was done, as far as it went.
#[derive(Debug)]
pub struct Applied {
    pub identity: ResolvedIdentity,
    pub account: Option<AppliedAccount>,
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
        claim,
    } = plan;
    let account = Account::planned(account, desired, ctx).await?;
    // The credential of an account that waits for it goes on; what the account waits for is said at the end.
    let waiting = account
        .is_none()
        .then_some(Error::from(ServiceAccountError::WaitingForCredential));
    let claim = Claimed { claim, identity };
    let stop = match credential {
        CredentialStep::Keep => None,
        CredentialStep::Stop(error) => Some(error),
        CredentialStep::Write => match take_turn(&ledger, &claim.claim, binding, ctx).await {
            Ok(None) => None,
            Err(error) => Some(error),
            Ok(Some(turn)) => {
                applied.recorded = Some(record(&claim, binding, ctx).await?);
                if let Some(account) = account {
                    applied.account = Some(account.apply().await?);
                }
                put(turn, &claim, ctx, applied).await?;
                return waiting.map_or(Ok(()), Err);
            }
        },
    };
    if let Some(account) = account {
        applied.account = Some(account.apply().await?);
    }
    if let Some(error) = stop {
        return Err(error);
    }
    applied.credential = AppliedCredential::InPlace(claim.recorded(CredentialOrigin::Created));
    waiting.map_or(Ok(()), Err)
}

/// The claim that is made on an identity.
struct Claimed {
    claim: Claim,
    identity: ResolvedIdentity,
}

impl Claimed {
    fn recorded(&self, origin: CredentialOrigin) -> RecordedCredential {
        RecordedCredential {
            name: self.claim.name.to_string(),
            resource_id: self.identity.resource_id.clone(),
            issuer: self.claim.issuer.to_string(),
            subject: self.claim.subject.to_string(),
            audience: self.claim.audience.to_string(),
            origin,
        }
    }
}

/// Takes the identity's turn and decides again from a listing that no write of ours can have outdated since.
///
/// None when the credential meanwhile stands as claimed.
async fn take_turn(
    ledger: &Arc<Ledger>,
    claim: &Claim,
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
) -> Result<Option<Turn>, Error> {
    let turn = ledger.turn(BindingRef::of(binding)).await?;
    let listing = ledger
        .listing(Freshness::Within(LISTING_FOR_WRITES))
        .await
        .map_err(|source| Error::ListCredentials {
            identity: ledger.id().to_string(),
            source,
        })?;
    match decide(&listing, claim, ctx.settings.credential_limit) {
        Decision::Keep => Ok(None),
        Decision::Create | Decision::Update => Ok(Some(turn)),
        Decision::Refuse(refusal) => Err(Error::Claim(refusal)),
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
    bindings
        .replace_status(&binding.name_any(), &parameters, &updated)
        .await
}

async fn put(
    turn: Turn,
    claim: &Claimed,
    ctx: &Context,
    applied: &mut Applied,
) -> Result<(), Error> {
    let ledger = Arc::clone(turn.ledger());
    let sent = turn.put(&claim.claim.name, &claim.claim.content()).await;
    match sent {
        Ok(_) => {
            applied.credential =
                AppliedCredential::InPlace(claim.recorded(CredentialOrigin::Created));
            Ok(())
        }
        Err(source) => {
            if source.outcome_unknown() {
                applied.credential = AppliedCredential::Unknown;
            }
            Err(explain(source, &ledger, claim, ctx).await)
        }
    }
}

/// Why Azure refused a write, from a read after it: other writers are faster, and some codes leave it open.
async fn explain(source: AzureError, ledger: &Ledger, claim: &Claimed, ctx: &Context) -> Error {
    let identity = claim.identity.resource_id.clone();
    let now = Freshness::Since(Instant::now());
    match source.kind() {
        AzureErrorKind::Refused | AzureErrorKind::IssuerSubjectExists => {
            if let Ok(listing) = ledger.listing(now).await
                && let Decision::Refuse(refusal) =
                    decide(&listing, &claim.claim, ctx.settings.credential_limit)
            {
                return Error::Claim(refusal);
            }
        }
        AzureErrorKind::ParentNotFound => {
            if let Err(source) = ledger.identity(now).await {
                return Error::ReadIdentity { identity, source };
            }
        }
        _ => {}
    }
    let name = claim.claim.name.clone();
    Error::WriteCredential {
        identity,
        name,
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
