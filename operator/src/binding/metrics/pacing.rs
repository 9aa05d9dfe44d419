//! What Azure's pace holds back now.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::count::as_gauge;
use crate::ledger::{Held, PacingState};

type Count = fn(&Held) -> usize;

pub(super) fn encode(state: &PacingState, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let counts: [(_, _, Count); 2] = [
        (
            "azwib_azure_pauses",
            "Identities, subscriptions or tenants that Azure has told to wait (Retry-After), by kind of request",
            |held| held.paused,
        ),
        (
            "azwib_azure_rate_limits",
            "Identities, subscriptions or tenants whose requests go at a limited rate after a 429, by kind of request",
            |held| held.limited,
        ),
    ];
    for (name, help, count) in counts {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for ((scope, operation), held) in &state.held {
            let labels = [("scope", *scope), ("requestType", operation.as_str())];
            ConstGauge::new(as_gauge(count(held))).encode(family.encode_family(&labels)?)?;
        }
    }
    let longest = encoder.encode_descriptor(
        "azwib_azure_longest_pause_seconds",
        "How long the longest of these pauses still is",
        None,
        MetricType::Gauge,
    )?;
    ConstGauge::new(state.longest_pause.as_secs_f64()).encode(longest)?;
    let waiting = encoder.encode_descriptor(
        "azwib_azure_paced_requests",
        "Requests that wait in line for their time",
        None,
        MetricType::Gauge,
    )?;
    ConstGauge::new(as_gauge(state.waiting)).encode(waiting)
}
