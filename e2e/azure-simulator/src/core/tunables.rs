//! What is assumed about Azure, or differs between its regions and years, and can therefore be set.

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::throttle::Throttling;

/// An error answer of Resource Manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErrorAnswer {
    /// HTTP status.
    pub status: u16,
    /// `error.code`.
    pub code: String,
    /// `error.message`.
    pub message: String,
}

/// A long tail of latency: a few requests take much longer, most of those not much longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LatencyTail {
    /// Requests of a thousand.
    pub per_mille: u16,
    /// Milliseconds that they take longer at most.
    pub up_to_milliseconds: u64,
}

/// An HTTP status that was set; what is none is 500.
pub(crate) fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Settings of the model. `Default` is what is published, or the most likely answer where nothing is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Tunables {
    /// Federated identity credentials that one identity can have. Microsoft's documentation says 20.
    pub credential_limit: usize,
    /// The answer to a credential beyond the limit. Assumed: no recording of the real answer is known.
    pub credential_limit_answer: ErrorAnswer,
    /// Whether writes of credentials that overlap on one identity are refused but for the first. Azure does.
    pub single_writer: bool,
    /// Limits of requests; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttling: Option<Throttling>,
    /// Seconds after the creation of an identity in which the directory does not know it: writes of credentials get
    /// `directory_answer`.
    pub directory_delay_seconds: u64,
    /// The answer to a write of a credential while the directory does not know the identity. Text: a report; status and
    /// code assumed.
    pub directory_answer: ErrorAnswer,
    /// Seconds after the creation of an identity in which some writes of credentials do not find it.
    pub parent_delay_seconds: u64,
    /// So many of a thousand of them: 404 `ParentResourceNotFound`.
    pub parent_not_found_per_mille: u16,
    /// Regions without federated identity credentials. Those that are published change.
    pub regions_without_credentials: Vec<String>,
    /// HTTP status of `ScopeLocked`. Assumed.
    pub scope_locked_status: u16,
    /// HTTP status of `RequestDisallowedByPolicy`. Assumed.
    pub policy_denied_status: u16,
    /// Seconds until a role that is given or taken away counts. Documented as up to 10 minutes.
    pub role_propagation_seconds: u64,
    /// Seconds by which reads of credentials lag behind writes. Assumed to be none.
    pub read_lag_seconds: u64,
    /// Time that a few requests take besides their latency; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_tail: Option<LatencyTail>,
    /// The answer to a second credential with the same issuer and subject. Documented as 400; reports show `Conflict`.
    pub duplicate_credential_answer: ErrorAnswer,
    /// Entries of one page of a list when the caller does not ask for a number. Assumed.
    pub page_size: usize,
    /// Seconds until a written or deleted credential counts at the token endpoint.
    pub propagation_delay_seconds: u64,
    /// Seconds after such a change has arrived in which some exchanges meet a part of the directory that does not know it
    /// yet: nearly all of them in the beginning, fewer and fewer towards the end.
    pub convergence_seconds: u64,
    /// Seconds for which a failed exchange makes the token endpoint remember what it saw of a client's credentials.
    pub negative_cache_seconds: u64,
    /// Exchanges of a thousand that fail without a reason. Measured: 22 (kedacore/keda#8152).
    pub exchange_failures_per_mille: u16,
    /// Seconds by which an assertion may be early or late. Assumed.
    pub clock_skew_seconds: u64,
    /// Lifetime of a service principal's access token, in seconds.
    pub access_token_seconds: u64,
    /// Lifetime of a managed identity's access token, in seconds. Documented as up to 24 hours.
    pub managed_identity_token_seconds: u64,
    /// Audiences that Resource Manager accepts, besides its own URL.
    pub resource_manager_audiences: Vec<String>,
}

impl Default for Tunables {
    fn default() -> Self {
        Self {
            credential_limit: 20,
            credential_limit_answer: ErrorAnswer {
                status: 400,
                code: "BadRequest".into(),
                message: "Too many Federated Identity Credentials.".into(),
            },
            single_writer: true,
            throttling: None,
            directory_delay_seconds: 0,
            directory_answer: ErrorAnswer {
                status: 404,
                code: "NotFound".into(),
                message:
                    "MS Graph resource not found during Federated Identity Credential creation."
                        .into(),
            },
            parent_delay_seconds: 0,
            parent_not_found_per_mille: 0,
            regions_without_credentials: Vec::new(),
            scope_locked_status: 409,
            policy_denied_status: 403,
            role_propagation_seconds: 0,
            read_lag_seconds: 0,
            latency_tail: None,
            duplicate_credential_answer: ErrorAnswer {
                status: 400,
                code: "BadRequest".into(),
                message: "Issuer and subject combination already exists for this Managed Identity."
                    .into(),
            },
            page_size: 100,
            propagation_delay_seconds: 0,
            convergence_seconds: 0,
            negative_cache_seconds: 0,
            exchange_failures_per_mille: 0,
            clock_skew_seconds: 300,
            access_token_seconds: 3599,
            managed_identity_token_seconds: 86399,
            resource_manager_audiences: vec![
                "https://management.core.windows.net/".into(),
                "https://management.core.windows.net".into(),
                "https://management.azure.com/".into(),
                "https://management.azure.com".into(),
            ],
        }
    }
}

impl Tunables {
    /// Answers that the credential beyond the limit may get: what was reported, and what would be like it. Which one Azure
    /// gives is not published; one begins like the refusal of concurrent writes.
    pub fn credential_limit_answers() -> Vec<ErrorAnswer> {
        let quota = "The size of the object has exceeded its limit. Please reduce the number of values and retry your request";
        [
            (
                400,
                "BadRequest",
                "Too many Federated Identity Credentials.",
            ),
            (403, "Directory_ResourceSizeExceeded", quota),
            (403, "QuotaExceeded", quota),
            (
                409,
                "Conflict",
                "The maximum number of Federated Identity Credentials is reached.",
            ),
            (
                409,
                "FederatedIdentityCredentialsLimitExceeded",
                "Too many Federated Identity Credentials are written for the managed identity.",
            ),
        ]
        .map(|(status, code, message)| ErrorAnswer {
            status,
            code: code.into(),
            message: message.into(),
        })
        .into()
    }
}
