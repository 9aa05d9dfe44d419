//! The headers of every answer of Resource Manager: request ids, counters, caching, security.

use http::Method;

use crate::core::http::{Request, Response};
use crate::core::random::Random;

/// Reads left in a fresh bucket: 250 per subscription and principal, less this one. Source: Azure's page on request limits.
const REMAINING_READS: u32 = 249;
/// Writes and deletes left in a fresh bucket of 200.
const REMAINING_WRITES: u32 = 199;
/// The bucket over all principals is 15 times as large.
const GLOBAL_FACTOR: u32 = 15;

/// Adds them.
pub(crate) fn add(request: &Request, response: Response, random: &mut Random) -> Response {
    let request_id = random.guid().to_string();
    let correlation_id = request
        .header("x-ms-correlation-request-id")
        .map_or_else(|| request_id.clone(), str::to_owned);
    let (kind, remaining) = match request.method {
        Method::GET | Method::HEAD => ("reads", REMAINING_READS),
        Method::DELETE => ("deletes", REMAINING_WRITES),
        _ => ("writes", REMAINING_WRITES),
    };
    let global = (remaining + 1) * GLOBAL_FACTOR - 1;
    let mut response = response
        .with_header("x-ms-request-id", &request_id)
        .with_header("x-ms-correlation-request-id", &correlation_id)
        .with_header(
            "x-ms-routing-request-id",
            &format!("SIMULATOR:{correlation_id}"),
        )
        .with_header(
            &format!("x-ms-ratelimit-remaining-subscription-{kind}"),
            &remaining.to_string(),
        )
        .with_header(
            &format!("x-ms-ratelimit-remaining-subscription-global-{kind}"),
            &global.to_string(),
        )
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
