//! What the metrics say of bindings and of the passes over them, under controller-runtime's names where it has one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use azwib_crds::ManagedIdentityId;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::credential::orphans::orphans;
use super::failed::Failed;
use super::index::{Bindings, Packed};
use super::settings::Settings;
use super::status::reason::{ConditionType, Reason};
use crate::grant::{Authority, Mode};
use crate::ledger::Ledgers;

/// The value of the label `controller`.
const CONTROLLER: &str = "workloadidentitybinding";

/// Seconds: controller-runtime's buckets.
const BUCKETS: [f64; 34] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9,
    1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 60.0,
];

/// The label of what a status says that this version does not know.
const OTHER: &str = "Other";

/// Counts of passes. Clones count together.
#[derive(Debug, Clone)]
pub struct ReconcileMetrics {
    passes: Family<[(&'static str, &'static str); 1], Counter>,
    errors: Counter,
    seconds: Histogram,
    active: Gauge,
    unverified: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Default for ReconcileMetrics {
    fn default() -> Self {
        Self {
            passes: Family::default(),
            errors: Counter::default(),
            seconds: Histogram::new(BUCKETS),
            active: Gauge::default(),
            unverified: Family::default(),
        }
    }
}

impl ReconcileMetrics {
    /// Has the registry show them.
    pub fn register(&self, registry: &mut Registry, settings: &Settings) {
        let registry = registry.sub_registry_with_label(("controller".into(), CONTROLLER.into()));
        registry.register(
            "controller_runtime_reconcile",
            "Reconciles, by result: success, requeue_after (waits for something) or error",
            self.passes.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_errors",
            "Reconciles that ended with an error",
            self.errors.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "How long a reconcile took",
            self.seconds.clone(),
        );
        registry.register(
            "controller_runtime_active_workers",
            "Reconciles under way",
            self.active.clone(),
        );
        registry.register(
            "controller_runtime_max_concurrent_reconciles",
            "Reconciles that may be under way at once (--max-concurrent-reconciles)",
            ConstGauge::new(i64::from(settings.max_concurrent_reconciles)),
        );
        registry.register(
            "azwib_unverified_reconciles",
            "Reconciles that could not compare a Ready binding with Azure, by reason; the binding stays Ready",
            self.unverified.clone(),
        );
    }

    /// Counts a pass from here to [`Pass::ended`].
    pub(super) fn begin(&self) -> Pass<'_> {
        self.active.inc();
        Pass {
            metrics: self,
            began: Instant::now(),
        }
    }

    /// Counts a good binding that could not be looked at.
    pub(super) fn unverified(&self, reason: Reason) {
        let label = [("reason", reason.as_str())];
        self.unverified.get_or_create(&label).inc();
    }
}

/// A pass under way.
pub(super) struct Pass<'a> {
    metrics: &'a ReconcileMetrics,
    began: Instant,
}

impl Pass<'_> {
    pub(super) fn ended<T>(self, outcome: &Result<T, Failed>) {
        let result = match outcome {
            Ok(_) => "success",
            Err(failed) if failed.error.is_progress() => "requeue_after",
            Err(_) => {
                self.metrics.errors.inc();
                "error"
            }
        };
        let passes = &self.metrics.passes;
        passes.get_or_create(&[("result", result)]).inc();
        let seconds = self.began.elapsed().as_secs_f64();
        self.metrics.seconds.observe(seconds);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.metrics.active.dec();
    }
}

