//! What of the operator's configuration the controller depends on.

use std::time::Duration;

use tokio::sync::watch;

use super::validate::Defaults;
use crate::issuer::watch::Said;
use crate::runtime::jitter;

/// What of the operator's configuration the controller depends on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// As they are now. A pass reads them once, when it begins, so that they may change while the operator runs. Today they come from
    /// flags, and nothing changes them.
    pub defaults: watch::Receiver<Defaults>,
    /// What is found of the issuer, as it is now. A pass reads it once as well.
    pub issuer: watch::Receiver<Said>,
    /// Credentials that one identity may have.
    pub credential_limit: usize,
    /// How old what is known of Azure may be.
    pub resync_period: Duration,
    /// How long a credential is given to propagate before its binding is Ready.
    pub propagation_delay: Duration,
    /// How long what was made for a binding works on that no grant covers any more.
    pub revocation_grace: Duration,
    /// How long a reason that something else can cure stands before the binding is Stalled.
    pub stalled_after: Duration,
    /// Whether a binding's own annotation may let go of it when Azure refuses to delete its credential.
    pub allow_force_detach: bool,
    /// Azure and ServiceAccounts are only looked at; statuses say what would be written.
    pub read_only: bool,
    /// Reconciles at once.
    pub max_concurrent_reconciles: u16,
}

impl Settings {
    /// The resync period, spread so that bindings do not come all at once.
    pub fn jittered_resync(&self) -> Duration {
        self.resync_period.mul_f64(jitter::factor(1.0..=1.1))
    }
}
