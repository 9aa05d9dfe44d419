//! What a pass has changed: one line in the log for each pass that changed something.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use crate::ledger::BindingRef;
use crate::runtime::lock::lock;

/// What can be changed for a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Changed {
    Finalizer,
    ServiceAccount,
    Credential,
    Status,
}

/// What one pass has changed so far.
#[derive(Debug, Default)]
pub(super) struct Changes(Mutex<BTreeSet<Changed>>);

impl Changes {
    pub(super) fn note(&self, what: Changed) {
        lock(&self.0).insert(what);
    }

    /// What was changed, separated by commas; empty where nothing was.
    pub(super) fn names(&self) -> String {
        let names: Vec<_> = lock(&self.0).iter().map(ToString::to_string).collect();
        names.join(",")
    }
}

/// The line of a pass that has ended, if it changed anything: the names of that. docs/reference/logs.md names its fields.
pub(super) fn tell(changed: &str, binding: &BindingRef, took: Duration) {
    if changed.is_empty() {
        return;
    }
    tracing::info!(
        %binding,
        changed,
        milliseconds = took.as_millis(),
        "reconciled"
    );
}

impl fmt::Display for Changed {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Finalizer => "finalizer",
            Self::ServiceAccount => "serviceaccount",
            Self::Credential => "credential",
            Self::Status => "status",
        })
    }
}
