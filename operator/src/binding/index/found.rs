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
    Stored(Box<Guarded>),
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

/// As it is kept: without the record of who wrote which field, which is of no use here.
pub fn slim(binding: &mut Guarded) {
    // None, not an empty list: written back, that would have the API server forget it.
    binding.meta_mut().managed_fields = None;
}

pub(in crate::binding) fn reference(binding: &Guarded) -> BindingRef {
    BindingRef {
        namespace: binding.namespace().unwrap_or_default(),
        name: binding.name_any(),
    }
}
