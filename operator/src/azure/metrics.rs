//! What has become of the requests to Resource Manager, under the names that Azure Service Operator gives them.

use std::borrow::Cow;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Seconds: from 25 ms, doubled up to 51 s. Resource Manager answers in tenths of a second, and a request may take 30 s.
const FIRST_BUCKET: f64 = 0.025;
const BUCKETS: u16 = 12;

/// The label of a request that was not answered.
const NO_ANSWER: &str = "none";

type Label = (&'static str, Cow<'static, str>);
type Seconds = Family<[Label; 2], Histogram, fn() -> Histogram>;

/// What a request is for, in the words of the metrics. Whoever sends requests to Azure says it of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AskedFor {
    /// The type of the resource, as Azure spells it.
    pub(crate) resource: &'static str,
    /// The method, and LIST for the GET of a listing.
    pub(crate) request_type: &'static str,
}

/// Counts of requests, by what was asked for and what was answered. Clones count together.
#[derive(Debug, Clone)]
pub struct RequestMetrics {
    successful: Family<[Label; 3], Counter>,
    failed: Family<[Label; 3], Counter>,
    seconds: Seconds,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self {
            successful: Family::default(),
            failed: Family::default(),
            seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(FIRST_BUCKET, 2.0, BUCKETS))
            }),
        }
    }
}

impl RequestMetrics {
    /// Has the registry show them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "azure_successful_requests",
            "Requests to Azure Resource Manager that brought what was asked for",
            self.successful.clone(),
        );
        registry.register(
            "azure_failed_requests",
            "Requests to Azure Resource Manager that were refused, or whose answer was lost or unusable (responseCode none: no answer)",
            self.failed.clone(),
        );
        registry.register(
            "azure_requests_time_seconds",
            "How long requests to Azure Resource Manager took, whatever came of them",
            self.seconds.clone(),
        );
    }

    /// Counts a request: its status where it succeeded, and otherwise the one that it was answered with, if any.
    pub(crate) fn count(
        &self,
        asked_for: AskedFor,
        outcome: Result<u16, Option<u16>>,
        took: Duration,
    ) {
        let (family, status) = match outcome {
            Ok(status) => (&self.successful, Some(status)),
            Err(status) => (&self.failed, status),
        };
        let code = status.map_or(Cow::Borrowed(NO_ANSWER), |code| code.to_string().into());
        let about: [Label; 2] = [
            ("resource", asked_for.resource.into()),
            ("requestType", asked_for.request_type.into()),
        ];
        self.seconds
            .get_or_create(&about)
            .observe(took.as_secs_f64());
        let [resource, request_type] = about;
        family
            .get_or_create(&[resource, request_type, ("responseCode", code)])
            .inc();
    }
}
