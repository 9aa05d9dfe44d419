//! Bindings as the watch shows them and as we have written them.

use std::sync::Arc;

use azwib_crds::WorkloadIdentityBinding;
use kube::core::DeserializeGuard;
use kube::{Resource, ResourceExt};

use crate::ledger::BindingRef;

/// A binding, or why it cannot be read.
pub type Guarded = DeserializeGuard<WorkloadIdentityBinding>;

/// A binding as we know it: what the store has, unless that is older than a write of ours.
pub enum Found {
    Stored(Arc<Guarded>),
    Written(Arc<WorkloadIdentityBinding>),
}

impl Found {
    /// None where it cannot be read.
    pub fn readable(&self) -> Option<&WorkloadIdentityBinding> {
        match self {
            Self::Stored(stored) => stored.0.as_ref().ok(),
            Self::Written(written) => Some(written),
        }
    }
}

/// Those of the bindings that can be read.
pub fn readable(bindings: &[Found]) -> impl Iterator<Item = &WorkloadIdentityBinding> {
    bindings.iter().filter_map(Found::readable)
}

/// As it is kept: without the record of who wrote which field, which is of no use here, and without the room for more
/// that lists are given while they are read.
pub fn slim(binding: &mut Guarded) {
    let metadata = binding.meta_mut();
    // None, not an empty list: written back, that would have the API server forget it.
    metadata.managed_fields = None;
    if let Some(finalizers) = &mut metadata.finalizers {
        finalizers.shrink_to_fit();
    }
    if let Ok(WorkloadIdentityBinding {
        status: Some(status),
        ..
    }) = &mut binding.0
    {
        status.conditions.shrink_to_fit();
        status.credentials.shrink_to_fit();
    }
}

pub(in crate::binding) fn reference(binding: &Guarded) -> BindingRef {
    BindingRef {
        namespace: binding.namespace().unwrap_or_default(),
        name: binding.name_any(),
    }
}
