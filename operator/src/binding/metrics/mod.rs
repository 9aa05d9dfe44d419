//! What the metrics say of bindings and of the passes over them, under controller-runtime's names where it has one.

mod ages;
mod count;
mod pacing;
mod state;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::failed::Failed;
use super::settings::Settings;
use super::status::reason::Reason;
use super::workqueue::WorkqueueMetrics;

pub use state::State;

/// The value of the label `controller`.
const CONTROLLER: &str = "workloadidentitybinding";

/// Seconds: controller-runtime's buckets.
const BUCKETS: [f64; 34] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9,
    1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 60.0,
];

/// Counts of passes. Clones count together.
#[derive(Debug, Clone)]
pub struct ReconcileMetrics {
    passes: Family<[(&'static str, &'static str); 1], Counter>,
    errors: Counter,
    seconds: Histogram,
    active: Gauge,
    unverified: Family<[(&'static str, &'static str); 1], Counter>,
    pub(super) workqueue: WorkqueueMetrics,
}

impl Default for ReconcileMetrics {
    fn default() -> Self {
        Self {
            passes: Family::default(),
            errors: Counter::default(),
            seconds: Histogram::new(BUCKETS),
            active: Gauge::default(),
            unverified: Family::default(),
            workqueue: WorkqueueMetrics::default(),
        }
    }
}

impl ReconcileMetrics {
    /// Has the registry show them.
    pub fn register(&self, registry: &mut Registry, settings: &Settings) {
        self.workqueue.register(registry, CONTROLLER);
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
