//! From a request to Entra to the function that answers it.

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::arrival::{Admitted, AdmittedResult};
use super::assertion::IssuerDocuments;
use super::error::{EntraError, EntraResult};
use crate::core::Azure;
use crate::core::http::{Request, Response};

/// What a request to Entra asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    OpenIdConfiguration,
    Keys,
    Instance,
    Token,
}

/// The operation and the tenant as sent.
fn route(request: &Request) -> Option<(Operation, String)> {
    let segments = request.segments();
    let tenant = segments.first()?.to_ascii_lowercase();
    let lower: Vec<String> = segments.iter().map(|s| s.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().skip(1).map(String::as_str).collect();
    let operation = match (lower.as_slice(), &request.method) {
        ([".well-known" | "v2.0", rest @ ..], &Method::GET)
            if rest.last() == Some(&"openid-configuration") =>
        {
            Operation::OpenIdConfiguration
        }
        (["discovery", "keys"] | ["discovery", "v2.0", "keys"], &Method::GET) => Operation::Keys,
        (["discovery", "instance"], &Method::GET) => Operation::Instance,
        (["oauth2", "v2.0", "token"], &Method::POST) => Operation::Token,
        _ => return None,
    };
    Some((operation, tenant))
}

impl Azure {
    /// What a request asks for, for the log and the matchers.
    pub(crate) fn entra_operation(request: &Request) -> &'static str {
        match route(request) {
            Some((Operation::OpenIdConfiguration, _)) => "OpenIdConfiguration",
            Some((Operation::Keys, _)) => "Keys",
            Some((Operation::Instance, _)) => "InstanceDiscovery",
            Some((Operation::Token, _)) => "Token",
            None => "Unknown",
        }
    }

    /// Whether a tenant is this one.
    pub(super) fn entra_tenant(&self, tenant: &str) -> EntraResult<()> {
        match Uuid::try_parse(tenant) {
            Ok(id) if id == self.settings.tenant => Ok(()),
            Ok(_) => Err(EntraError::tenant_not_found(tenant)),
            Err(_) if matches!(tenant, "common" | "organizations" | "consumers") => {
                Err(EntraError::invalid_request(
                    50_059,
                    "No tenant-identifying information found in either the request or implied by any provided credentials.",
                ))
            }
            Err(_) => Err(EntraError::invalid_request(
                900_023,
                format!(
                    "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain."
                ),
            )),
        }
    }

    /// Reads a request.
    pub(crate) fn entra_admit(&mut self, request: &Request) -> AdmittedResult {
        match route(request) {
            Some((Operation::Token, tenant)) => self
                .entra_read_token_request(request, &tenant)
                .map(|token| Admitted::Token(Box::new(token))),
            _ => Ok(Admitted::Document),
        }
    }

    /// Carries a request out.
    pub(crate) fn entra_effect(
        &mut self,
        request: &Request,
        admitted: AdmittedResult,
        documents: Option<&Result<IssuerDocuments, String>>,
        now: Timestamp,
    ) -> Response {
        let result = match (admitted, route(request)) {
            (Err(error), _) => Err(error),
            (Ok(Admitted::Token(token)), _) => self.entra_issue_token(&token, documents, now),
            (Ok(Admitted::Document), Some((Operation::OpenIdConfiguration, tenant))) => {
                self.entra_openid_configuration(&tenant)
            }
            (Ok(Admitted::Document), Some((Operation::Keys, _))) => Ok(self.entra_keys()),
            (Ok(Admitted::Document), Some((Operation::Instance, _))) => {
                Ok(self.entra_instance(request))
            }
            (Ok(Admitted::Document), _) => Ok(Response::json(
                StatusCode::NOT_FOUND,
                &json!({"error": "not_found", "error_description": "The simulator has no such endpoint."}),
            )),
        };
        let trace_id = self.request_random.guid();
        let correlation_id = request
            .header("client-request-id")
            .map_or_else(|| trace_id.to_string(), str::to_owned);
        let entra = self.settings.endpoints.entra();
        result
            .unwrap_or_else(|error| error.into_response(entra, trace_id, &correlation_id, now))
            .with_header("x-ms-request-id", &trace_id.to_string())
            .with_header("client-request-id", &correlation_id)
            .with_header("cache-control", "no-store, no-cache")
            .with_header("pragma", "no-cache")
            .with_header("expires", "-1")
            .with_header(
                "strict-transport-security",
                "max-age=31536000; includeSubDomains",
            )
            .with_header("x-content-type-options", "nosniff")
    }
}
