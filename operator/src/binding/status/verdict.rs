//! `Ready`, and whether what stops a binding counts as stalled. Pure.

use std::time::Duration;

use azwib_crds::WorkloadIdentityBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::reason::{ConditionType, Persistence, Reason};
use super::report::{Finding, Moment};
use crate::binding::validate::service_account_name;
use crate::kubeutil::conditions::{ConditionStatus, find, is_true};
use crate::runtime::deliberate::Bug;

/// How long a reason that Azure's roles or a sign-in can cure stands before it counts as stalled: role assignments can
/// take this long to apply (Azure RBAC troubleshooting, "up to 10 minutes").
const STALLED_IN_AZURE: Duration = Duration::from_secs(600);

/// What `Ready` says.
pub(super) struct Verdict {
    pub(super) status: ConditionStatus,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Verdict {
    /// Not Ready, for this reason.
    pub(super) fn unmet(finding: &Finding) -> Self {
        Self {
            status: ConditionStatus::False,
            reason: finding.reason.to_string(),
            message: finding.message.clone(),
        }
    }

    /// From the first step that failed or was not reached, then from the propagation of the credential.
    pub(super) fn of(
        steps: &[Condition],
        previous: &[Condition],
        binding: &WorkloadIdentityBinding,
        moment: &Moment,
    ) -> Self {
        for status in [ConditionStatus::False, ConditionStatus::Unknown] {
            if let Some(step) = first(steps, status) {
                return Self {
                    status,
                    reason: step.reason.clone(),
                    message: step.message.clone(),
                };
            }
        }
        if !has_propagated(previous) && !propagation_left(steps, moment).is_zero() {
            let message =
                "the credential is in place, and is given time to propagate in Microsoft Entra";
            return Self {
                status: ConditionStatus::False,
                reason: Reason::Propagating.to_string(),
                message: message.to_owned(),
            };
        }
        let account = service_account_name(binding);
        let message = format!(
            "pods that use the service account {account} can get tokens of the managed identity"
        );
        let provided = Reason::ProvidedByOlderBinding;
        match steps.iter().find(|step| step.reason == provided.as_str()) {
            None => Self {
                status: ConditionStatus::True,
                reason: Reason::Succeeded.to_string(),
                message,
            },
            Some(step) => Self {
                status: ConditionStatus::True,
                reason: provided.to_string(),
                message: format!("{message}; {}", step.message),
            },
        }
    }

    /// Whether this counts as stalled; `previous` is the condition as it stands.
    pub(super) fn is_stalled(&self, previous: Option<&Condition>, moment: &Moment) -> bool {
        let reason = Reason::named(&self.reason);
        let Some(threshold) = reason.and_then(|reason| stalls_after(reason, moment)) else {
            return false;
        };
        // After a restart the memory of how long a reason has stood is gone; what was said already stays said.
        moment.stood >= threshold || previous.is_some_and(|previous| previous.reason == self.reason)
    }
}

/// The first step with this status. An account that waits for its credential is not what is wrong where anything else
/// is.
fn first(steps: &[Condition], status: ConditionStatus) -> Option<&Condition> {
    let waits = |step: &&Condition| step.reason == Reason::WaitingForCredential.as_str();
    let mut unmet = steps.iter().filter(|step| step.status == status.as_str());
    unmet
        .clone()
        .find(|step| !waits(step))
        .or_else(|| unmet.next())
}

/// Whether the credential that is in place has had its time: it was Ready with it. Whatever the clocks say, a good
/// binding does not wait once more.
fn has_propagated(conditions: &[Condition]) -> bool {
    [ConditionType::CredentialReady, ConditionType::Ready]
        .iter()
        .all(|type_| is_true(conditions, type_.as_str()) && !Bug::FutureTimeJudgedAnew.is_on())
}

/// How long a credential that is in place still needs to propagate.
///
/// A transition in the future (clocks differ) counts as one of now; the next status puts it right, so that it counts so
/// once.
pub fn propagation_left(conditions: &[Condition], moment: &Moment) -> Duration {
    if has_propagated(conditions) {
        return Duration::ZERO;
    }
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
