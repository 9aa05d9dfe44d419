//! Errors of the token endpoint: `AADSTS` codes with the texts that were published or recorded.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::core::http::Response;

/// An error of the token endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntraError {
    pub(crate) status: StatusCode,
    /// The OAuth error code.
    pub(crate) error: &'static str,
    /// The number behind `AADSTS`.
    pub(crate) code: u32,
    pub(crate) message: String,
}

pub(crate) type EntraResult<T> = Result<T, EntraError>;

/// Where to read on; the end of the messages about federated identity credentials.
const CHECK_THE_CREDENTIAL: &str = "Please check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation";

impl EntraError {
    /// Whether no credential matched: the failures that the directory's cache keeps.
    pub(crate) fn is_mismatch(&self) -> bool {
        matches!(self.code, 70_025 | 700_211 | 700_212 | 700_213)
    }

    /// 400 `invalid_request`.
    pub(crate) fn invalid_request(code: u32, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error: "invalid_request",
            code,
            message: message.into(),
        }
    }

    /// 401 `invalid_client`.
    pub(crate) fn invalid_client(code: u32, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            error: "invalid_client",
            code,
            message: message.into(),
        }
    }

    /// A field of the form is missing.
    pub(crate) fn missing(field: &str) -> Self {
        Self::invalid_request(
            900_144,
            format!("The request body must contain the following parameter: '{field}'."),
        )
    }

    pub(crate) fn scope_without_default(scope: &str) -> Self {
        Self {
            error: "invalid_scope",
            ..Self::invalid_request(
                1_002_012,
                format!(
                    "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."
                ),
            )
        }
    }

    pub(crate) fn several_scopes(scope: &str) -> Self {
        Self {
            error: "invalid_scope",
            ..Self::invalid_request(
                70_011,
                format!(
                    "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
                ),
            )
        }
    }

    pub(crate) fn unsupported_grant(grant: &str) -> Self {
        Self {
            error: "unsupported_grant_type",
            ..Self::invalid_request(
                70_003,
                format!(
                    "The app requested an unsupported grant type '{grant}'. The simulator knows 'client_credentials' only."
                ),
            )
        }
    }

    pub(crate) fn tenant_not_found(tenant: &str) -> Self {
        Self::invalid_request(
            90_002,
            format!(
                "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."
            ),
        )
    }

    pub(crate) fn application_not_found(client: &str, tenant: Uuid) -> Self {
        Self {
            error: "unauthorized_client",
            ..Self::invalid_request(
                700_016,
                format!(
                    "Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant."
                ),
            )
        }
    }

    pub(crate) fn wrong_secret(client: Uuid) -> Self {
        Self::invalid_client(
            7_000_215,
            format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client}'."
            ),
        )
    }

    pub(crate) fn no_credential_sent() -> Self {
        Self::invalid_client(
            7_000_216,
            "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
        )
    }

    pub(crate) fn malformed_assertion() -> Self {
        Self::invalid_request(
            50_027,
            "JWT token is invalid or malformed. The client assertion cannot be read.",
        )
    }

    pub(crate) fn unsupported_algorithm(algorithm: &str) -> Self {
        Self::invalid_client(
            5_002_738,
            format!(
                "Invalid JWT token. '{algorithm}' is not a supported signature algorithm. Supported signing algorithms are: 'RS256'"
            ),
        )
    }

    pub(crate) fn entra_token_as_assertion() -> Self {
        Self::invalid_client(
            700_222,
            "AAD-issued tokens may not be used for federated identity flows.",
        )
    }

    pub(crate) fn no_credentials_configured(client: Uuid) -> Self {
        Self::invalid_client(
            70_025,
            format!("The client '{client}' has no configured federated identity credentials."),
        )
    }

    pub(crate) fn no_issuer(issuer: &str) -> Self {
        Self::invalid_client(
            700_211,
            format!(
                "No matching federated identity record found for presented assertion issuer '{issuer}'. {CHECK_THE_CREDENTIAL}"
            ),
        )
    }

    pub(crate) fn no_audience(audience: &str) -> Self {
        Self::invalid_client(
            700_212,
            format!(
                "No matching federated identity record found for presented assertion audience '{audience}'. {CHECK_THE_CREDENTIAL}"
            ),
        )
    }

    pub(crate) fn no_subject(subject: &str) -> Self {
        Self::invalid_client(
            700_213,
            format!(
                "No matching federated identity record found for presented assertion subject '{subject}'. {CHECK_THE_CREDENTIAL}"
            ),
        )
    }

    pub(crate) fn subject_differs_in_case(subject: &str) -> Self {
        Self::invalid_client(
            7_002_138,
            format!(
                "No matching federated identity record found for presented assertion subject '{subject}'. The subject matches with case-insensitive comparison, but not with case-sensitive comparison. {CHECK_THE_CREDENTIAL}"
            ),
        )
    }

    pub(crate) fn no_flexible_match(subject: &str) -> Self {
        Self::invalid_client(
            7_002_131,
            format!(
                "No matching federated identity record found for presented assertion subject '{subject}'. The expressions of flexible federated identity credentials do not match. {CHECK_THE_CREDENTIAL}"
            ),
        )
    }

    pub(crate) fn outside_validity(now: Timestamp, from: Timestamp, until: Timestamp) -> Self {
        Self::invalid_client(
            700_024,
            format!(
                "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {from}, expiry time of assertion {until}. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
            ),
        )
    }

    pub(crate) fn issuer_unreachable(why: &str) -> Self {
        Self::invalid_request(
            90_061,
            format!("Request to External OIDC endpoint failed. {why}"),
        )
    }

    pub(crate) fn key_not_published(key: &str, issuer: &str) -> Self {
        Self::invalid_client(
            7_000_272,
            format!(
                "The certificate with identifier {key} used to sign the federated credential could not be found in the metadata of identity provider {issuer}. Please validate that your Identity Provider's metadata exposes the key used to sign the incoming token."
            ),
        )
    }

    pub(crate) fn invalid_signature() -> Self {
        Self::invalid_client(
            700_027,
            "Client assertion failed signature validation. [Reason - The provided signature value did not match the expected signature value.]",
        )
    }

    /// The answer, in Entra's shape.
    pub(crate) fn into_response(
        self,
        entra: &str,
        trace_id: Uuid,
        correlation_id: &str,
        now: Timestamp,
    ) -> Response {
        let timestamp = now.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        let code = self.code;
        let body = json!({
            "error": self.error,
            "error_description": format!(
                "AADSTS{code}: {} Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {timestamp}",
                self.message
            ),
            "error_codes": [code],
            "timestamp": timestamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": format!("{entra}/error?code={code}"),
        });
        Response::json(self.status, &body)
    }
}
