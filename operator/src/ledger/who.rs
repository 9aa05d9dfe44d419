//! Who wants something of a ledger: a binding, by its name, its age and what it wants.

use std::fmt;

use azwib_crds::WorkloadIdentityBinding;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

/// A binding, by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BindingRef {
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for BindingRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl BindingRef {
    pub fn of(binding: &WorkloadIdentityBinding) -> Self {
        Self {
            namespace: binding.namespace().unwrap_or_default(),
            name: binding.name_any(),
        }
    }
}

/// Where an applicant stands in the line for a slot: by the creation of its binding, then by namespace and name, so that the
/// order is the same after a restart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    pub created: Option<Timestamp>,
    pub binding: BindingRef,
}

/// What a write is for; the order is that of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    Deletion,
    Repair,
    Creation,
}

/// Somebody who wants to write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Writer {
    pub urgency: Urgency,
    pub rank: Rank,
}

impl Writer {
    /// The binding that wants to write.
    pub fn binding(&self) -> &BindingRef {
        &self.rank.binding
    }
}
