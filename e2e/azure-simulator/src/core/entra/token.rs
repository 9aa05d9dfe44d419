//! The token request: what it must contain, who may have a token, and what the token says.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::assertion::{Assertion, IssuerDocuments};
use super::error::{EntraError, EntraResult};
use super::token_request::{Form, Proof, TokenRequest};
use crate::core::Azure;
use crate::core::http::{Request, Response};
use crate::core::request_log::SecretKind;
use crate::core::state::{Client, FederatedCredential};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl Azure {
    /// Client id that a token request claims, for the log.
    pub(crate) fn entra_claimed_client(request: &Request) -> Option<Uuid> {
        Uuid::try_parse(&Form::read(request).client_id?).ok()
    }

    /// Reads a token request and finds its client. Secrets are remembered whether or not they are right.
    pub(crate) fn entra_read_token_request(
        &mut self,
        request: &Request,
        tenant: &str,
    ) -> EntraResult<TokenRequest> {
        let form = Form::read(request);
        if let Some(secret) = &form.client_secret {
            self.log.secret(SecretKind::ClientSecret, secret);
        }
        if let Some(assertion) = &form.client_assertion {
            self.log.secret(SecretKind::ClientAssertion, assertion);
        }
        self.entra_tenant(tenant)?;
        let grant = form
            .grant_type
            .ok_or_else(|| EntraError::missing("grant_type"))?;
        if grant != "client_credentials" {
            return Err(EntraError::unsupported_grant(&grant));
        }
        let client_id = form
            .client_id
            .ok_or_else(|| EntraError::missing("client_id"))?;
        let scope = form.scope.ok_or_else(|| EntraError::missing("scope"))?;
        let resource = resource(&scope)?;
        let client = Uuid::try_parse(&client_id)
            .ok()
            .and_then(|id| self.state.client(id))
            .ok_or_else(|| EntraError::application_not_found(&client_id, self.settings.tenant))?;
        let proof = match (form.client_assertion, form.client_secret) {
            (Some(assertion), _) => {
                match form.client_assertion_type.as_deref() {
                    None => return Err(EntraError::missing("client_assertion_type")),
                    Some(ASSERTION_TYPE) => {}
                    Some(_) => return Err(EntraError::malformed_assertion()),
                }
                Proof::Assertion(Box::new(Assertion::read(&assertion)?))
            }
            (None, Some(secret)) => Proof::Secret(secret),
            (None, None) => return Err(EntraError::no_credential_sent()),
        };
        Ok(TokenRequest {
            client,
            resource,
            proof,
        })
    }

    /// Decides on a token request and issues the token.
    pub(crate) fn entra_issue_token(
        &mut self,
        wanted: &TokenRequest,
        documents: Option<&Result<IssuerDocuments, String>>,
        now: Timestamp,
    ) -> EntraResult<Response> {
        match &wanted.proof {
            Proof::Secret(secret) => {
                if !wanted.client.secrets.contains(secret) {
                    return Err(EntraError::wrong_secret(wanted.client.client_id));
                }
            }
            Proof::Assertion(assertion) => {
                self.exchange(&wanted.client, assertion, documents, now)?;
            }
        }
        let seconds = match wanted.client.managed_identity {
            Some(_) => self.settings.tunables.managed_identity_token_seconds,
            None => self.settings.tunables.access_token_seconds,
        };
        let token = self.access_token(&wanted.client, &wanted.resource, seconds, now)?;
        Ok(Response::json(
            StatusCode::OK,
            &json!({
                "token_type": "Bearer",
                "expires_in": seconds,
                "ext_expires_in": seconds,
                "access_token": token,
            }),
        ))
    }

    /// Trust first (is the issuer one of the client's), then the signature, the times, subject and audience.
    pub(super) fn accept_assertion(
        &self,
        client: &Client,
        credentials: &[FederatedCredential],
        assertion: &Assertion,
        documents: Option<&Result<IssuerDocuments, String>>,
        now: Timestamp,
    ) -> EntraResult<()> {
        let issuer = &assertion.claims.iss;
        let is_own = issuer.starts_with(&format!("{}/", self.settings.endpoints.entra()));
        if is_own && client.managed_identity.is_some() {
            return Err(EntraError::entra_token_as_assertion());
        }
        if credentials.is_empty() {
            return Err(EntraError::no_credentials_configured(client.client_id));
        }
        let of_issuer: Vec<_> = credentials
            .iter()
            .filter(|credential| assertion.is_from_issuer_of(credential))
            .collect();
        let documents = match documents {
            Some(documents) if !of_issuer.is_empty() => documents,
            _ => return Err(EntraError::no_issuer(issuer)),
        };
        let documents = documents
            .as_ref()
            .map_err(|why| EntraError::issuer_unreachable(why))?;
        assertion.verify_signature(documents)?;
        assertion.verify_times(now, self.settings.tunables.clock_skew_seconds)?;
        assertion.match_credential(&of_issuer)
    }

    /// Signs an access token and remembers it.
    pub(crate) fn access_token(
        &mut self,
        client: &Client,
        audience: &str,
        seconds: u64,
        now: Timestamp,
    ) -> EntraResult<String> {
        let issued = now.as_second();
        let mut claims = json!({
            "aud": audience,
            "iss": format!("{}/{}/v2.0", self.settings.endpoints.entra(), self.settings.tenant),
            "iat": issued,
            "nbf": issued,
            "exp": issued.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX)),
            "appid": client.client_id,
            "appidacr": if client.managed_identity.is_some() { "2" } else { "1" },
            "idtyp": "app",
            "oid": client.object_id,
            "sub": client.object_id,
            "tid": self.settings.tenant,
            "uti": self.request_random.guid().simple().to_string(),
            "ver": "1.0",
        });
        if let Some(id) = &client.managed_identity {
            claims["xms_mirid"] = json!(id);
        }
        let token = self.signing_key.sign(&claims).map_err(|_| {
            EntraError::invalid_request(90_033, "A transient error has occurred. Please try again.")
        })?;
        self.log.secret(SecretKind::AccessToken, &token);
        Ok(token)
    }
}

/// The resource of a v2 scope: exactly one, with `/.default` behind it.
fn resource(scope: &str) -> EntraResult<String> {
    let mut scopes = scope
        .split_whitespace()
        // Client libraries add these to every request; for client credentials they mean nothing.
        .filter(|scope| !matches!(*scope, "openid" | "profile" | "offline_access"));
    let (Some(first), None) = (scopes.next(), scopes.next()) else {
        return Err(EntraError::several_scopes(scope));
    };
    match first.strip_suffix("/.default") {
        Some(resource) if !resource.is_empty() => Ok(resource.to_owned()),
        _ => Err(EntraError::scope_without_default(first)),
    }
}
