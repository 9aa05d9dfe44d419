//! What the status that is stored says of a binding. Pure.

use azwib_crds::{
    CredentialAdoption, CredentialOrigin, RecordedCredential, WorkloadIdentityBinding,
    WorkloadIdentityBindingStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::reason::{ConditionType, Reason};
use crate::binding::validate::Desired;
use crate::kubeutil::conditions::{ConditionStatus, find, is_true};

/// Whether the binding of this status was good when last seen: it records exactly the desired credential, in place.
pub fn was_good(status: Option<&WorkloadIdentityBindingStatus>, desired: &Desired) -> bool {
    let wanted = &desired.credential;
    let Some(status) = status else {
        return false;
    };
    is_true(&status.conditions, ConditionType::CredentialReady.as_str())
        && status.credentials.iter().any(|credential| {
            (credential.origin == CredentialOrigin::Created
                && credential.name == wanted.name.as_str()
                || credential.origin == CredentialOrigin::Adopted
                    && wanted.adoption == CredentialAdoption::IfIdentical)
                && credential.managed_identity().as_ref() == Some(&desired.identity)
                && credential.issuer == wanted.issuer.as_str()
                && credential.subject == wanted.subject.as_str()
                && credential.audience == wanted.audience.as_str()
        })
}

/// Whether it was good when last seen, and Ready. It keeps that through whatever does not let us look.
pub fn was_ready(binding: &WorkloadIdentityBinding, desired: &Desired) -> bool {
    let status = binding.status.as_ref();
    let ready = ConditionType::Ready.as_str();
    was_good(status, desired) && status.is_some_and(|it| is_true(&it.conditions, ready))
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

/// The credentials that it records.
pub(super) fn recorded_credentials(binding: &WorkloadIdentityBinding) -> Vec<RecordedCredential> {
    binding
        .status
        .as_ref()
        .map(|status| status.credentials.clone())
        .unwrap_or_default()
}

/// Whether status tells of anything that was made for the binding.
pub fn has_something(binding: &WorkloadIdentityBinding) -> bool {
    binding
        .status
        .as_ref()
        .is_some_and(|it| !it.credentials.is_empty() || it.service_account.is_some())
}
