//! What is remembered of bindings that have gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::keys::Keys;
use crate::binding::credential::applicants::Account;
use crate::ledger::BindingRef;

/// How long what has gone is remembered: no settle time is longer.
pub(super) const GONE_KEPT: Duration = Duration::from_secs(3600);

/// A binding that has gone.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) at: Instant,
    pub(super) binding: BindingRef,
    pub(super) trace: Trace,
}

/// A binding that cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) uid: String,
    /// What was recorded for it while it could be read.
    pub(super) trace: Option<Trace>,
}

/// Where something was recorded for a binding.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    pub(super) account: Arc<Account>,
    pub(super) identities: Vec<Arc<str>>,
}

impl From<&Keys> for Trace {
    fn from(keys: &Keys) -> Self {
        Self {
            account: Arc::clone(&keys.account),
            identities: keys.identities.clone(),
        }
    }
}
