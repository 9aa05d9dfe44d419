//! A binding's status, computed from what was done. Pure: the time comes in.

use std::time::Duration;

use azwib_crds::{
    CredentialOrigin, RecordedCredential, ResolvedIdentity, ServiceAccountRole,
    ServiceAccountStatus, WorkloadIdentityBinding, WorkloadIdentityBindingStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::Context;
use super::apply::{Applied, AppliedCredential};
use super::error::Error;
use super::reason::{ConditionType, Persistence, Reason};
use super::validate::Desired;
use crate::kubeutil::conditions::{ConditionStatus, find, is_true, transition};

/// How long a reason that Azure's roles or a sign-in can cure stands before it counts as stalled: role assignments can
/// take this long to apply (Azure RBAC troubleshooting, "up to 10 minutes").
const STALLED_IN_AZURE: Duration = Duration::from_secs(600);

/// What one pass has to say about one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub condition: ConditionType,
    pub met: bool,
    pub reason: Reason,
    pub message: String,
}

/// What one pass has to say. What it does not mention keeps its value.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
    pub identity: Option<ResolvedIdentity>,
    pub service_account: Option<ServiceAccountStatus>,
    pub credentials: Option<Vec<RecordedCredential>>,
}

/// The clock and what depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub now: Timestamp,
    /// How long the reason that stops this binding has stood.
    pub stood: Duration,
    pub propagation_delay: Duration,
    pub stalled_after: Duration,
}

impl Report {
    fn met(&mut self, condition: ConditionType, reason: Reason, message: impl Into<String>) {
        self.findings.push(Finding {
            condition,
            met: true,
            reason,
            message: message.into(),
        });
    }

    fn unmet(&mut self, condition: ConditionType, reason: Reason, message: impl Into<String>) {
        self.findings
            .retain(|finding| finding.condition != condition);
        self.findings.push(Finding {
            condition,
            met: false,
            reason,
            message: message.into(),
        });
    }

    fn finding(&self, condition: ConditionType) -> Option<&Finding> {
        self.findings
            .iter()
            .find(|finding| finding.condition == condition)
    }
}

/// Whether `status` records exactly the desired credential, in place when last seen.
pub fn records_good(status: &WorkloadIdentityBindingStatus, desired: &Desired) -> bool {
    let claim = &desired.claim;
    is_true(&status.conditions, ConditionType::CredentialReady.as_str())
        && status.credentials.iter().any(|credential| {
            credential.origin == CredentialOrigin::Created
                && credential.name == claim.name.as_str()
                && credential
                    .resource_id
                    .eq_ignore_ascii_case(desired.identity.as_str())
                && credential.issuer == claim.issuer.as_str()
                && credential.subject == claim.subject.as_str()
                && credential.audience == claim.audience.as_str()
        })
}

/// The status that is written before a PUT.
pub fn recording(
    binding: &WorkloadIdentityBinding,
    identity: &ResolvedIdentity,
    credential: RecordedCredential,
    ctx: &Context,
) -> WorkloadIdentityBindingStatus {
    let mut report = before_steps(ctx.issuer());
    identity_resolved(&mut report, identity);
    report.identity = Some(identity.clone());
    let name = credential.name.clone();
    let mut credentials = recorded_credentials(binding);
    credentials.retain(|other| other.name != credential.name);
    credentials.push(credential);
    if is_failing(binding) {
        // One more try of a write that failed before: what is said of it stands until it succeeds.
        let status = binding.status.clone().unwrap_or_default();
        return WorkloadIdentityBindingStatus {
            credentials,
            ..status
        };
    }
    report.credentials = Some(credentials);
    let message = format!("the federated identity credential {name} is about to be written");
    report.unmet(ConditionType::CredentialReady, Reason::Creating, message);
    compute(binding, report, &ctx.moment(Duration::ZERO))
}

/// Whether status says of this very generation that its credential failed.
fn is_failing(binding: &WorkloadIdentityBinding) -> bool {
    binding.status.as_ref().is_some_and(|status| {
        Some(status.observed_generation) == binding.metadata.generation
            && status.identity.is_some()
            && find(&status.conditions, ConditionType::CredentialReady.as_str())
                .is_some_and(|condition| condition.status == ConditionStatus::False.as_str())
    })
}

