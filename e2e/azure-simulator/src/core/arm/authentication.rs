//! Who calls: the bearer token of a request.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::error::{ArmError, ArmResult};
use crate::core::Settings;
use crate::core::http::Request;
use crate::core::signing::{SigningKey, TokenError};

/// An authenticated caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) client_id: Uuid,
    pub(crate) object_id: Uuid,
}

/// What an access token says.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct AccessClaims {
    aud: String,
    tid: Uuid,
    oid: Uuid,
    appid: Uuid,
    nbf: i64,
    exp: i64,
}

/// The bearer token as sent.
pub(crate) fn bearer(request: &Request) -> Option<&str> {
    let (scheme, token) = request.header("authorization")?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

/// Tokens whose signature was verified. A caller sends the same one for hours, and verifying costs more than all the rest
/// of a request.
#[derive(Debug, Default)]
pub(crate) struct VerifiedTokens(BTreeMap<String, AccessClaims>);

impl VerifiedTokens {
    /// So many are kept.
    const LIMIT: usize = 64;

    fn claims(&mut self, token: &str, key: &SigningKey) -> Result<AccessClaims, TokenError> {
        if let Some(claims) = self.0.get(token) {
            return Ok(claims.clone());
        }
        let claims: AccessClaims = key.verify(token)?;
        if self.0.len() >= Self::LIMIT {
            self.0.clear();
        }
        self.0.insert(token.to_owned(), claims.clone());
        Ok(claims)
    }
}

/// Reads and verifies the token.
pub(crate) fn authenticate(
    request: &Request,
    settings: &Settings,
    key: &SigningKey,
    verified: &mut VerifiedTokens,
    now: Timestamp,
) -> ArmResult<Caller> {
    let authorization_uri = format!("{}/{}", settings.endpoints.entra(), settings.tenant);
    let refuse =
        |code: &str, message: String| ArmError::unauthenticated(code, message, &authorization_uri);
    if request.header("authorization").is_none() {
        return Err(refuse(
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.".into(),
        ));
    }
    let token = bearer(request).ok_or_else(|| {
        refuse(
            "AuthenticationFailedInvalidHeader",
            "Authentication failed. The 'Authorization' header is provided in an invalid format."
                .into(),
        )
    })?;
    let claims = verified.claims(token, key).map_err(|error| {
        let message = match error {
            TokenError::Malformed => "The access token is invalid.",
            TokenError::Signature => "The access token's signature could not be validated.",
        };
        refuse("InvalidAuthenticationToken", message.into())
    })?;
    let audiences = settings.resource_manager_audiences();
    if !audiences.contains(&claims.aud) {
        let allowed: Vec<String> = audiences.iter().map(|a| format!("'{a}'")).collect();
        return Err(refuse(
            "InvalidAuthenticationTokenAudience",
            format!(
                "The access token has been obtained for wrong audience or resource '{}'. It should exactly match with one of the allowed audiences {}.",
                claims.aud,
                allowed.join(",")
            ),
        ));
    }
    if claims.tid != settings.tenant {
        return Err(refuse(
            "InvalidAuthenticationTokenTenant",
            format!(
                "The access token is from the wrong issuer tenant '{}'. It must match the tenant '{}' associated with this subscription.",
                claims.tid, settings.tenant
            ),
        ));
    }
    if now.as_second() >= claims.exp || now.as_second() < claims.nbf {
        return Err(refuse(
            "ExpiredAuthenticationToken",
            format!(
                "The access token expiry UTC time '{}' is earlier than current UTC time '{now}'.",
                Timestamp::from_second(claims.exp).unwrap_or(now)
            ),
        ));
    }
    Ok(Caller {
        client_id: claims.appid,
        object_id: claims.oid,
    })
}
