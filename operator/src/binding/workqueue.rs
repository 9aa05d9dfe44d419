//! What the metrics say of the queue in which bindings wait for a pass, under the names that client-go gives its own.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::ledger::BindingRef;
use crate::runtime::lock::lock;

/// Seconds: the buckets of controller-runtime, from 10 ns, each ten times the one before.
const FIRST_BUCKET: f64 = 1e-8;
const BUCKETS: u16 = 12;

/// Counts what goes through the queue. Clones count together.
#[derive(Debug, Clone)]
pub struct WorkqueueMetrics {
    depth: Gauge,
    adds: Counter,
    retries: Counter,
    queue_seconds: Histogram,
    work_seconds: Histogram,
    /// The passes under way, by when they began.
    under_way: Arc<Mutex<UnderWay>>,
}

type UnderWay = BTreeSet<(Instant, Arc<BindingRef>)>;

impl Default for WorkqueueMetrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(FIRST_BUCKET, 10.0, BUCKETS));
        Self {
            depth: Gauge::default(),
            adds: Counter::default(),
            retries: Counter::default(),
            queue_seconds: seconds(),
            work_seconds: seconds(),
            under_way: Arc::default(),
        }
    }
}

impl WorkqueueMetrics {
    /// Has the registry show them, for the controller of this name.
    pub fn register(&self, registry: &mut Registry, controller: &'static str) {
        let registry = registry.sub_registry_with_label(("name".into(), controller.into()));
        let registry = registry.sub_registry_with_label(("controller".into(), controller.into()));
        registry.register(
            "workqueue_depth",
            "Bindings whose time has come and that wait for a pass",
            self.depth.clone(),
        );
        registry.register(
            "workqueue_adds",
            "How often the time of a binding has come",
            self.adds.clone(),
        );
        registry.register(
            "workqueue_retries",
            "How often a binding was put back into the queue after an error",
            self.retries.clone(),
        );
        registry.register(
            "workqueue_queue_duration_seconds",
            "How long a binding whose time had come waited for its pass",
            self.queue_seconds.clone(),
        );
        registry.register(
            "workqueue_work_duration_seconds",
            "How long a pass took, that of a binding that has gone included",
            self.work_seconds.clone(),
        );
        registry.register_collector(Box::new(Unfinished(Arc::clone(&self.under_way))));
    }

    /// The time of a binding has come.
    pub(super) fn added(&self) {
        self.depth.inc();
        self.adds.inc();
    }

    /// A pass over it begins, after so long.
    pub(super) fn started(&self, who: &Arc<BindingRef>, at: Instant, waited: Duration) {
        self.depth.dec();
        self.queue_seconds.observe(waited.as_secs_f64());
        lock(&self.under_way).insert((at, Arc::clone(who)));
    }

    /// The pass that began then is over.
    pub(super) fn ended(&self, who: &Arc<BindingRef>, began: Instant) {
        self.work_seconds.observe(began.elapsed().as_secs_f64());
        lock(&self.under_way).remove(&(began, Arc::clone(who)));
    }

    /// It is tried again, since it has failed.
    pub(super) fn retried(&self) {
        self.retries.inc();
    }
}

/// What is looked up when it is asked for: how long the passes under way have taken so far.
#[derive(Debug)]
struct Unfinished(Arc<Mutex<UnderWay>>);

impl Collector for Unfinished {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (sum, longest) = {
            let under_way = lock(&self.0);
            let seconds = |(began, _): &(Instant, _)| began.elapsed().as_secs_f64();
            let sum: f64 = under_way.iter().map(seconds).sum();
            (sum, under_way.first().map_or(0.0, seconds))
        };
        let mut gauge = |name, help, value| {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)
        };
        gauge(
            "workqueue_unfinished_work_seconds",
            "How long the passes under way have taken so far, all together",
            sum,
        )?;
        gauge(
            "workqueue_longest_running_processor_seconds",
            "How long the pass has taken so far that has been under way for longest",
            longest,
        )
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::prometheus_text;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_pass_is_counted_from_the_moment_its_time_has_come() {
        let metrics = WorkqueueMetrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry, "bindings");
        let shows = |samples: &[&str]| {
            let mut scrape = String::new();
            prometheus_text::encode(&mut scrape, &registry).unwrap();
            for sample in samples {
                let labels = r#"{name="bindings",controller="bindings"}"#;
                let (name, value) = sample.split_once(' ').unwrap();
                let line = format!("{name}{labels} {value}");
                assert!(scrape.lines().any(|it| it == line), "{line}\n{scrape}");
            }
        };
        let who = |name: &str| {
            Arc::new(BindingRef {
                namespace: "shop".to_owned(),
                name: name.to_owned(),
            })
        };
        let (orders, invoices) = (who("orders"), who("invoices"));
        metrics.added();
        metrics.added();
        shows(&["workqueue_depth 2", "workqueue_adds_total 2"]);
        let began = Instant::now();
        metrics.started(&orders, began, Duration::from_secs(2));
        tokio::time::advance(Duration::from_secs(3)).await;
        metrics.started(&invoices, Instant::now(), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(1)).await;
        shows(&[
            "workqueue_depth 0",
            "workqueue_queue_duration_seconds_sum 2.0",
            "workqueue_unfinished_work_seconds 5.0",
            "workqueue_longest_running_processor_seconds 4.0",
        ]);
        metrics.ended(&orders, began);
        metrics.retried();
        shows(&[
            "workqueue_work_duration_seconds_sum 4.0",
            "workqueue_work_duration_seconds_count 1",
            "workqueue_longest_running_processor_seconds 1.0",
            "workqueue_retries_total 1",
        ]);
    }
}