/// What a pass that came as far as `applied` has to say.
///
/// `keep` is set for a binding whose credential was good when last seen and which was only kept from looking: then
/// the steps that could not be looked at keep their values.
pub fn of_applied(
    binding: &WorkloadIdentityBinding,
    applied: &Applied,
    issuer: &str,
    keep: bool,
) -> Report {
    let Applied {
        identity,
        account,
        credential,
        recorded: _,
        error,
    } = applied;
    let mut report = before_steps(issuer);
    if !keep {
        identity_resolved(&mut report, identity);
        report.identity = Some(identity.clone());
    }
    if let Some(account) = account {
        let (name, client_id) = (&account.status.name, &identity.client_id);
        let mut message = match binding.spec.service_account.role {
            ServiceAccountRole::Default => {
                format!("service account {name} names the client id {client_id}")
            }
            ServiceAccountRole::Additional => format!(
                "service account {name} is there; the workload names the client id {client_id} itself"
            ),
        };
        if let Some(note) = &account.note {
            message = format!("{message}; {note}");
        }
        report.met(ConditionType::ServiceAccountReady, Reason::Applied, message);
        report.service_account = Some(account.status.clone());
    }
    match credential {
        AppliedCredential::InPlace(credential) => {
            let message = format!(
                "the federated identity credential {} is in place",
                credential.name
            );
            report.met(ConditionType::CredentialReady, Reason::InPlace, message);
            report.credentials = Some(vec![credential.clone()]);
        }
        // The credentials recorded before this pass, the binding having been read before the record was written.
        AppliedCredential::Withdrawn => {
            report.credentials = Some(recorded_credentials(binding));
            // Not what the record announced; an error of the write itself says more.
            let message =
                "the federated identity credential is written once the other steps are done";
            report.unmet(ConditionType::CredentialReady, Reason::Creating, message);
        }
        AppliedCredential::NotReached | AppliedCredential::Unknown => {}
    }
    if let Some(error) = error.as_ref().filter(|_| !keep) {
        say(&mut report, error);
    }
    report
}

/// What a pass that stopped before anything could be applied has to say.
pub fn of_error(error: &Error, issuer: &str) -> Report {
    let mut report = before_steps(issuer);
    say(&mut report, error);
    report
}

/// What the failed cleanup of a binding that is being deleted has to say.
pub fn of_departing(error: &Error, issuer: &str, allow_force_detach: bool) -> Report {
    let mut report = before_steps(issuer);
    if let Some((condition, reason)) = error.finding() {
        let message = error.message_of_departing(allow_force_detach);
        report.unmet(condition, reason, message.clone());
        // Whatever else is not as it should be, such as an account that went with its namespace: this keeps the binding.
        report.unmet(ConditionType::Ready, reason, message);
    }
    report
}

/// What a pass over a suspended binding has to say: nothing where its credential was good when last seen.
pub fn of_suspended(binding: &WorkloadIdentityBinding, desired: Option<&Desired>) -> Report {
    let mut report = Report::default();
    let good = binding
        .status
        .as_ref()
        .zip(desired)
        .is_some_and(|(status, desired)| {
            records_good(status, desired)
                && ConditionType::STEPS
                    .iter()
                    .all(|step| is_true(&status.conditions, step.as_str()))
        });
    if !good {
        let message = "nothing is written for this binding until spec.suspend is false";
        report.unmet(ConditionType::Ready, Reason::Suspended, message);
    }
    report
}

fn say(report: &mut Report, error: &Error) {
    if let Some((condition, reason)) = error.finding() {
        report.unmet(condition, reason, error.message());
    }
}

fn before_steps(issuer: &str) -> Report {
    let mut report = Report::default();
    report.met(
        ConditionType::Granted,
        Reason::GrantsNotRequired,
        "every binding is admitted",
    );
    report.met(
        ConditionType::IssuerReady,
        Reason::IssuerConfigured,
        format!("tokens are issued by {issuer}"),
    );
    report
}

fn identity_resolved(report: &mut Report, identity: &ResolvedIdentity) {
    let message = format!(
        "the client id of the managed identity is {}",
        identity.client_id
    );
    report.met(ConditionType::IdentityResolved, Reason::Resolved, message);
}

fn recorded_credentials(binding: &WorkloadIdentityBinding) -> Vec<RecordedCredential> {
    binding
        .status
        .as_ref()
        .map(|status| status.credentials.clone())
        .unwrap_or_default()
}

