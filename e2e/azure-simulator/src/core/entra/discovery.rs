//! Entra's discovery documents and keys.

use http::StatusCode;
use serde_json::json;

use super::error::EntraResult;
use crate::core::Azure;
use crate::core::http::{Request, Response};

impl Azure {
    /// `/{tenant}/v2.0/.well-known/openid-configuration`.
    pub(crate) fn entra_openid_configuration(&self, tenant: &str) -> EntraResult<Response> {
        let entra = self.settings.endpoints.entra();
        let (tenant, issuer_tenant) = match tenant {
            // The shared endpoints speak for all tenants: their issuer is a template.
            "common" | "organizations" => (tenant.to_owned(), "{tenantid}".to_owned()),
            _ => {
                self.entra_tenant(tenant)?;
                let tenant = self.settings.tenant.to_string();
                (tenant.clone(), tenant)
            }
        };
        Ok(Response::json(
            StatusCode::OK,
            &json!({
                "issuer": format!("{entra}/{issuer_tenant}/v2.0"),
                "token_endpoint": format!("{entra}/{tenant}/oauth2/v2.0/token"),
                "authorization_endpoint": format!("{entra}/{tenant}/oauth2/v2.0/authorize"),
                "device_authorization_endpoint": format!("{entra}/{tenant}/oauth2/v2.0/devicecode"),
                "end_session_endpoint": format!("{entra}/{tenant}/oauth2/v2.0/logout"),
                "userinfo_endpoint": format!("{entra}/oidc/userinfo"),
                "jwks_uri": format!("{entra}/{tenant}/discovery/v2.0/keys"),
                "token_endpoint_auth_methods_supported":
                    ["client_secret_post", "private_key_jwt", "client_secret_basic"],
                "response_modes_supported": ["query", "fragment", "form_post"],
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "claims_supported": ["sub", "iss", "aud", "exp", "iat", "tid", "oid", "ver"],
                "request_uri_parameter_supported": false,
                "tenant_region_scope": null,
                "cloud_instance_name": "microsoftonline.com",
            }),
        ))
    }

    /// `/{tenant}/discovery/v2.0/keys`.
    pub(crate) fn entra_keys(&self) -> Response {
        Response::json(StatusCode::OK, &self.signing_key.jwks())
    }

    /// `/common/discovery/instance`: tells a client that this authority is one of Microsoft's, with its aliases.
    pub(crate) fn entra_instance(&self, request: &Request) -> Response {
        let entra = self.settings.endpoints.entra();
        let host = entra.strip_prefix("https://").unwrap_or(entra);
        let tenant = request
            .query_parameter("authorization_endpoint")
            .and_then(|url| url::Url::parse(&url).ok())
            .and_then(|url| url.path_segments()?.next().map(str::to_owned))
            .filter(|tenant| !tenant.is_empty())
            .unwrap_or_else(|| "common".to_owned());
        Response::json(
            StatusCode::OK,
            &json!({
                "tenant_discovery_endpoint": format!("{entra}/{tenant}/v2.0/.well-known/openid-configuration"),
                "api-version": "1.1",
                "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
            }),
        )
    }
}
