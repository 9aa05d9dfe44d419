//! The key pair that a cluster signs ServiceAccount tokens with.

use std::fmt;

use anyhow::Context;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
    rand_core::OsRng,
    traits::PublicKeyParts,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Entra verifies RS256 only, so the key is RSA; 2048 bits is what Kubernetes distributions use.
const BITS: usize = 2048;

/// A cluster's ServiceAccount signing key, and the key set that its OIDC issuer publishes.
#[derive(Clone)]
pub struct ServiceAccountKeys {
    private_key_pem: String,
    jwks: Value,
}

impl ServiceAccountKeys {
    /// A new random key pair.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub fn generate() -> anyhow::Result<Self> {
        let key = RsaPrivateKey::new(&mut OsRng, BITS).context("generating an RSA key")?;
        let public = key.to_public_key();
        let spki = public.to_public_key_der()?;
        let jwks = json!({ "keys": [{
            "use": "sig",
            "kty": "RSA",
            // As Kubernetes derives the key id that it puts into tokens: the hash of the DER public key.
            "kid": URL_SAFE_NO_PAD.encode(Sha256::digest(spki.as_bytes())),
            "alg": "RS256",
            "n": URL_SAFE_NO_PAD.encode(public.n().to_bytes_be()),
            "e": URL_SAFE_NO_PAD.encode(public.e().to_bytes_be()),
        }]});
        let private_key_pem = key.to_pkcs8_pem(LineEnding::LF)?.to_string();
        Ok(Self {
            private_key_pem,
            jwks,
        })
    }

    /// The private key, PKCS#8 in PEM.
    pub fn private_key_pem(&self) -> &str {
        &self.private_key_pem
    }

    /// The JSON Web Key Set that verifies the tokens: what the issuer's `jwks_uri` serves.
    pub fn jwks(&self) -> &Value {
        &self.jwks
    }
}

impl fmt::Debug for ServiceAccountKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccountKeys")
            .field("jwks", &self.jwks)
            .finish_non_exhaustive()
    }
}