/// The status after a pass with this report.
pub fn compute(
    binding: &WorkloadIdentityBinding,
    report: Report,
    moment: &Moment,
) -> WorkloadIdentityBindingStatus {
    let previous = binding.status.clone().unwrap_or_default();
    let generation = binding.metadata.generation.unwrap_or_default();
    let set = |type_: ConditionType, status, reason: &str, message| {
        let before = find(&previous.conditions, type_.as_str());
        transition(
            before,
            type_.as_str(),
            status,
            reason,
            message,
            generation,
            moment.now,
        )
    };
    let steps: Vec<Condition> = ConditionType::STEPS
        .iter()
        .map(|step| {
            match (
                report.finding(*step),
                find(&previous.conditions, step.as_str()),
            ) {
                (Some(finding), _) => {
                    let status = if finding.met {
                        ConditionStatus::True
                    } else {
                        ConditionStatus::False
                    };
                    set(
                        *step,
                        status,
                        finding.reason.as_str(),
                        finding.message.clone(),
                    )
                }
                (None, Some(kept)) => Condition {
                    observed_generation: Some(generation),
                    ..kept.clone()
                },
                (None, None) => set(
                    *step,
                    ConditionStatus::Unknown,
                    Reason::Pending.as_str(),
                    "not reached yet".to_owned(),
                ),
            }
        })
        .collect();
    let verdict = verdict(&report, &steps, binding, moment);
    let mut conditions = vec![set(
        ConditionType::Ready,
        verdict.status,
        &verdict.reason,
        verdict.message.clone(),
    )];
    if verdict.status != ConditionStatus::True && verdict.reason != Reason::Suspended.as_str() {
        let stalled = is_stalled(
            &verdict,
            find(&previous.conditions, ConditionType::Stalled.as_str()),
            moment,
        );
        let type_ = if stalled {
            ConditionType::Stalled
        } else {
            ConditionType::Reconciling
        };
        conditions.push(set(
            type_,
            ConditionStatus::True,
            &verdict.reason,
            verdict.message,
        ));
    }
    conditions.extend(steps);
    WorkloadIdentityBindingStatus {
        observed_generation: generation,
        identity: report.identity.or(previous.identity),
        service_account: report.service_account.or(previous.service_account),
        credentials: report.credentials.unwrap_or(previous.credentials),
        conditions,
    }
}

struct Verdict {
    status: ConditionStatus,
    reason: String,
    message: String,
}

/// `Ready`, from the first step that failed or was not reached, then from the propagation of the credential.
fn verdict(
    report: &Report,
    steps: &[Condition],
    binding: &WorkloadIdentityBinding,
    moment: &Moment,
) -> Verdict {
    if let Some(finding) = report.finding(ConditionType::Ready) {
        let (reason, message) = (finding.reason.to_string(), finding.message.clone());
        return Verdict {
            status: ConditionStatus::False,
            reason,
            message,
        };
    }
    let waits = |step: &&Condition| step.reason == Reason::WaitingForCredential.as_str();
    let unmet = |status: ConditionStatus| {
        let mut unmet = steps
            .iter()
            .filter(move |step| step.status == status.as_str());
        // An account that waits for its credential is not what is wrong where anything else is.
        unmet
            .clone()
            .find(|step| !waits(step))
            .or_else(|| unmet.next())
    };
    for status in [ConditionStatus::False, ConditionStatus::Unknown] {
        if let Some(step) = unmet(status) {
            return Verdict {
                status,
                reason: step.reason.clone(),
                message: step.message.clone(),
            };
        }
    }
    if !propagation_left(steps, moment).is_zero() {
        let message =
            "the credential is in place; Microsoft Entra is given time to learn of it".to_owned();
        return Verdict {
            status: ConditionStatus::False,
            reason: Reason::Propagating.to_string(),
            message,
        };
    }
    let account = super::validate::service_account_name(binding);
    let message = format!(
        "pods that use the service account {account} can get tokens of the managed identity"
    );
    Verdict {
        status: ConditionStatus::True,
        reason: Reason::Succeeded.to_string(),
        message,
    }
}

/// How long a credential that is in place still needs to propagate.
///
/// A transition in the future (clocks differ) counts as one of now.
pub fn propagation_left(conditions: &[Condition], moment: &Moment) -> Duration {
    let Some(ready) = find(conditions, ConditionType::CredentialReady.as_str()) else {
        return Duration::ZERO;
    };
    if ready.status != ConditionStatus::True.as_str() {
        return Duration::ZERO;
    }
    let age = Duration::try_from(moment.now.duration_since(ready.last_transition_time.0))
        .unwrap_or_default();
    moment.propagation_delay.saturating_sub(age)
}

/// How long this reason stands before the binding counts as stalled; None when it never does.
pub fn stalls_after(reason: Reason, moment: &Moment) -> Option<Duration> {
    match reason.persistence() {
        Persistence::Heals => None,
        Persistence::CurableElsewhere => Some(moment.stalled_after),
        Persistence::CurableInAzure => Some(moment.stalled_after.max(STALLED_IN_AZURE)),
        Persistence::NeedsPerson => Some(Duration::ZERO),
    }
}

fn is_stalled(verdict: &Verdict, previous: Option<&Condition>, moment: &Moment) -> bool {
    let reason = Reason::named(&verdict.reason);
    let Some(threshold) = reason.and_then(|reason| stalls_after(reason, moment)) else {
        return false;
    };
    // After a restart the memory of how long a reason has stood is gone; what was said already stays said.
    moment.stood >= threshold || previous.is_some_and(|previous| previous.reason == verdict.reason)
}

#[cfg(test)]
mod tests;
