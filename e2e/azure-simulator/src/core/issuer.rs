//! The public issuer of clusters: for each registered cluster a discovery document and a key set, as AKS and Arc publish them.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Azure;
use super::http::{Request, Response};
use super::state::RegisteredIssuer;

const DISCOVERY: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/openid/v1/jwks";

/// The key under which an issuer's path is registered.
pub(crate) fn registration_key(path: &str) -> String {
    path.trim_matches('/').to_owned()
}

impl Azure {
    /// What a request asks for, for the log and the matchers.
    pub(crate) fn issuer_operation(request: &Request) -> &'static str {
        if request.path.ends_with(DISCOVERY) {
            "IssuerDiscovery"
        } else if request.path.ends_with(KEYS) {
            "IssuerKeys"
        } else {
            "Unknown"
        }
    }

    /// Registers a cluster's issuer, or replaces its keys, and returns its URL. Without a path it gets one as AKS
    /// gives it: tenant, GUID, and a slash at the end.
    pub fn register_issuer(&mut self, path: Option<&str>, jwks: Value) -> String {
        let path = path.map_or_else(
            || format!("{}/{}/", self.settings.tenant, self.random.guid()),
            |path| path.trim_start_matches('/').to_owned(),
        );
        let issuer = format!("{}/{path}", self.settings.endpoints.issuer());
        self.state.issuers.insert(
            registration_key(&path),
            RegisteredIssuer {
                issuer: issuer.clone(),
                jwks,
            },
        );
        issuer
    }

    /// Answers with a document.
    pub(crate) fn issuer_effect(&self, request: &Request) -> Response {
        let not_found = || {
            Response::json(
                StatusCode::NOT_FOUND,
                &json!({"error": "no cluster is registered under this path"}),
            )
        };
        if request.method != Method::GET {
            return Response::empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        let registered = |suffix: &str| {
            let path = request.path.strip_suffix(suffix)?;
            self.state.issuers.get(&registration_key(path))
        };
        if let Some(found) = registered(DISCOVERY) {
            let base = found.issuer.trim_end_matches('/');
            return Response::json(
                StatusCode::OK,
                &json!({
                    "issuer": found.issuer,
                    "jwks_uri": format!("{base}{KEYS}"),
                    "response_types_supported": ["id_token"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                }),
            );
        }
        registered(KEYS).map_or_else(not_found, |found| {
            Response::json(StatusCode::OK, &found.jwks)
        })
    }
}
