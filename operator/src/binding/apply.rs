//! Writes: the record, the ServiceAccount, the credential, in this order.

use azwib_crds::{
    CredentialOrigin, ServiceAccountRole, ServiceAccountStatus, WorkloadIdentityBinding,
};

use super::account::api::apply_account;
use super::account::contests::{Admission, Contested};
use super::account::error::ServiceAccountError;
use super::account::{AccountConfiguration, Difference, Drift, ExistingAccount, Field};
use super::applied::{Applied, AppliedAccount, AppliedCredential};
use super::context::Context;
use super::credential::duplicates::OlderState;
use super::credential::write::{AmongApplicants, Taken, put, record, refused, take_place};
use super::error::{Error, Failure, Wait};
use super::plan::{AccountStep, CredentialStep, Plan};
use super::read_only::{is_read_only, withheld};
use super::status;
use super::status::reason::ConditionType;
use super::validate::Desired;
use crate::ledger::BindingRef;
use crate::runtime::deliberate::Bug;

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
    let ledger = ctx.ledgers.of(&desired.identity);
    let writes = plan.writes(desired);
    let Plan {
        identity,
        account,
        credential,
        applicant,
        applicants,
    } = plan;
    let mut account = Account::planned(account, desired, writes.account.clone(), ctx).await?;
    // The credential of an account that waits for it goes on; what the account waits for is said at the end.
    applied.account_waits = account.is_none();
    let waiting = applied
        .account_waits
        .then_some(Error::from(Wait::ForCredential));
    // An account that was refused is tried first. Each try would record a write and withdraw that again; and who waited for
    // a slot that it does not take would be called for it again and again.
    if status::account_failed(binding)
        && !is_read_only(ctx)
        && let Some(account) = account.take()
    {
        applied.account = Some(account.apply().await?);
    }
    let among = AmongApplicants {
        applicant,
        applicants,
        identity,
    };
    let name = &desired.credential.name;
    let credential = match status::issuer::stops(&ctx.verification, binding, name) {
        Some((reason, message)) if matches!(credential, CredentialStep::Write) => {
            CredentialStep::Stop(Failure::Issuer { reason, message }.into())
        }
        _ => credential,
    };
    let in_place = match credential {
        CredentialStep::Keep => Ok(InPlace(among.recorded(CredentialOrigin::Created))),
        CredentialStep::Adopt { name } => Ok(InPlace(among.adopted(name))),
        // Recorded as its own: it becomes that when the older duplicate is deleted.
        CredentialStep::Provided { by, since, adopted } => Ok(AppliedCredential::Provided {
            credential: match adopted {
                None => among.recorded(CredentialOrigin::Created),
                Some(name) => among.adopted(name),
            },
            by,
            since,
        }),
        CredentialStep::Stop(error) => {
            if let Error::Failure(Failure::Duplicate(older)) = &error
                && let OlderState::Ready { .. } = older.stands
            {
                // It says that it is Ready, and has not seen yet what was seen here.
                ledger.wake([BindingRef {
                    namespace: desired.namespace.clone(),
                    name: older.name.clone(),
                }]);
            }
            Err(error)
        }
        CredentialStep::Refuse(refusal) => Err(refused(refusal, &ledger, &among.applicant)),
        CredentialStep::Write if is_read_only(ctx) => {
            let would: Vec<_> = writes
                .account
                .into_iter()
                .chain(writes.credential)
                .collect();
            let would = would.join(", and ");
            Err(withheld(ConditionType::CredentialReady, would).into())
        }
        CredentialStep::Write => match take_place(&ledger, &among, ctx).await {
            Ok(Taken::InPlace(credential)) => Ok(InPlace(credential)),
            Err(error) => Err(error),
            Ok(Taken::Place(place)) => {
                if !Bug::RecordedAfterPut.is_on() {
                    applied.recorded = Some(record(&among, binding, ctx).await?);
                    ledger.recorded(&among.applicant.credential.name);
                }
                if let Some(account) = account {
                    applied.account = Some(account.apply().await?);
                }
                let may_go = ctx.permission(desired);
                put(place.turn().await?, &among, binding, ctx, (may_go, applied)).await?;
                return waiting.map_or(Ok(()), Err);
            }
        },
    };
    // Who only looks says what stops the credential, whatever it would do to the account.
    let in_place = match is_read_only(ctx) {
        true => Ok(in_place?),
        false => in_place,
    };
    if let Some(account) = account {
        applied.account = Some(account.apply().await?);
    }
    applied.credential = in_place?;
    waiting.map_or(Ok(()), Err)
}

/// What is to become of the account.
struct Account<'a> {
    configuration: AccountConfiguration,
    /// What has been changed about it, where it is applied.
    needs_apply: Option<Drift>,
    /// What that would do to it that a pod would notice.
    would: Option<String>,
    desired: &'a Desired,
    ctx: &'a Context,
}

impl<'a> Account<'a> {
    /// None when the account is not made yet. Fails when it stays with whoever holds it.
    async fn planned(
        step: AccountStep,
        desired: &'a Desired,
        would: Option<String>,
        ctx: &'a Context,
    ) -> Result<Option<Self>, ServiceAccountError> {
        let (configuration, needs_apply) = match step {
            AccountStep::InPlace(configuration) => (configuration, None),
            AccountStep::Apply(configuration, drift) => (configuration, Some(drift)),
            AccountStep::Wait => return Ok(None),
            AccountStep::Stop(error) => return Err(error),
            AccountStep::GiveUp(_, error) if is_read_only(ctx) => return Err(error),
            AccountStep::GiveUp(configuration, error) => {
                let (namespace, name) = (&desired.namespace, &desired.service_account);
                apply_account(namespace, name, configuration, ctx).await?;
                return Err(error);
            }
        };
        Ok(Some(Self {
            configuration,
            needs_apply,
            would,
            desired,
            ctx,
        }))
    }

    async fn apply(self) -> Result<AppliedAccount, Error> {
        let Self {
            mut configuration,
            needs_apply,
            would,
            desired,
            ctx,
        } = self;
        let account = (&*desired.namespace, &*desired.service_account);
        let needs_apply = match needs_apply {
            Some(drift) if is_read_only(ctx) => {
                if let Some(would) = would {
                    return Err(withheld(ConditionType::ServiceAccountReady, would).into());
                }
                configuration.note = Some(format!(
                    "with --read-only azwib leaves {} as it is",
                    drift.field
                ));
                None
            }
            other => other,
        };
        let contested = match needs_apply {
            None => ctx.contests.stands(account),
            Some(drift) => match ctx.contests.admit(account, &configuration, || drift) {
                Admission::Refused(contested) => Some(contested),
                admission => {
                    if !ctx.is_still_granted(desired) {
                        return Err(Wait::GrantGone.into());
                    }
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
            return Err(ServiceAccountError::Contested(contested).into());
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

/// An additional identity needs none of the annotations: they are the default binding's.
fn is_of_concern(field: &Field, desired: &Desired) -> bool {
    !(desired.role == ServiceAccountRole::Additional && matches!(field, Field::Annotation(_)))
}
