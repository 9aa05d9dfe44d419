//! Bindings of one account and identity.

use azwib_crds::WorkloadIdentityBinding;

use crate::bindings::{account, age, identity_id, is_for};

/// Whether a binding is for this account and identity.
pub(super) fn belongs(
    binding: &WorkloadIdentityBinding,
    namespace: &str,
    account: &str,
    identity: &str,
) -> bool {
    binding.metadata.namespace.as_deref() == Some(namespace)
        && binding.spec.service_account.name.as_deref() == Some(account)
        && is_for(binding, identity)
}

/// The oldest of those with the same account and identity that are older.
pub(super) fn older_duplicate<'a>(
    bindings: &'a [WorkloadIdentityBinding],
    binding: &WorkloadIdentityBinding,
) -> Option<&'a WorkloadIdentityBinding> {
    let (namespace, account) = account(binding);
    let id = identity_id(binding);
    let older = bindings.iter().filter(|other| {
        other.metadata.uid != binding.metadata.uid
            && other.metadata.deletion_timestamp.is_none()
            && belongs(other, namespace, account, id)
            && age(other) < age(binding)
    });
    older.min_by_key(|other| age(other))
}
