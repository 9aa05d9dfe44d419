//! A binding's status, computed from what was done. Pure: the time comes in.

mod altered;
mod verdict;

use std::time::Duration;

use azwib_crds::{
    CredentialAdoption, CredentialOrigin, DeletionPolicy, MAX_CONDITIONS, ManagedIdentityId,
    RecordedCredential, ResolvedIdentity, ServiceAccountRole, ServiceAccountStatus,
    WorkloadIdentityBinding, WorkloadIdentityBindingStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::Context;
use super::apply::{Applied, AppliedCredential};
use super::cleanup::{Stage, Stopped};
use super::error::Error;
use super::reason::{ConditionType, Reason};
use super::records::put_record;
use super::service_account::ServiceAccountError;
use super::twins::is_provided;
use super::validate::{Desired, service_account_name};
use crate::kubeutil::answers::say_the_same;
use crate::kubeutil::conditions::{ConditionStatus, find, is_true, kept_time, transition};
use crate::runtime::deliberate::Bug;
pub use altered::altered;
use verdict::Verdict;
pub use verdict::{propagation_left, stalls_after};

/// What one pass has to say about one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub condition: ConditionType,
    pub met: bool,
    pub reason: Reason,
    pub message: String,
    /// Since when, where that was before this pass.
    pub since: Option<Time>,
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
            since: None,
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
            since: None,
        });
    }

    /// Says nothing of this condition: it stays as it is.
    pub fn leave(&mut self, condition: ConditionType) {
        self.findings
            .retain(|finding| finding.condition != condition);
    }

    /// Whether the account of a binding stands, of which status says something else.
    pub fn mends_account(&self, binding: &WorkloadIdentityBinding) -> bool {
        account_failed(binding)
            && self
                .finding(ConditionType::ServiceAccountReady)
                .is_some_and(|finding| finding.met)
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
            (credential.origin == CredentialOrigin::Created
                && credential.name == claim.name.as_str()
                || credential.origin == CredentialOrigin::Adopted
                    && claim.adoption == CredentialAdoption::IfIdentical)
                && ManagedIdentityId::parse(&credential.resource_id)
                    .is_ok_and(|identity| identity == desired.identity)
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
    put_record(&mut credentials, credential);
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

/// The status before a look that somebody asked for, and why it was stalled; None where it was not. It speaks of the
/// generation that it spoke of.
pub fn taken_up(
    binding: &WorkloadIdentityBinding,
    moment: &Moment,
) -> Option<(WorkloadIdentityBindingStatus, Reason)> {
    let mut status = binding.status.clone()?;
    let mut conditions = status.conditions.iter_mut();
    let stalled = conditions.find(|it| it.type_ == ConditionType::Stalled.as_str())?;
    let reason = Reason::named(&stalled.reason)?;
    *stalled = transition(
        None,
        ConditionType::Reconciling.as_str(),
        ConditionStatus::True,
        reason.as_str(),
        format!("it is looked at once more; so far: {}", stalled.message),
        status.observed_generation,
        moment.now,
    );
    Some((status, reason))
}

/// Whether status says of this very generation that its credential failed.
pub fn is_failing(binding: &WorkloadIdentityBinding) -> bool {
    let status = binding.status.as_ref();
    failed(binding, ConditionType::CredentialReady).is_some()
        && status.is_some_and(|status| status.identity.is_some())
}

/// Whether status says of this very generation that its account was refused.
pub fn account_failed(binding: &WorkloadIdentityBinding) -> bool {
    failed(binding, ConditionType::ServiceAccountReady)
        .is_some_and(|condition| condition.reason != Reason::WaitingForCredential.as_str())
}

/// This step, where status says of this very generation that it failed.
fn failed(binding: &WorkloadIdentityBinding, step: ConditionType) -> Option<&Condition> {
    let status = binding.status.as_ref()?;
    let condition = find(&status.conditions, step.as_str())?;
    (Some(status.observed_generation) == binding.metadata.generation
        && condition.status == ConditionStatus::False.as_str())
    .then_some(condition)
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
        account_waits,
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
        let mut message = account_stands(binding, &account.status.name, &identity.client_id);
        if let Some(note) = &account.note {
            message = format!("{message}; {note}");
        }
        report.met(ConditionType::ServiceAccountReady, Reason::Applied, message);
        report.service_account = Some(account.status.clone());
    }
    if *account_waits && !keep {
        // Whatever stood against an account that was there is over.
        say(
            &mut report,
            &ServiceAccountError::WaitingForCredential.into(),
        );
    }
    match credential {
        AppliedCredential::InPlace(credential) => {
            let message = credential_stands(credential);
            report.met(ConditionType::CredentialReady, Reason::InPlace, message);
            report.credentials = Some(vec![credential.clone()]);
            if Bug::TakesOverFromScratch.is_on() && is_provided(binding) {
                let message = "it is taken over";
                report.unmet(ConditionType::CredentialReady, Reason::Creating, message);
            }
        }
        AppliedCredential::Provided {
            credential,
            by,
            since,
        } => {
            report.findings.push(Finding {
                condition: ConditionType::CredentialReady,
                met: true,
                reason: Reason::ProvidedByOlderBinding,
                message: format!(
                    "the older binding \"{by}\" provides the federated identity credential {}; this one takes over when \
                     it goes",
                    credential.name
                ),
                since: Some(since.clone()),
            });
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
        // What was adopted is gone, or not as it was, or is not to be adopted any more.
        AppliedCredential::NotReached if matches!(error, Some(Error::Claim(_))) => {
            let mut left = recorded_credentials(binding);
            left.retain(|record| record.origin != CredentialOrigin::Adopted);
            report.credentials = Some(left);
        }
        AppliedCredential::NotReached | AppliedCredential::Unknown => {}
    }
    if let Some(error) = error.as_ref().filter(|_| !keep) {
        say(&mut report, error);
    }
    report
}

fn account_stands(binding: &WorkloadIdentityBinding, name: &str, client_id: &str) -> String {
    match binding.spec.service_account.role {
        ServiceAccountRole::Default => {
            format!("service account {name} names the client id {client_id}")
        }
        ServiceAccountRole::Additional => format!(
            "service account {name} is there; the workload names the client id {client_id} itself"
        ),
    }
}

fn credential_stands(credential: &RecordedCredential) -> String {
    let by = match credential.origin {
        CredentialOrigin::Adopted => "; it was made by somebody else and is left as it is",
        _ => "",
    };
    let name = &credential.name;
    format!("the federated identity credential {name} is in place{by}")
}

/// The status of a binding that was good with this identity and this credential, which was in place since the first of these
/// times, while the binding was Ready since the second. Nothing of the status that is stored is in it, but for others' conditions.
pub fn of_known_good(
    binding: &WorkloadIdentityBinding,
    identity: ResolvedIdentity,
    credential: RecordedCredential,
    (in_place_since, ready_since): (Timestamp, Timestamp),
) -> WorkloadIdentityBindingStatus {
    let mut report = before_steps(&credential.issuer);
    identity_resolved(&mut report, &identity);
    let account = service_account_name(binding);
    let message = account_stands(binding, &account, &identity.client_id);
    report.met(ConditionType::ServiceAccountReady, Reason::Applied, message);
    report.findings.push(Finding {
        condition: ConditionType::CredentialReady,
        met: true,
        reason: Reason::InPlace,
        message: credential_stands(&credential),
        since: Some(Time(in_place_since)),
    });
    report.identity = Some(identity);
    report.credentials = Some(vec![credential]);
    let stored = binding.status.as_ref();
    let told = stored.and_then(|status| status.service_account.clone());
    report.service_account = told.filter(|told| told.name == account);
    let stored = stored.map_or(&[][..], |status| &status.conditions);
    let blank = WorkloadIdentityBinding {
        status: Some(WorkloadIdentityBindingStatus {
            conditions: of_others(stored).cloned().collect(),
            ..WorkloadIdentityBindingStatus::default()
        }),
        ..binding.clone()
    };
    let moment = Moment {
        now: ready_since,
        stood: Duration::ZERO,
        // It had its time.
        propagation_delay: Duration::ZERO,
        stalled_after: Duration::ZERO,
    };
    compute(&blank, report, &moment)
}

/// What a pass that stopped before anything could be applied has to say.
pub fn of_error(error: &Error, issuer: &str) -> Report {
    let mut report = before_steps(issuer);
    say(&mut report, error);
    report
}

/// What the cleanup of a binding that is being deleted has to say where it was stopped: what is done, and what is not.
pub fn of_departing(
    stopped: &Stopped,
    policy: DeletionPolicy,
    issuer: &str,
    allow_force_detach: bool,
) -> Report {
    let Stopped { at, error } = stopped;
    let mut report = before_steps(issuer);
    cleaned_before(*at, policy, &mut report);
    if let Some((condition, reason)) = error.finding() {
        let message = error.message_of_departing(allow_force_detach);
        report.unmet(condition, reason, message.clone());
        // Whatever else is not as it should be, such as an account that went with its namespace: this keeps the binding.
        report.unmet(ConditionType::Ready, reason, message);
    }
    report
}

/// What a binding has to say that is cleaned up and stays for the sake of others.
pub fn of_cleaned_up(policy: DeletionPolicy, issuer: &str, finalizers: &[&str]) -> Report {
    let mut report = before_steps(issuer);
    cleaned_before(Stage::Finalizer, policy, &mut report);
    let message = format!(
        "azwib is done with the binding, which goes once others take off their finalizers: {}",
        finalizers.join(", ")
    );
    report.unmet(ConditionType::Ready, Reason::CleanedUp, message);
    report
}

/// What is undone before this stage. What is to be retained stays, and so does what is said of it.
fn cleaned_before(stage: Stage, policy: DeletionPolicy, report: &mut Report) {
    if policy == DeletionPolicy::Retain {
        return;
    }
    if stage > Stage::Credentials {
        let message = "the binding has no federated identity credential any more";
        report.unmet(ConditionType::CredentialReady, Reason::CleanedUp, message);
        report.credentials = Some(vec![]);
    }
    if stage > Stage::Account {
        let message = "the service account carries nothing for this binding any more";
        report.unmet(
            ConditionType::ServiceAccountReady,
            Reason::CleanedUp,
            message,
        );
    }
}

/// The status as it stands, and that the API server does not take what there is to say: nothing of that is in it.
pub fn of_unwritten(
    binding: &WorkloadIdentityBinding,
    error: &Error,
    moment: &Moment,
) -> WorkloadIdentityBindingStatus {
    let mut report = Report::default();
    if let Some((_, reason)) = error.finding() {
        report.unmet(ConditionType::Ready, reason, error.message());
    }
    compute(binding, report, moment)
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
                // What another looks after is nothing to be frozen.
                && !is_provided(binding)
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
    let changes = Changes {
        previous: &previous.conditions,
        generation: binding.metadata.generation.unwrap_or_default(),
        now: moment.now,
    };
    let steps: Vec<_> = ConditionType::STEPS
        .into_iter()
        .map(|step| changes.step(step, report.finding(step)))
        .collect();
    let verdict = match report.finding(ConditionType::Ready) {
        Some(finding) => Verdict::unmet(finding),
        None => Verdict::of(&steps, &previous.conditions, binding, moment),
    };
    let mut conditions = vec![changes.ready(&verdict)];
    conditions.extend(changes.progress(&verdict, moment));
    conditions.extend(steps);
    let room = MAX_CONDITIONS.saturating_sub(conditions.len());
    conditions.extend(of_others(&previous.conditions).take(room).cloned());
    WorkloadIdentityBindingStatus {
        observed_generation: changes.generation,
        identity: report.identity.or(previous.identity),
        service_account: report.service_account.or(previous.service_account),
        credentials: report.credentials.unwrap_or(previous.credentials),
        conditions,
    }
}

/// The conditions that others have written, as they stand. Of more than there is room for beside ours the last ones give way:
/// who writes many does not drive out who was there before.
pub fn of_others(conditions: &[Condition]) -> impl Iterator<Item = &Condition> {
    conditions
        .iter()
        .filter(|condition| !ConditionType::is_ours(&condition.type_))
}

/// What conditions change from.
struct Changes<'a> {
    previous: &'a [Condition],
    generation: i64,
    now: Timestamp,
}

