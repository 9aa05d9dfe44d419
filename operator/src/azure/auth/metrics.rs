//! Whether the operator can sign in, and when it last did.

use std::fmt;
use std::sync::{Arc, Mutex};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::runtime::lock::lock;

/// Counts sign-ins. Clones count together.
#[derive(Debug, Clone)]
pub struct SignInMetrics {
    sign_ins: Family<[(&'static str, &'static str); 1], Counter>,
    last: Last,
}

impl Default for SignInMetrics {
    fn default() -> Self {
        let sign_ins = Family::<_, Counter>::default();
        // Both from the start: an alert sees the first failure only as a step from none.
        for result in ["success", "error"] {
            let label: [_; 1] = [("result", result)];
            drop(sign_ins.get_or_create(&label));
        }
        Self {
            sign_ins,
            last: Last::default(),
        }
    }
}

impl SignInMetrics {
    /// Has the registry show them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "azwib_sign_ins",
            "Sign-ins of the operator to Azure, by result: success or error",
            self.sign_ins.clone(),
        );
        registry.register_collector(Box::new(self.last.clone()));
    }

    pub(super) fn succeeded(&self, now: Instant) {
        self.count("success");
        *lock(&self.last.0) = Some(now);
    }

    pub(super) fn failed(&self) {
        self.count("error");
    }

    fn count(&self, result: &'static str) {
        self.sign_ins.get_or_create(&[("result", result)]).inc();
    }
}

/// When the last sign-in succeeded.
#[derive(Debug, Clone, Default)]
struct Last(Arc<Mutex<Option<Instant>>>);

impl Collector for Last {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(last) = *lock(&self.0) else {
            return Ok(());
        };
        let age = encoder.encode_descriptor(
            "azwib_sign_in_age_seconds",
            "How long ago the operator signed in to Azure, that is how old the token is that it holds; only once it has",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(last.elapsed().as_secs_f64()).encode(age)
    }
}
