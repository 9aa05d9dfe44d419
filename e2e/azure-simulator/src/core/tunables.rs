//! What is assumed about Azure, or differs between its regions and years, and can therefore be set.

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
    /// The answer to a second credential with the same issuer and subject. Documented as 400; reports show `Conflict`.
    pub duplicate_credential_answer: ErrorAnswer,
    /// Entries of one page of a list when the caller does not ask for a number. Assumed.
    pub page_size: usize,
    /// Seconds until a written or deleted credential counts at the token endpoint.
    pub propagation_delay_seconds: u64,
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
            duplicate_credential_answer: ErrorAnswer {
                status: 400,
                code: "BadRequest".into(),
                message: "Issuer and subject combination already exists for this Managed Identity."
                    .into(),
            },
            page_size: 100,
            propagation_delay_seconds: 0,
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
