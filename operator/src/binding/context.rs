//! What a pass works with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use azwib_crds::{ManagedIdentityId, WorkloadIdentityBinding};
use kube::ResourceExt;
use kube_runtime::reflector::Store;
use tokio::time::Instant;

use super::Failed;
use super::account::ExistingAccount;
use super::believed::believed;
use super::error::Error;
use super::events::Events;
use super::index::{Bindings, Found};
use super::metrics::ReconcileMetrics;
use super::status::Moment;
use super::validate::{Defaults, identity_id};
use crate::kubeutil::attempts::{Attempts, Standing};
use crate::ledger::Ledgers;
use crate::runtime::chance;
use crate::runtime::clock::Clock;

/// Annotation whose change asks for fresh reads, once.
const RECONCILE_REQUESTED_AT: &str = "azwib.dev/reconcile-requested-at";

/// What of the operator's configuration the controller depends on.
#[derive(Debug, Clone)]
pub struct Settings {
    pub defaults: Defaults,
    /// Credentials that one identity may have.
    pub credential_limit: usize,
    /// How old what is known of Azure may be.
    pub resync_period: Duration,
    /// How long a credential is given to propagate before its binding is Ready.
    pub propagation_delay: Duration,
    /// How long a reason that something else can cure stands before the binding is Stalled.
    pub stalled_after: Duration,
    /// Whether a binding's own annotation may let go of it when Azure refuses to delete its credential.
    pub allow_force_detach: bool,
    /// Reconciles at once.
    pub max_concurrent_reconciles: u16,
}

impl Settings {
    /// The resync period, spread so that bindings do not come all at once.
    pub fn jittered_resync(&self) -> Duration {
        self.resync_period.mul_f64(chance::factor(1.0..=1.1))
    }
}

/// What asks for fresh reads: the annotation's value and the generation.
type Request = (Option<String>, Option<i64>);

/// Clients, stores and memory that all passes share.
pub struct Context {
    pub client: kube::Client,
    pub ledgers: Arc<Ledgers>,
    pub bindings: Bindings,
    pub accounts: Store<ExistingAccount>,
    pub settings: Settings,
    pub attempts: Attempts,
    /// Of those that wait for somebody else, and of Azure's wish for a pause.
    pub waits: Attempts,
    /// Of statuses that the API server does not take.
    pub unwritten: Attempts,
    /// The last request for fresh reads, and when it was seen, by UID.
    pub requests: Mutex<HashMap<String, (Request, Instant)>>,
    pub events: Events,
    pub metrics: ReconcileMetrics,
    pub clock: Clock,
}

impl Context {
    /// The issuer as configured.
    pub fn issuer(&self) -> &str {
        self.settings.defaults.issuer.as_str()
    }

    /// Does something for the identity that a binding names, where it can be told.
    pub fn with_identity(
        &self,
        binding: &WorkloadIdentityBinding,
        act: impl FnOnce(&ManagedIdentityId),
    ) {
        let identity = identity_id(&binding.spec.identity, &self.settings.defaults);
        if let Ok(identity) = identity {
            act(&identity);
        }
    }

    /// Now, for a reason that has stood for so long.
    pub fn moment(&self, stood: Duration) -> Moment {
        Moment {
            now: self.clock.now(),
            stood,
            propagation_delay: self.settings.propagation_delay,
            stalled_after: self.settings.stalled_after,
        }
    }

    /// Whether another binding that is being deleted still records a credential on this binding's identity.
    pub fn is_deletion_pending(&self, binding: &WorkloadIdentityBinding) -> bool {
        let status = binding.status.as_ref();
        let Some(identity) = status
            .and_then(|status| status.identity.as_ref())
            .and_then(|identity| ManagedIdentityId::parse(&identity.resource_id).ok())
        else {
            return false;
        };
        let others = self.bindings.of_identity(&identity);
        readable(&others)
            .filter(|other| other.metadata.deletion_timestamp.is_some())
            .filter(|other| other.uid() != binding.uid())
            .filter_map(|other| other.status.as_ref())
            .flat_map(|status| &status.credentials)
            .any(|it| it.resource_id.eq_ignore_ascii_case(identity.as_str()))
    }

    /// Since when the binding asks for fresh reads, by its annotation or by a spec that was not looked at yet. One request
    /// is seen once: the status that says that it was served may take a moment to come back.
    pub fn fresh_reads_since(&self, binding: &WorkloadIdentityBinding) -> Option<Instant> {
        let requested = binding.annotations().get(RECONCILE_REQUESTED_AT);
        if requested.is_none() && !spec_has_changed(binding) {
            return None;
        }
        let asked = (requested.cloned(), binding.metadata.generation);
        let mut seen = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, since) = seen
            .entry(binding.uid().unwrap_or_default())
            .or_insert_with(|| (asked.clone(), Instant::now()));
        if *last != asked {
            (*last, *since) = (asked, Instant::now());
        }
        Some(*since)
    }

    /// Forgets what is remembered about an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.succeeded(uid);
        self.unwritten.forget(uid);
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }

    /// Forgets what stood against an object that is as it should be.
    pub fn succeeded(&self, uid: &str) {
        self.attempts.forget(uid);
        self.waits.forget(uid);
    }

    /// Notes one more failure of this object and says when it is tried again.
    pub fn failed(&self, uid: &str, error: Error) -> Failed {
        let standing = self.note_failure(uid, &error);
        let retry_in = error.pace().delay(standing);
        Failed { error, retry_in }
    }

    /// Notes one more failure of this object. A wait is counted by itself, and so is Azure's wish for one: what stood
    /// against the object before it stands on. Were it forgotten, its tries would begin anew at their quickest, and a few
    /// claims that Azure refuses would keep their identity throttled for ever.
    pub fn note_failure(&self, uid: &str, error: &Error) -> Standing {
        if error.is_wait() {
            return self.waits.failed(uid, error.attempt_key());
        }
        self.waits.forget(uid);
        self.attempts.failed(uid, error.attempt_key())
    }

    /// The bindings that name this account, from the watch, with what their statuses can say of them.
    pub fn siblings(&self, namespace: &str, service_account: &str) -> Vec<WorkloadIdentityBinding> {
        readable(&self.bindings.of_account(namespace, service_account))
            .map(|sibling| believed(sibling, &self.settings.defaults).into_owned())
            .collect()
    }
}

/// Those of the bindings that can be read.
pub(super) fn readable(bindings: &[Found]) -> impl Iterator<Item = &WorkloadIdentityBinding> {
    bindings.iter().filter_map(Found::readable)
}

/// Whether the spec has changed since it was last looked at: what is said of it then should not be an old answer.
fn spec_has_changed(binding: &WorkloadIdentityBinding) -> bool {
    binding.status.as_ref().is_some_and(|status| {
        status.observed_generation > 0
            && Some(status.observed_generation) != binding.metadata.generation
    })
}