/// What is true now, looked up when it is asked for: nothing is left of a binding or an identity that is gone.
pub struct State {
    pub bindings: Bindings,
    pub grants: Arc<Authority>,
    pub ledgers: Arc<Ledgers>,
    pub settings: Settings,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut of_bindings = encoder.encode_descriptor(
            "azwib_bindings",
            "Bindings, by what a condition of theirs says",
            None,
            MetricType::Gauge,
        )?;
        for (labels, count) in self.conditions() {
            ConstGauge::new(count).encode(of_bindings.encode_family(&labels)?)?;
        }
        let mut mode = encoder.encode_descriptor(
            "azwib_grants_mode",
            "1 for what --grants is now: enforce, audit or off",
            None,
            MetricType::Gauge,
        )?;
        let now = self
            .grants
            .mode(|| self.bindings.some_are_admitted_without_grant());
        for one in [Mode::Enforce, Mode::Audit, Mode::Off] {
            let label = [("mode", one.as_str())];
            ConstGauge::new(i64::from(one == now)).encode(mode.encode_family(&label)?)?;
        }
        let remains = encoder.encode_descriptor(
            "azwib_bindings_with_access_without_grant",
            "Bindings that no grant covers and to which an adopted credential still gives access",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(self.with_access_without_grant()).encode(remains)?;
        let identities = self.identities();
        let mut gauge = |name, help, value: fn(&Slots) -> usize| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            identities.iter().try_for_each(|(identity, slots)| {
                let label = [("identity", identity.key())];
                let value = i64::try_from(value(slots)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(family.encode_family(&label)?)
            })
        };
        gauge(
            "azwib_credential_slots_used",
            "Federated identity credentials of an identity when it was last listed, foreign ones included",
            |slots| slots.used,
        )?;
        gauge(
            "azwib_credential_slots_limit",
            "Federated identity credentials that an identity may have (--credential-limit)",
            |slots| slots.limit,
        )?;
        gauge(
            "azwib_orphaned_credentials",
            "Credentials of azwib on an identity that no binding has to do with any more, retained ones among them",
            |slots| slots.orphans,
        )
    }
}

struct Slots {
    used: usize,
    limit: usize,
    orphans: usize,
}

type ConditionLabels = [(&'static str, &'static str); 3];

impl State {
    fn conditions(&self) -> BTreeMap<ConditionLabels, i64> {
        let mut counts = BTreeMap::new();
        for kept in self.bindings.store().state() {
            for labels in labels(&kept) {
                *counts.entry(labels).or_default() += 1;
            }
        }
        counts
    }

    fn with_access_without_grant(&self) -> i64 {
        let kept = self.bindings.store().state();
        let count = kept.iter().filter(|kept| {
            let mut shown = kept.shown().into_iter().flatten();
            let is_refused = shown.any(|it| {
                it.type_ == ConditionType::Granted && it.reason == Some(Reason::NotGranted)
            });
            is_refused && kept.has_adopted()
        });
        i64::try_from(count.count()).unwrap_or(i64::MAX)
    }

    /// The identities that bindings have to do with, as far as they were listed.
    fn identities(&self) -> Vec<(ManagedIdentityId, Slots)> {
        let slots = |identity: ManagedIdentityId| {
            let listing = self.ledgers.last_listing(&identity)?;
            let issuer = &self.settings.defaults.borrow().issuer.clone();
            let slots = Slots {
                used: listing.len(),
                limit: self.settings.credential_limit,
                orphans: orphans(&listing, &identity, issuer, &self.bindings).len(),
            };
            Some((identity, slots))
        };
        let identities = self.bindings.identities();
        identities.into_iter().filter_map(slots).collect()
    }
}

fn labels(binding: &Packed) -> Vec<ConditionLabels> {
    // One that is on its way out says nothing of the state of the cluster.
    if binding.goes {
        return vec![];
    }
    let Some(shown) = binding.shown() else {
        let invalid = Reason::InvalidSpec.as_str();
        return vec![
            label(ConditionType::Ready.as_str(), "False", invalid),
            label(ConditionType::Stalled.as_str(), "True", invalid),
        ];
    };
    let labels = shown.iter().map(|it| {
        let reason = it.reason.map_or(OTHER, Reason::as_str);
        label(it.type_.as_str(), it.status.as_str(), reason)
    });
    labels.collect()
}

fn label(condition: &'static str, status: &'static str, reason: &'static str) -> ConditionLabels {
    [
        ("condition", condition),
        ("status", status),
        ("reason", reason),
    ]
}
