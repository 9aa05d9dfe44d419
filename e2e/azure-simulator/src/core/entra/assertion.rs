//! Client assertions: a token of another issuer in the place of a secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use serde_json::Value;

use super::error::{EntraError, EntraResult};
use crate::core::signing::{self, TokenError};
use crate::core::state::FederatedCredential;

/// Entra keeps so many of an issuer's keys, from the beginning of its key set.
const KEYS_KEPT: usize = 100;

/// The claims that count.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    sub: String,
    aud: Audiences,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

impl Audiences {
    fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(audience) => std::slice::from_ref(audience),
            Self::Many(audiences) => audiences.as_slice(),
        }
        .iter()
        .map(String::as_str)
    }
}

/// An assertion that could be read; nothing is verified yet.
#[derive(Debug, Clone)]
pub(crate) struct Assertion {
    token: String,
    key_id: Option<String>,
    pub(crate) claims: Claims,
}

/// An issuer's documents, as fetched.
#[derive(Debug, Clone)]
pub struct IssuerDocuments {
    /// `…/.well-known/openid-configuration`.
    pub discovery: Value,
    /// The key set that it names.
    pub jwks: Value,
}

impl Assertion {
    /// Reads header and claims.
    pub(crate) fn read(token: &str) -> EntraResult<Self> {
        #[derive(Deserialize)]
        struct Header {
            alg: String,
            kid: Option<String>,
        }
        let header: Header = token
            .split_once('.')
            .and_then(|(header, _)| URL_SAFE_NO_PAD.decode(header).ok())
            .and_then(|header| serde_json::from_slice(&header).ok())
            .ok_or_else(EntraError::malformed_assertion)?;
        if header.alg != "RS256" {
            return Err(EntraError::unsupported_algorithm(&header.alg));
        }
        let claims = jsonwebtoken::dangerous::insecure_decode_claims(token)
            .map_err(|_| EntraError::malformed_assertion())?;
        Ok(Self {
            token: token.to_owned(),
            key_id: header.kid,
            claims,
        })
    }

    /// Who it is about.
    pub(crate) fn subject(&self) -> &str {
        &self.claims.sub
    }

    /// Whether a credential trusts this assertion's issuer: byte for byte, and never with whitespace around it.
    pub(crate) fn is_from_issuer_of(&self, credential: &FederatedCredential) -> bool {
        let issuer = &self.claims.iss;
        credential.issuer == *issuer && issuer.trim() == issuer
    }

    /// Verifies the signature with the issuer's published keys.
    pub(crate) fn verify_signature(&self, documents: &IssuerDocuments) -> EntraResult<()> {
        let issuer = &self.claims.iss;
        if documents.discovery.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err(EntraError::issuer_unreachable(
                "The issuer in the discovery document is not the issuer of the assertion.",
            ));
        }
        let key_id = self.key_id.as_deref().unwrap_or_default();
        let key: Jwk = documents
            .jwks
            .get("keys")
            .and_then(Value::as_array)
            .and_then(|keys| {
                keys.iter().take(KEYS_KEPT).find(|key| {
                    key.get("kid").and_then(Value::as_str).unwrap_or_default() == key_id
                })
            })
            .and_then(|key| serde_json::from_value(key.clone()).ok())
            .ok_or_else(|| EntraError::key_not_published(key_id, issuer))?;
        signing::verify::<Value>(&self.token, &key)
            .map(|_| ())
            .map_err(|error| match error {
                TokenError::Signature => EntraError::invalid_signature(),
                TokenError::Malformed => EntraError::malformed_assertion(),
            })
    }

    /// Checks `nbf` (or `iat`) and `exp`.
    pub(crate) fn verify_times(&self, now: Timestamp, skew_seconds: u64) -> EntraResult<()> {
        let seconds = |value: f64| Timestamp::from_second(value as i64).unwrap_or(now);
        let until = seconds(self.claims.exp);
        let from = self.claims.nbf.or(self.claims.iat).map_or(until, seconds);
        let skew = i64::try_from(skew_seconds).unwrap_or(i64::MAX);
        let time = now.as_second();
        if time >= until.as_second().saturating_add(skew)
            || time < from.as_second().saturating_sub(skew)
        {
            return Err(EntraError::outside_validity(now, from, until));
        }
        Ok(())
    }

    /// Finds the credential that this assertion is for, among those of its issuer.
    pub(crate) fn match_credential(&self, of_issuer: &[&FederatedCredential]) -> EntraResult<()> {
        let subject = self.claims.sub.as_str();
        let of_subject: Vec<_> = of_issuer
            .iter()
            .filter(|credential| credential.subject.as_deref() == Some(subject))
            .collect();
        if of_subject.is_empty() {
            let in_another_case = of_issuer.iter().any(|credential| {
                credential
                    .subject
                    .as_ref()
                    .is_some_and(|s| s.eq_ignore_ascii_case(subject))
            });
            return Err(if in_another_case {
                EntraError::subject_differs_in_case(subject)
            } else if of_issuer.iter().all(|c| c.subject.is_none()) {
                EntraError::no_flexible_match(subject)
            } else {
                EntraError::no_subject(subject)
            });
        }
        let matches = of_subject.iter().any(|credential| {
            self.claims
                .aud
                .iter()
                .any(|audience| credential.audiences.iter().any(|own| own == audience))
        });
        if matches {
            Ok(())
        } else {
            let audiences: Vec<&str> = self.claims.aud.iter().collect();
            Err(EntraError::no_audience(&audiences.join(", ")))
        }
    }
}
