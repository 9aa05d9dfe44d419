//! What of a binding's status can be its own. Pure.
//!
//! Status is the only memory of what was made, and others can write it: a backup that is restored with status, a clone of
//! the whole cluster, `kubectl replace --subresource=status`. What cannot be this binding's is left out before a pass
//! begins, so that no step is copied from it and nothing is deleted for it.

use std::borrow::Cow;

use azwib_crds::{
    CredentialName, CredentialOrigin, IdentityReference, Issuer, ManagedIdentityId,
    RecordedCredential, ResolvedIdentity, Subject, WorkloadIdentityBinding,
    WorkloadIdentityBindingStatus,
};
use kube::ResourceExt;

use super::reason::ConditionType;
use crate::binding::validate::{Defaults, service_account_name};
use crate::kubeutil::conditions::ConditionStatus;
use crate::runtime::deliberate::Bug;

/// The steps that another cluster may have done.
const DONE_ELSEWHERE: [ConditionType; 4] = [
    ConditionType::IssuerReady,
    ConditionType::IdentityResolved,
    ConditionType::ServiceAccountReady,
    ConditionType::CredentialReady,
];

/// Whose credential a record tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// The binding's own, under the name that the operator derives for it.
    Own {
        identity: ManagedIdentityId,
        name: CredentialName,
    },
    /// Somebody else's, which the binding has adopted.
    Adopted,
    /// It was made for another issuer: another cluster's, or this one's before its issuer changed. The two look alike, so
    /// such a credential is never touched.
    OfOtherIssuer,
    /// The operator would not have recorded this for this binding.
    Foreign(&'static str),
}

/// What of a binding decides whether a record can be its own.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    pub namespace: &'a str,
    pub service_account: &'a str,
    /// None where the spec cannot be read.
    pub identity: Option<&'a IdentityReference>,
}

/// Whose credential this record tells of.
///
/// The name is derived, never believed: somebody who can write status cannot have another credential deleted.
pub fn whose(record: &RecordedCredential, owner: &Owner<'_>, issuer: &Issuer) -> Recorded {
    let Ok(recorded_issuer) = Issuer::parse(&record.issuer) else {
        return Recorded::Foreign("its recorded issuer cannot be read");
    };
    let Some(identity) = record.managed_identity() else {
        return Recorded::Foreign("its recorded resource id is missing or cannot be read");
    };
    if !owner.identity.is_none_or(|it| can_mean(it, &identity)) {
        return Recorded::Foreign(
            "its recorded resource id is not that of the identity that this binding names",
        );
    }
    let name = CredentialName::derive(&recorded_issuer, owner.namespace, owner.service_account);
    let is_derived = record.name == name.as_str();
    if !is_derived && record.origin != CredentialOrigin::Adopted {
        return Recorded::Foreign(
            "its recorded name is not the one that azwib derives for this binding",
        );
    }
    let subject = Subject::of_service_account(owner.namespace, owner.service_account);
    if !is_derived && record.subject != subject.as_str() {
        return Recorded::Foreign(
            "its recorded subject is not that of this binding's service account",
        );
    }
    // Where it is not known which is this cluster's, a record may be its own: nothing is done by it meanwhile.
    let is_other = recorded_issuer != *issuer && !issuer.is_of_nobody();
    if is_other && !Bug::OtherIssuerDeleted.is_on() {
        return Recorded::OfOtherIssuer;
    }
    // A credential with the derived name cannot have been adopted, whatever its record says.
    if is_derived {
        Recorded::Own { identity, name }
    } else {
        Recorded::Adopted
    }
}

/// Whether a reference can have been resolved to this identity, whatever the operator's defaults were then.
pub fn can_mean(reference: &IdentityReference, identity: &ManagedIdentityId) -> bool {
    let meant = match (&reference.resource_id, &reference.name) {
        (Some(resource_id), _) => ManagedIdentityId::parse(resource_id),
        (None, Some(name)) => {
            let subscription = reference.subscription_id.as_deref();
            let group = reference.resource_group.as_deref();
            ManagedIdentityId::new(
                subscription.unwrap_or(identity.subscription_id()),
                group.unwrap_or(identity.resource_group()),
                name,
            )
        }
        (None, None) => return false,
    };
    meant.is_ok_and(|meant| meant == *identity)
}

