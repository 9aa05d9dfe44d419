//! What was spent and what went wrong, in order.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::shared::Shared;
use crate::trace::lock;

/// Whom a fault concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Concerns {
    Everybody,
    /// The bindings of an identity, by its lower-cased id, after a request about one credential.
    Credential(String, String),
    /// A binding, by namespace and name.
    Binding(String, String),
    /// The bindings of an account, by namespace and name.
    Account(String, String),
}

/// What was spent, or went wrong.
#[derive(Debug)]
pub(super) enum What {
    /// By UID.
    Status(String),
    Finalizer(String, String),
    Account(String, String),
    /// By identity and name of the credential.
    Request(String, String, &'static str),
    /// A fault of the shared reads of an identity.
    SharedRead(String),
    Fault(Concerns),
    /// Somebody else has changed something about an identity, or about all of them.
    Change(Option<String>),
}

#[derive(Debug)]
pub(super) struct Entry {
    /// The version that the cluster had.
    pub(super) version: u64,
    pub(super) quiet: bool,
    pub(super) what: What,
}

/// Everything that was spent and that went wrong.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) entries: Vec<Entry>,
    /// The version of the cluster at which the quiet time began.
    pub(super) quiet_since: Option<u64>,
    /// Statuses that somebody else has written, by UID and version of the cluster.
    pub(super) put: Vec<(String, u64)>,
    /// Who has ever waited for a slot or for another binding.
    pub(super) waited: BTreeSet<String>,
}

/// The judge of what bindings cost, who keeps such a log.
#[derive(Debug, Clone, Default)]
pub struct Costs(Arc<Mutex<Log>>);

impl Costs {
    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.0)
    }

    pub(super) fn note(&self, shared: &Shared, what: What) {
        let version = shared.cluster.version();
        let mut log = self.log();
        let quiet = log.quiet_since.is_some();
        log.entries.push(Entry {
            version,
            quiet,
            what,
        });
    }

    /// Something went wrong.
    pub(super) fn fault(&self, shared: &Shared, concerns: Concerns) {
        self.note(shared, What::Fault(concerns));
    }

    /// Whether anything has gone wrong since this version that keeps the operator from seeing a credential.
    pub fn disturbed_since(&self, version: u64, identity: &str, name: &str) -> bool {
        let log = self.log();
        let mut since = log.entries.iter().filter(|it| it.version >= version);
        since.any(|it| match &it.what {
            What::Fault(Concerns::Everybody) => true,
            What::Fault(Concerns::Credential(of, other)) => of == identity && other == name,
            What::Change(of) => of.as_deref().is_none_or(|of| of == identity),
            _ => false,
        })
    }
}
