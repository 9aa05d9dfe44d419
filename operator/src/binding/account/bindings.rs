//! The bindings that count for an account.

use azwib_crds::{DeletionPolicy, ResolvedIdentity, ServiceAccountRole, WorkloadIdentityBinding};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

/// So many bindings of one account are served, the oldest of them: what one of them may do depends on all others, so that each
/// change costs a look at each. All of them own the account, and fewer owners than that are read of one.
pub const BINDINGS_OF_AN_ACCOUNT: usize = 100;

/// A binding that counts for an account: granted, not being deleted, its identity resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountBinding {
    pub name: String,
    pub uid: String,
    pub created: Option<Timestamp>,
    pub role: ServiceAccountRole,
    pub suspended: bool,
    pub client_id: String,
    pub tenant_id: String,
    /// Seconds.
    pub token_expiration_seconds: i32,
    pub deletion_policy: DeletionPolicy,
}

/// All bindings that count for the account of `binding`: itself, and those others of the account that count.
pub fn account_bindings(
    binding: &WorkloadIdentityBinding,
    identity: &ResolvedIdentity,
    bindings_of_account: &[WorkloadIdentityBinding],
) -> Vec<AccountBinding> {
    bindings_of_account
        .iter()
        .filter(|other| other.uid() != binding.uid())
        .filter_map(account_binding)
        .chain([account_binding_with(binding, identity)])
        .collect()
}

/// A binding that counts for its account; None while it is being deleted or its identity was never resolved.
pub fn account_binding(binding: &WorkloadIdentityBinding) -> Option<AccountBinding> {
    if binding.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let identity = binding.status.as_ref()?.identity.as_ref()?;
    Some(account_binding_with(binding, identity))
}

/// This binding as one of its account, with that identity.
pub fn account_binding_with(
    binding: &WorkloadIdentityBinding,
    identity: &ResolvedIdentity,
) -> AccountBinding {
    AccountBinding {
        name: binding.name_any(),
        uid: binding.uid().unwrap_or_default(),
        created: binding.creation_timestamp().map(|time| time.0),
        role: binding.spec.service_account.role,
        suspended: binding.spec.suspend,
        client_id: identity.client_id.clone(),
        tenant_id: identity.tenant_id.clone(),
        token_expiration_seconds: binding.spec.service_account.token_expiration_seconds,
        deletion_policy: binding.spec.deletion_policy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::fixtures::{DELETED, binding};

    #[test]
    fn a_binding_counts_once_its_identity_was_resolved_and_until_it_is_deleted() {
        assert!(account_binding(&binding("a", 1, "")).is_some());
        assert!(account_binding(&binding("a", 1, DELETED)).is_none());
        let mut unresolved = binding("a", 1, "");
        unresolved.status.as_mut().unwrap().identity = None;
        assert!(account_binding(&unresolved).is_none());
        unresolved.status = None;
        assert!(account_binding(&unresolved).is_none());
    }

    #[test]
    fn a_binding_counts_with_what_was_just_read_and_the_others_with_what_they_recorded() {
        let a = binding("a", 1, "");
        let bindings_of_account = [a.clone(), binding("b", 2, ""), binding("c", 3, DELETED)];
        let read = ResolvedIdentity {
            client_id: "client-new".to_owned(),
            ..a.status.clone().unwrap().identity.unwrap()
        };
        let counted = account_bindings(&a, &read, &bindings_of_account);
        let mut client_ids: Vec<_> = counted.iter().map(|it| it.client_id.as_str()).collect();
        client_ids.sort_unstable();
        assert_eq!(client_ids, ["client-b", "client-new"]);
    }
}
