//! What the simulator assumes: its settings as they are without any set. A test compares them with the simulator's own.

use serde::Serialize;

use crate::arm::ErrorAnswer;

/// The simulator's settings that a probe can ask Resource Manager about, under the simulator's names.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Assumed {
    /// Credentials that one identity can have.
    pub credential_limit: usize,
    /// The answer to one more.
    pub credential_limit_answer: ErrorAnswer,
    /// Whether writes that overlap on one identity are refused but for the first.
    pub single_writer: bool,
    /// Seconds in which the directory does not know a new identity.
    pub directory_delay_seconds: u64,
    /// The answer to a write meanwhile.
    pub directory_answer: ErrorAnswer,
    /// Seconds in which some writes of credentials do not find a new identity.
    pub parent_delay_seconds: u64,
    /// So many of a thousand of them.
    pub parent_not_found_per_mille: u16,
    /// Regions without credentials.
    pub regions_without_credentials: Vec<String>,
    /// HTTP status of `ScopeLocked`.
    pub scope_locked_status: u16,
    /// Seconds by which reads of credentials lag behind writes.
    pub read_lag_seconds: u64,
    /// The answer to a second credential with the same issuer and subject.
    pub duplicate_credential_answer: ErrorAnswer,
    /// Entries of one page of a list.
    pub page_size: usize,
    /// Lifetime of a service principal's access token, in seconds.
    pub access_token_seconds: u64,
    /// Lifetime of a managed identity's access token, in seconds.
    pub managed_identity_token_seconds: u64,
    /// Audiences that Resource Manager accepts.
    pub resource_manager_audiences: Vec<String>,
}

/// The code of the provider's 429 in the simulator, where limits of requests are on.
pub const THROTTLED_CODE: &str = "TooManyRequests";
/// Whether the simulator's 429 has `Retry-After`, where limits of requests are on.
pub const SENDS_RETRY_AFTER: bool = true;
/// The code of a refusal by a lock.
pub const LOCKED_CODE: &str = "ScopeLocked";
/// The code of the refusal of overlapping writes. Source: Azure/bicep-registry-modules#1447.
pub const CONCURRENT_CODE: &str =
    "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity";
/// The code of a write below an identity that is not found. Source: openshift/cloud-credential-operator#878.
pub const PARENT_CODE: &str = "ParentResourceNotFound";

impl Default for Assumed {
    fn default() -> Self {
        let answer = |status, code: &str, message: &str| ErrorAnswer {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
        };
        Self {
            credential_limit: 20,
            credential_limit_answer: answer(
                400,
                "BadRequest",
                "Too many Federated Identity Credentials.",
            ),
            single_writer: true,
            directory_delay_seconds: 0,
            directory_answer: answer(
                404,
                "NotFound",
                "MS Graph resource not found during Federated Identity Credential creation.",
            ),
            parent_delay_seconds: 0,
            parent_not_found_per_mille: 0,
            regions_without_credentials: Vec::new(),
            scope_locked_status: 409,
            read_lag_seconds: 0,
            duplicate_credential_answer: answer(
                400,
                "BadRequest",
                "Issuer and subject combination already exists for this Managed Identity.",
            ),
            page_size: 100,
            access_token_seconds: 3599,
            managed_identity_token_seconds: 86399,
            resource_manager_audiences: [
                "https://management.core.windows.net/",
                "https://management.core.windows.net",
                "https://management.azure.com/",
                "https://management.azure.com",
            ]
            .map(str::to_owned)
            .into(),
        }
    }
}

/// What no probe asks about, and why.
pub const NOT_PROBED: &[(&str, &str)] = &[
    (
        "propagationDelaySeconds, convergenceSeconds, negativeCacheSeconds, exchangeFailuresPerMille, clockSkewSeconds",
        "a token exchange needs an issuer that Microsoft Entra reaches, and its key",
    ),
    (
        "policyDeniedStatus",
        "it needs a policy assignment, which counts only after up to 30 minutes",
    ),
    (
        "rolePropagationSeconds",
        "it needs a second principal, and the right to give it roles",
    ),
    (
        "latencyTail",
        "it depends on where the caller is; the simulator has none unless one is set",
    ),
];

/// The rows of the simulator's model that say "assumed" and that a probe asks about, by the probe's name.
pub const ROWS_PROBED: &[(&str, &[&str])] = &[
    ("new-identity", &["O1", "O2"]),
    ("single-writer", &["W1"]),
    ("limit", &["C12"]),
    ("page-size", &["R13"]),
    ("read-lag", &["O8"]),
    ("lock", &["O5", "O9"]),
    (
        "refusals",
        &["R3", "R5", "G6", "I8", "C5", "C7", "C8", "C10"],
    ),
    ("regions", &["O4"]),
    ("throttling", &["T1", "T3", "T4", "T8"]),
];

/// The others of these rows, and why no probe asks about them.
pub const ROWS_NOT_PROBED: &[(&[&str], &str)] = &[
    (
        &["R2", "R6", "R7", "R11", "R12", "R14", "I9"],
        "azwib sends no request of this kind, or does not go by what is assumed",
    ),
    (
        &["G2", "G3", "G4"],
        "it makes a single resource group, with a name and in a region that every subscription takes",
    ),
    (
        &["I6", "O3"],
        "an identity that is made again is new to the directory, which takes minutes",
    ),
    (
        &["C14"],
        "it needs a preview version of the API, which not every subscription has",
    ),
    (
        &["W3"],
        "a write takes half a second, and nobody sees from outside when it is under way",
    ),
    (
        &["A2", "A5", "A6", "E9", "E12", "E13", "E16"],
        "it is about sign-ins that fail: azwib shows what it is told, and goes by the status only",
    ),
    (
        &["A12", "A15", "A16", "S1", "T6"],
        "it needs a second principal, and the right to give it roles",
    ),
    (
        &["O7"],
        "it needs a policy assignment, which counts only after up to 30 minutes",
    ),
    (
        &["T2", "T7"],
        "what counts together, and for how long, shows only to somebody who uses up the budgets of the tenant for many minutes",
    ),
    (
        &[
            "X3", "X4", "X10", "X11", "X12", "X15", "X17", "X21", "X22", "X23",
        ],
        "a token exchange needs an issuer that Microsoft Entra reaches, and its key",
    ),
];
