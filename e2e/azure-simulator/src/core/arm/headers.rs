//! The headers of every answer of Resource Manager: request ids, counters, caching, security.

use super::throttling;
use crate::core::Azure;
use crate::core::http::{Request, Response};
use crate::core::random::Random;
use crate::core::throttle::Remaining;

/// Reads left in a fresh bucket: 250 per subscription and principal, less this one. Source: Azure's page on request limits.
const REMAINING_READS: u64 = 249;
/// Writes and deletes left in a fresh bucket of 200.
const REMAINING_WRITES: u64 = 199;
/// The bucket over all principals is 15 times as large.
const GLOBAL_FACTOR: u64 = 15;

impl Azure {
    /// Adds the headers that every answer of Resource Manager has.
    pub(crate) fn arm_headers(
        &mut self,
        request: &Request,
        response: Response,
        remaining: Option<Remaining>,
    ) -> Response {
        let is_counted = self.settings.tunables.throttling.is_some();
        let remaining = match remaining {
            None if !is_counted => Some(fresh(request)),
            remaining => remaining,
        };
        add(request, response, remaining, &mut self.request_random)
    }
}

/// What fresh buckets say: where nothing is counted, all are.
fn fresh(request: &Request) -> Remaining {
    let own = match throttling::kind(&request.method) {
        "reads" => REMAINING_READS,
        _ => REMAINING_WRITES,
    };
    Remaining::Subscription {
        own,
        global: (own + 1) * GLOBAL_FACTOR - 1,
    }
}

/// Adds them. A request that is not counted, such as one without a caller, gets no counters.
fn add(
    request: &Request,
    response: Response,
    remaining: Option<Remaining>,
    random: &mut Random,
) -> Response {
    let request_id = random.guid().to_string();
    let correlation_id = request
        .header("x-ms-correlation-request-id")
        .map_or_else(|| request_id.clone(), str::to_owned);
    let kind = throttling::kind(&request.method);
    let response = response
        .with_header("x-ms-request-id", &request_id)
        .with_header("x-ms-correlation-request-id", &correlation_id)
        .with_header(
            "x-ms-routing-request-id",
            &format!("SIMULATOR:{correlation_id}"),
        );
    let counter = |response: Response, scope: &str, left: u64| {
        response.with_header(
            &format!("x-ms-ratelimit-remaining-{scope}-{kind}"),
            &left.to_string(),
        )
    };
    let response = match remaining {
        None => response,
        Some(Remaining::Tenant(own)) => counter(response, "tenant", own),
        Some(Remaining::Subscription { own, global }) => {
            let response = counter(response, "subscription", own);
            counter(response, "subscription-global", global)
        }
    };
    let mut response = response
        .with_header("cache-control", "no-cache")
        .with_header("pragma", "no-cache")
        .with_header("expires", "-1")
        .with_header(
            "strict-transport-security",
            "max-age=31536000; includeSubDomains",
        )
        .with_header("x-content-type-options", "nosniff");
    let wants_client_id = request
        .header("x-ms-return-client-request-id")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if let (true, Some(id)) = (wants_client_id, request.header("x-ms-client-request-id")) {
        response = response.with_header("x-ms-client-request-id", id);
    }
    response
}