impl Changes<'_> {
    fn set(
        &self,
        type_: ConditionType,
        status: ConditionStatus,
        reason: &str,
        message: &str,
    ) -> Condition {
        let type_ = type_.as_str();
        let before = find(self.previous, type_);
        let message = lasting(before, reason, message);
        transition(
            before,
            type_,
            status,
            reason,
            message,
            self.generation,
            self.now,
        )
    }

    /// A step as it was found, or as it was: Unknown when it was never reached.
    fn step(&self, step: ConditionType, finding: Option<&Finding>) -> Condition {
        match (finding, find(self.previous, step.as_str())) {
            (Some(finding), _) => {
                let status = if finding.met {
                    ConditionStatus::True
                } else {
                    ConditionStatus::False
                };
                let reason = finding.reason.as_str();
                let mut condition = self.set(step, status, reason, &finding.message);
                let was = find(self.previous, step.as_str()).map(|it| it.status.as_str());
                if let Some(since) = &finding.since
                    && was != Some(status.as_str())
                {
                    let now = condition.last_transition_time.clone();
                    condition.last_transition_time = since.clone().min(now);
                }
                condition
            }
            (None, Some(kept)) => Condition {
                observed_generation: Some(self.generation),
                last_transition_time: kept_time(kept, self.now),
                ..kept.clone()
            },
            (None, None) => {
                let reason = Reason::Pending.as_str();
                self.set(step, ConditionStatus::Unknown, reason, "not reached yet")
            }
        }
    }

    fn ready(&self, verdict: &Verdict) -> Condition {
        let Verdict {
            status,
            reason,
            message,
        } = verdict;
        self.set(ConditionType::Ready, *status, reason, message)
    }

    /// `Reconciling` or `Stalled` of a binding that is not Ready; neither while it is suspended.
    fn progress(&self, verdict: &Verdict, moment: &Moment) -> Option<Condition> {
        let suspended = verdict.reason == Reason::Suspended.as_str();
        if verdict.status == ConditionStatus::True || suspended {
            return None;
        }
        let stalled = find(self.previous, ConditionType::Stalled.as_str());
        let type_ = if verdict.is_stalled(stalled, moment) {
            ConditionType::Stalled
        } else {
            ConditionType::Reconciling
        };
        let (reason, message) = (&verdict.reason, &verdict.message);
        Some(self.set(type_, ConditionStatus::True, reason, message))
    }
}

/// What to say, or what is said already: the API server's words may carry a time or a port, and a status must not change with
/// every try.
fn lasting(before: Option<&Condition>, reason: &str, message: &str) -> String {
    let words = [Reason::ServiceAccountRefused, Reason::BindingRefused];
    let are_of_api_server = words.iter().any(|it| it.as_str() == reason);
    before
        .filter(|before| are_of_api_server && before.reason == reason)
        .filter(|before| say_the_same(&before.message, message))
        .map_or(message, |before| &before.message)
        .to_owned()
}

#[cfg(test)]
mod tests;
