//! What is known of the issuer, for a scrape.

use std::fmt;
use std::sync::{Arc, Mutex};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::judge::Finding;
use crate::runtime::lock::lock;

/// The word for it where the value is not known.
pub const UNKNOWN: &str = "unknown";

/// What is known of the issuer. Clones are of the same.
#[derive(Debug, Clone, Default)]
pub struct IssuerMetrics(Arc<Mutex<Known>>);

/// What is shown.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// None: nobody has looked yet.
    pub finding: Option<&'static str>,
    /// Another issuer was seen, which is not proven yet.
    pub differs: bool,
    /// Keys that the API server has and the public set lacks, once they were compared.
    pub keys_missing: Option<usize>,
    /// When they were last compared.
    pub compared: Option<Instant>,
    /// When a sign-in last proved the issuer.
    pub proven: Option<Instant>,
}

impl IssuerMetrics {
    /// Has the registry show it.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }

    /// Changes what is shown.
    pub fn note(&self, change: impl FnOnce(&mut Known)) {
        change(&mut lock(&self.0));
    }
}

impl Collector for IssuerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let known = lock(&self.0).clone();
        let Some(finding) = known.finding else {
            return Ok(());
        };
        let mut findings = encoder.encode_descriptor(
            "azwib_issuer_finding",
            "What is found of the issuer of the cluster's tokens: 1 for what is so, 0 for all else",
            None,
            MetricType::Gauge,
        )?;
        for label in Finding::LABELS.into_iter().chain([UNKNOWN]) {
            let is_so = i64::from(label == finding);
            let labels = [("finding", label)];
            let family = findings.encode_family(&labels)?;
            ConstGauge::new(is_so).encode(family)?;
        }
        let mut gauge = |name: &str, help: &str, value: Option<f64>| match value {
            Some(value) => {
                let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
                ConstGauge::new(value).encode(gauge)
            }
            None => Ok(()),
        };
        gauge(
            "azwib_issuer_differs",
            "Whether another issuer than the one that azwib goes by was seen: 1 until that is over, or proven by a fresh token",
            Some(f64::from(u8::from(known.differs))),
        )?;
        gauge(
            "azwib_issuer_keys_missing",
            "Keys of the API server that the issuer does not publish; only once they were compared",
            known.keys_missing.map(|it| it as f64),
        )?;
        let age = |at: Option<Instant>| at.map(|at| at.elapsed().as_secs_f64());
        gauge(
            "azwib_issuer_comparison_age_seconds",
            "How long ago the API server's keys were compared with the published ones; only once they were",
            age(known.compared),
        )?;
        gauge(
            "azwib_issuer_proof_age_seconds",
            "How long ago Microsoft Entra took the operator's own token; only once it has, and with workload identity",
            age(known.proven),
        )
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn shown(metrics: &IssuerMetrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_looked_at_is_not_shown() {
        let metrics = IssuerMetrics::default();
        assert_eq!(shown(&metrics), "# EOF\n");
        metrics.note(|known| known.finding = Some("verified"));
        let text = shown(&metrics);
        assert!(
            text.contains("azwib_issuer_finding{finding=\"verified\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("azwib_issuer_finding{finding=\"unknown\"} 0"),
            "{text}"
        );
        assert!(
            !text.contains("age_seconds") && !text.contains("keys_missing"),
            "{text}"
        );
        metrics.note(|known| {
            known.proven = Some(Instant::now());
            known.compared = Some(Instant::now());
            known.keys_missing = Some(2);
            known.differs = true;
        });
        tokio::time::advance(std::time::Duration::from_secs(7)).await;
        let text = shown(&metrics);
        for line in [
            "azwib_issuer_proof_age_seconds 7.0",
            "azwib_issuer_comparison_age_seconds 7.0",
            "azwib_issuer_keys_missing 2.0",
            "azwib_issuer_differs 1.0",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
