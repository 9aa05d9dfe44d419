//! What a binding is found by. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use azwib_crds::{ResolvedIdentity, WorkloadIdentityBinding};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::binding::credential::applicants::Account;
use crate::binding::validate::{self, Defaults, service_account_name};

/// When a binding was created. One that does not say so counts as the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age(pub(super) Option<Timestamp>);

impl Age {
    /// That of what nobody knows the age of.
    pub const OLDEST: Self = Self(None);
}

/// What one binding is found by.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) account: Arc<Account>,
    /// Where it stands among those of its account; None while it is being deleted.
    pub(super) age: Option<Age>,
    /// What its spec names, what its status has resolved, and where its credentials are.
    pub(super) identities: Vec<Arc<str>>,
}

/// What a binding is found by.
pub(super) fn keys(binding: &WorkloadIdentityBinding, defaults: &Defaults) -> Keys {
    let status = binding.status.as_ref();
    let resolved = status.and_then(|status| status.identity.as_ref());
    let identities = validate::identities(binding, defaults)
        .chain(resolved.and_then(ResolvedIdentity::managed_identity));
    let identities: BTreeSet<_> = identities.map(|id| Arc::from(id.key())).collect();
    Keys {
        account: Arc::new((
            binding.namespace().unwrap_or_default(),
            service_account_name(binding),
        )),
        age: binding
            .metadata
            .deletion_timestamp
            .is_none()
            .then(|| Age(binding.creation_timestamp().map(|time| time.0))),
        identities: identities.into_iter().collect(),
    }
}
