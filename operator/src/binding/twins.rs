//! Bindings of the same account for the same identity: the oldest alone makes the claim, and it goes on to the next.

use azwib_crds::{ManagedIdentityId, WorkloadIdentityBinding};
use kube::ResourceExt;

use super::claims::rank;
use super::validate::{Defaults, identity_id};
use crate::runtime::deliberate::Bug;

/// The oldest of the older bindings with the same account and identity: it alone makes the claim.
pub fn older_twin(
    binding: &WorkloadIdentityBinding,
    identity: &ManagedIdentityId,
    siblings: &[WorkloadIdentityBinding],
    defaults: &Defaults,
) -> Option<String> {
    siblings
        .iter()
        .filter(|sibling| is_older_twin(sibling, binding, identity, defaults))
        .filter(|_| !Bug::TwinsBothCount.is_on())
        .map(rank)
        .min()
        .map(|oldest| oldest.binding.name)
}

/// Whether `sibling`, a binding of the same account, comes before this one with the same identity.
pub fn is_older_twin(
    sibling: &WorkloadIdentityBinding,
    binding: &WorkloadIdentityBinding,
    identity: &ManagedIdentityId,
    defaults: &Defaults,
) -> bool {
    is_live_twin(sibling, binding.uid().as_deref(), identity, defaults)
        && rank(sibling) < rank(binding)
}

/// Whether `sibling`, a binding of the same account, is another than the one with this UID, is for that identity, and is
/// not being deleted.
pub fn is_live_twin(
    sibling: &WorkloadIdentityBinding,
    uid: Option<&str>,
    identity: &ManagedIdentityId,
    defaults: &Defaults,
) -> bool {
    sibling.uid().as_deref() != uid
        && sibling.metadata.deletion_timestamp.is_none()
        && identity_id(&sibling.spec.identity, defaults).is_ok_and(|other| other == *identity)
}

#[cfg(test)]
mod tests;
