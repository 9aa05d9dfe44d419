//! How long the oldest binding has been on its way: not Ready, or in deletion.

use std::fmt;

use k8s_openapi::jiff::Timestamp;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::binding::index::{Bindings, Packed};

/// Seconds since when; none where there is no such binding.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ages {
    not_ready: i64,
    deleting: i64,
}

impl Ages {
    /// Those of the bindings that the watch has shown.
    pub(super) fn of(bindings: &Bindings, now: Timestamp) -> Self {
        let kept = bindings.store().state();
        kept.iter()
            .fold(Self::default(), |ages, it| ages.with(it, now))
    }

    fn with(mut self, binding: &Packed, now: Timestamp) -> Self {
        let Some(since) = binding.on_its_way_since() else {
            return self;
        };
        let age = now.as_second().saturating_sub(since);
        let oldest = match binding.goes {
            true => &mut self.deleting,
            false => &mut self.not_ready,
        };
        *oldest = age.max(*oldest);
        self
    }

    pub(super) fn encode(self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name, help, seconds: i64| {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(seconds).encode(gauge)
        };
        gauge(
            "azwib_oldest_not_ready_seconds",
            "How long the binding has not been Ready that has not been for longest, suspended ones left out; 0 where all are",
            self.not_ready,
        )?;
        gauge(
            "azwib_oldest_deleting_seconds",
            "How long the binding has been in deletion that has been for longest; 0 where none is",
            self.deleting,
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn binding(created: &str, deleted: Option<&str>, conditions: Value) -> Packed {
        let mut binding = json!({
            "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding",
            "metadata": { "name": "orders", "namespace": "shop", "uid": "1", "creationTimestamp": created },
            "spec": { "identity": { "name": "orders" } },
            "status": { "observedGeneration": 1, "conditions": conditions },
        });
        if let Some(deleted) = deleted {
            binding["metadata"]["deletionTimestamp"] = deleted.into();
        }
        Packed::of(&serde_json::from_value(binding).unwrap())
    }

    fn ready(status: &str, reason: &str, since: &str) -> Value {
        json!([{
            "type": "Ready", "status": status, "reason": reason, "message": "", "lastTransitionTime": since,
        }])
    }

    #[test]
    fn an_age_counts_from_the_moment_at_which_ready_went_or_the_deletion_was_asked_for() {
        let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        let (morning, ten, eleven) = (
            "2026-01-02T08:00:00Z",
            "2026-01-02T10:00:00Z",
            "2026-01-02T11:00:00Z",
        );
        for (binding, not_ready, deleting) in [
            (
                binding(morning, None, ready("True", "Succeeded", ten)),
                0,
                0,
            ),
            (
                binding(morning, None, ready("False", "IdentityNotFound", eleven)),
                3600,
                0,
            ),
            // Nothing has looked at it yet.
            (binding(morning, None, json!([])), 4 * 3600, 0),
            // Somebody wants it so.
            (
                binding(morning, None, ready("False", "Suspended", ten)),
                0,
                0,
            ),
            (
                binding(morning, Some(eleven), ready("True", "Succeeded", ten)),
                0,
                3600,
            ),
            // From another clock.
            (
                binding(
                    morning,
                    None,
                    ready("False", "Propagating", "2026-01-02T12:00:05Z"),
                ),
                0,
                0,
            ),
        ] {
            let expected = Ages {
                not_ready,
                deleting,
            };
            assert_eq!(Ages::default().with(&binding, now), expected, "{binding:?}");
        }
    }
}
