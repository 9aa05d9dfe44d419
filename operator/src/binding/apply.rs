//! Writes: the record, the ServiceAccount, the credential, in this order.

mod credential;

use azwib_crds::{
    CredentialOrigin, RecordedCredential, ResolvedIdentity, ServiceAccountRole,
    ServiceAccountStatus, WorkloadIdentityBinding, WorkloadIdentityBindingStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use super::account::{AccountConfiguration, Difference, Drift, ExistingAccount, Field};
use super::calls::{Call, CallFailed};
use super::contests::{Admission, Contested};
use super::error::Error;
use super::plan::{AccountStep, CredentialStep, Plan};
use super::service_account::{ServiceAccountError, apply_account};
use super::twins::wake_younger;
use super::validate::Desired;
use super::{Context, status};
use crate::azure::safe_line;
use crate::kubeutil::FIELD_MANAGER;
use crate::ledger::BindingRef;
use crate::runtime::deliberate::Bug;
use credential::{Claimed, Taken, put, record, refused, take_place};

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
    /// It stands as claimed, since then; an older twin looks after it.
    Provided {
        credential: RecordedCredential,
        by: String,
        since: Time,
    },
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
    use AppliedCredential::InPlace;
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
    // An account that was refused is tried first. Each try would record a write and withdraw that again; and who waited for
    // a slot that it does not take would be called for it again and again.
    if status::account_failed(binding)
        && let Some(account) = account.take()
    {
        applied.account = Some(account.apply().await?);
    }
    let claim = Claimed {
        contender,
        contenders,
        identity,
    };
    let in_place = match credential {
        CredentialStep::Keep => Ok(InPlace(claim.recorded(CredentialOrigin::Created))),
        CredentialStep::Adopt { name } => Ok(InPlace(claim.adopted(name))),
        // Recorded like one's own: it is that once the older twin goes.
        CredentialStep::Provided { by, since, adopted } => Ok(AppliedCredential::Provided {
            credential: match adopted {
                None => claim.recorded(CredentialOrigin::Created),
                Some(name) => claim.adopted(name),
            },
            by,
            since,
        }),
        CredentialStep::Stop(error) => {
            if let Some(older) = error.older_that_is_wrong() {
                // It says that it is Ready, and has not seen yet what was seen here.
                ledger.wake([BindingRef {
                    namespace: desired.namespace.clone(),
                    name: older.to_owned(),
                }]);
            }
            Err(error)
        }
        CredentialStep::Refuse(refusal) => Err(refused(refusal, &ledger, &claim.contender)),
        CredentialStep::Write => match take_place(&ledger, &claim, ctx).await {
            Ok(Taken::InPlace(credential)) => Ok(InPlace(credential)),
            Err(error) => Err(error),
            Ok(Taken::Place(place)) => {
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
    applied.credential = in_place?;
    waiting.map_or(Ok(()), Err)
}

/// Replaces the status of the binding as it was read; 409 if it has changed since, 404 if it is gone. A status that came
/// back as another one counts as refused: what was to be recorded may not be.
pub async fn write_status(
    binding: &WorkloadIdentityBinding,
    status: WorkloadIdentityBindingStatus,
    ctx: &Context,
) -> Result<WorkloadIdentityBinding, CallFailed> {
    let bindings: Api<WorkloadIdentityBinding> =
        Api::namespaced(ctx.client.clone(), &binding.namespace().unwrap_or_default());
    note_what_gives_way(binding, &status, ctx);
    let updated = WorkloadIdentityBinding {
        status: Some(status),
        ..binding.clone()
    };
    let parameters = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    // Its event may be faster than its answer.
    let sending = ctx.bindings.sending(&updated);
    let written = bindings
        .replace_status(&binding.name_any(), &parameters, &updated)
        .await
        .map_err(|error| Call::WriteStatus.failed(error))?;
    ctx.bindings.wrote(binding, &written);
    drop(sending);
    wake_younger(binding, &written, ctx);
    match status::altered(updated.status.as_ref(), written.status.as_ref()) {
        Some(what) => Err(Call::WriteStatus.altered(what)),
        None => Ok(written),
    }
}

/// Says in the log that a status has no room for all conditions of other writers.
fn note_what_gives_way(
    binding: &WorkloadIdentityBinding,
    status: &WorkloadIdentityBindingStatus,
    ctx: &Context,
) {
    let before = binding.status.as_ref().map_or(&[][..], |it| &it.conditions);
    let kept = status::of_others(&status.conditions).count();
    let gives_way: Vec<_> = status::of_others(before).skip(kept).collect();
    let uid = binding.uid().unwrap_or_default();
    if gives_way.is_empty() || !ctx.told.is_news(&uid, "conditions of others") {
        return;
    }
    let types: Vec<_> = gives_way.iter().map(|it| safe_line(&it.type_)).collect();
    tracing::warn!(
        binding = binding.name_any(),
        namespace = binding.namespace().unwrap_or_default(),
        conditions = types.join(", "),
        "the status has no room for these conditions of other writers beside those of azwib"
    );
}

/// What is to become of the account.
struct Account<'a> {
    configuration: AccountConfiguration,
    /// What has been changed about it, where it is applied.
    needs_apply: Option<Drift>,
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
            AccountStep::InPlace(configuration) => (configuration, None),
            AccountStep::Apply(configuration, drift) => (configuration, Some(drift)),
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
            desired,
            ctx,
        } = self;
        let account = (&*desired.namespace, &*desired.service_account);
        let contested = match needs_apply {
            None => ctx.contests.stands(account),
            Some(drift) => match ctx.contests.admit(account, &configuration, || drift) {
                Admission::Refused(contested) => Some(contested),
                admission => {
                    let (applied, answer) =
                        apply_account(account.0, account.1, configuration, ctx).await?;
                    configuration = applied;
                    match admission {
                        // What is said stays the same for as long as the contest lasts.
                        Admission::InContest(contested) => Some(contested),
                        _ => {
                            came_back_as_asked(&configuration, &answer, desired)?;
                            None
                        }
                    }
                }
            },
        };
        let concerns = |it: &Contested| is_of_concern(&it.drift.field, desired);
        if let Some(contested) = contested.filter(concerns) {
            return Err(ServiceAccountError::Contested(contested));
        }
        let status = ServiceAccountStatus {
            name: desired.service_account.clone(),
            origin: configuration.origin,
        };
        Ok(AppliedAccount {
            status,
            note: configuration.note,
        })
    }
}

/// Compares the answer to a write with what was asked for: a policy may have changed it.
fn came_back_as_asked(
    asked: &AccountConfiguration,
    answer: &ExistingAccount,
    desired: &Desired,
) -> Result<(), ServiceAccountError> {
    let concerns = |it: &Difference| is_of_concern(&it.field, desired);
    match asked.differences(answer).find(concerns) {
        Some(difference) if !Bug::AnswerUnread.is_on() => {
            Err(ServiceAccountError::Altered(difference))
        }
        _ => Ok(()),
    }
}

/// An additional identity needs none of the annotations: they are the holder's.
fn is_of_concern(field: &Field, desired: &Desired) -> bool {
    !(desired.role == ServiceAccountRole::Additional && matches!(field, Field::Annotation(_)))
}
