//! What is stored, and how the API server refuses.

use http::Method;
use serde_json::Value;

/// The kinds that are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Grant,
    Namespace,
    Binding,
    Account,
}

impl Kind {
    pub(crate) fn resource(self) -> &'static str {
        match self {
            Self::Grant => "identitygrants",
            Self::Namespace => "namespaces",
            Self::Binding => "workloadidentitybindings",
            Self::Account => "serviceaccounts",
        }
    }

    /// Whether objects of this kind are in no namespace.
    pub(crate) fn is_of_cluster(self) -> bool {
        matches!(self, Self::Grant | Self::Namespace)
    }

    pub(crate) fn type_(self) -> (&'static str, &'static str) {
        match self {
            Self::Grant => ("azwib.dev/v1alpha1", "IdentityGrant"),
            Self::Namespace => ("v1", "Namespace"),
            Self::Binding => ("azwib.dev/v1alpha1", "WorkloadIdentityBinding"),
            Self::Account => ("v1", "ServiceAccount"),
        }
    }
}

/// Where an object is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// One change of one object.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) at: jiff::Timestamp,
    pub(crate) key: Key,
    pub(crate) type_: &'static str,
    pub(crate) object: Value,
}

/// A refusal of the API server.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    pub cause: Option<&'static str>,
}

impl Refusal {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            cause: None,
        }
    }

    pub(crate) fn not_found(key: &Key) -> Self {
        Self::new(404, "NotFound", format!("{} is not there", key.name))
    }
}

/// A call about one object, carried out or refused.
#[derive(Debug)]
pub struct Call<'a> {
    pub method: &'a Method,
    pub key: &'a Key,
    /// Whether it is about the status alone.
    pub is_status: bool,
    /// What came of it: the object, where there is one.
    pub outcome: &'a Result<Value, Refusal>,
}
