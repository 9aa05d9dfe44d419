//! The key that Entra signs access tokens with.

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;

/// Bits of the key, as Entra's.
pub(crate) const KEY_BITS: usize = 2048;

/// Why a token was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum TokenError {
    #[error("not a JSON web token")]
    Malformed,
    #[error("the signature does not verify")]
    Signature,
}

/// A key that cannot be made.
#[derive(Debug, Error)]
pub enum SigningKeyError {
    /// The numbers could not be found.
    #[error("the RSA key cannot be generated")]
    Generate(#[from] rsa::Error),
    /// It could not be written down.
    #[error("the RSA key cannot be encoded")]
    Encode(#[from] rsa::pkcs8::Error),
    /// It could not be read back.
    #[error("the RSA key cannot be used")]
    Read(#[from] jsonwebtoken::errors::Error),
}

/// An RSA key pair with the key id under which it is published.
#[derive(Debug, Clone)]
pub struct SigningKey {
    encoding: EncodingKey,
    public: Jwk,
    key_id: String,
}

impl SigningKey {
    /// Reads an RSA private key in PEM (PKCS#1 or PKCS#8).
    ///
    /// # Errors
    /// If the text is no such key.
    pub fn from_pem(pem: &str) -> Result<Self, jsonwebtoken::errors::Error> {
        let encoding = EncodingKey::from_rsa_pem(pem.as_bytes())?;
        let mut public = Jwk::from_encoding_key(&encoding, Algorithm::RS256)?;
        let key_id = public.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256)?;
        public.common.key_id = Some(key_id.clone());
        Ok(Self {
            encoding,
            public,
            key_id,
        })
    }

    /// Makes a key. Unlike everything else here it does not come from the seed, and nothing that the model does depends
    /// on it but the signatures.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn generate() -> Result<Self, SigningKeyError> {
        let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, KEY_BITS)?;
        Ok(Self::from_pem(&key.to_pkcs8_pem(LineEnding::LF)?)?)
    }

    /// Signs claims with RS256.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> Result<String, TokenError> {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.key_id.clone());
        jsonwebtoken::encode(&header, claims, &self.encoding).map_err(|_| TokenError::Malformed)
    }

    /// Verifies a token of this key; times and audience are the caller's to judge.
    pub(crate) fn verify<T: DeserializeOwned>(&self, token: &str) -> Result<T, TokenError> {
        verify(token, &self.public)
    }

    /// The key set that Entra publishes.
    pub(crate) fn jwks(&self) -> Value {
        let key = match &self.public.algorithm {
            AlgorithmParameters::RSA(rsa) => {
                json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.key_id, "n": rsa.n, "e": rsa.e})
            }
            _ => json!({}),
        };
        json!({"keys": [key]})
    }
}

/// Verifies an RS256 signature with a published key; nothing else is checked.
pub(crate) fn verify<T: DeserializeOwned>(token: &str, key: &Jwk) -> Result<T, TokenError> {
    let key = DecodingKey::from_jwk(key).map_err(|_| TokenError::Signature)?;
    let mut validation = Validation::new(Algorithm::RS256);
    // Times are judged with the simulation's clock, not with the machine's.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    jsonwebtoken::decode(token, &key, &validation)
        .map(|data| data.claims)
        .map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => TokenError::Signature,
            _ => TokenError::Malformed,
        })
}