/// Whether status records a credential of the binding's own.
pub fn records_own(binding: &WorkloadIdentityBinding, issuer: &Issuer) -> bool {
    let Some(status) = binding
        .status
        .as_ref()
        .filter(|it| !it.credentials.is_empty())
    else {
        return false;
    };
    let (namespace, account) = names(binding);
    let owner = owner(binding, &namespace, &account);
    status
        .credentials
        .iter()
        .any(|record| matches!(whose(record, &owner, issuer), Recorded::Own { .. }))
}

/// The binding with only that part of its status which can be its own. Borrowed, as a rule: then that is all of it.
pub fn believed<'a>(
    binding: &'a WorkloadIdentityBinding,
    defaults: &Defaults,
) -> Cow<'a, WorkloadIdentityBinding> {
    let Some(status) = binding
        .status
        .as_ref()
        .filter(|_| !Bug::ForeignStatusBelieved.is_on())
    else {
        return Cow::Borrowed(binding);
    };
    let believed = believed_status(binding, status, &defaults.issuer);
    if believed == *status {
        return Cow::Borrowed(binding);
    }
    Cow::Owned(with_status(binding, believed))
}

/// The binding without the records of other issuers; None where it has none.
pub fn without_other_issuers(
    binding: &WorkloadIdentityBinding,
    issuer: &Issuer,
) -> Option<WorkloadIdentityBinding> {
    let mut status = binding.status.clone()?;
    let before = status.credentials.len();
    status
        .credentials
        .retain(|record| record.issuer == issuer.as_str());
    (status.credentials.len() < before).then(|| with_status(binding, status))
}

fn with_status(
    binding: &WorkloadIdentityBinding,
    status: WorkloadIdentityBindingStatus,
) -> WorkloadIdentityBinding {
    WorkloadIdentityBinding {
        status: Some(status),
        ..binding.clone()
    }
}

fn believed_status(
    binding: &WorkloadIdentityBinding,
    status: &WorkloadIdentityBindingStatus,
    issuer: &Issuer,
) -> WorkloadIdentityBindingStatus {
    let (namespace, account) = names(binding);
    let owner = owner(binding, &namespace, &account);
    let (mut other_issuer, mut own) = (false, false);
    let mut in_place = false;
    let mut credentials = status.credentials.clone();
    credentials.retain_mut(|record| match whose(record, &owner, issuer) {
        Recorded::Foreign(_) => false,
        Recorded::OfOtherIssuer => {
            other_issuer = true;
            true
        }
        Recorded::Own { .. } => {
            if record.origin == CredentialOrigin::Adopted {
                record.origin = CredentialOrigin::Created;
            }
            own = true;
            in_place |= record.origin == CredentialOrigin::Created;
            true
        }
        Recorded::Adopted => {
            in_place = true;
            true
        }
    });
    let mut believed = WorkloadIdentityBindingStatus {
        credentials,
        ..status.clone()
    };
    if is_of_another(binding, status) {
        believed.observed_generation = -1;
        believed.identity = None;
        believed.service_account = None;
        believed
            .conditions
            .retain(|it| !ConditionType::is_ours(&it.type_));
    }
    believed.conditions.retain(|condition| {
        let says = |step: &ConditionType| {
            condition.type_ == step.as_str() && condition.status == ConditionStatus::True.as_str()
        };
        // Done by another cluster, perhaps, unless this one has written since; or said of a credential that nothing tells of.
        !(other_issuer && !own && DONE_ELSEWHERE.iter().any(says)
            || !in_place && says(&ConditionType::CredentialReady))
    });
    believed
}

/// Whether a status speaks of another identity or account than the spec, both of which never change.
pub fn is_of_another(
    binding: &WorkloadIdentityBinding,
    status: &WorkloadIdentityBindingStatus,
) -> bool {
    let can_be = |identity: &ResolvedIdentity| {
        let identity = identity.managed_identity();
        identity.is_some_and(|it| can_mean(&binding.spec.identity, &it))
    };
    let (identity, account) = (status.identity.as_ref(), status.service_account.as_ref());
    identity.is_some_and(|it| !can_be(it))
        || account.is_some_and(|it| it.name != service_account_name(binding))
}

fn names(binding: &WorkloadIdentityBinding) -> (String, String) {
    (
        binding.namespace().unwrap_or_default(),
        service_account_name(binding),
    )
}

fn owner<'a>(
    binding: &'a WorkloadIdentityBinding,
    namespace: &'a str,
    account: &'a str,
) -> Owner<'a> {
    Owner {
        namespace,
        service_account: account,
        identity: Some(&binding.spec.identity),
    }
}

#[cfg(test)]
mod tests;
