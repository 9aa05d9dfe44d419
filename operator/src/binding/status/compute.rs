//! The status after a pass, from the one before and what the pass has to say. Pure: the time comes in.

use azwib_crds::{MAX_CONDITIONS, WorkloadIdentityBinding, WorkloadIdentityBindingStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::issuer;
use super::reason::{ConditionType, Reason};
use super::report::{Finding, Moment, Report};
use super::verdict::Verdict;
use crate::kubeutil::answers::say_the_same;
use crate::kubeutil::conditions::{ConditionStatus, find, kept_time, transition};

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
        service_account: report
            .service_account
            .or(previous.service_account)
            .filter(|_| !report.is_without_account),
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
            (Some(finding), Some(kept))
                if step == ConditionType::IssuerReady && issuer::stays(kept, finding) =>
            {
                self.kept(kept)
            }
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
            // What would have been written before says nothing of what is now.
            (None, Some(kept)) if kept.reason != Reason::ReadOnly.as_str() => self.kept(kept),
            (None, _) => {
                let reason = Reason::Pending.as_str();
                self.set(step, ConditionStatus::Unknown, reason, "not reached yet")
            }
        }
    }

    fn kept(&self, kept: &Condition) -> Condition {
        Condition {
            observed_generation: Some(self.generation),
            last_transition_time: kept_time(kept, self.now),
            ..kept.clone()
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
    let are_of_api_server = Reason::named(reason).is_some_and(Reason::quotes_api_server);
    before
        .filter(|before| are_of_api_server && before.reason == reason)
        .filter(|before| say_the_same(&before.message, message))
        .map_or(message, |before| &before.message)
        .to_owned()
}
