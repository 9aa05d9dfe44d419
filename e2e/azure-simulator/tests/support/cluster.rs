//! A cluster as Azure sees it: an issuer with a key that signs ServiceAccount tokens.

use std::sync::OnceLock;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::{Azure, EXCHANGE_AUDIENCE, SUBJECT, rsa_pem};

/// A cluster: an issuer with a key.
pub(crate) struct Cluster {
    pub(crate) issuer: String,
    pub(crate) key: ClusterKey,
}

impl Cluster {
    pub(crate) async fn register(azure: &Azure) -> Self {
        let key = ClusterKey::shared();
        let issuer = azure.control.register_issuer(key.jwks()).await.unwrap();
        Self { issuer, key }
    }

    /// A ServiceAccount token of now, as the API server makes it, with these claims instead of its own.
    pub(crate) fn token_with(&self, claims: Value) -> String {
        let now = jiff::Timestamp::now().as_second();
        let mut all = json!({
            "iss": self.issuer,
            "sub": SUBJECT,
            "aud": [EXCHANGE_AUDIENCE],
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
        });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        self.key.sign(&all)
    }

    pub(crate) fn token(&self) -> String {
        self.token_with(json!({}))
    }
}

/// An RSA key under a key id.
#[derive(Clone)]
pub(crate) struct ClusterKey {
    encoding: EncodingKey,
    pub(crate) id: String,
}

impl ClusterKey {
    /// A key that all tests share.
    pub(crate) fn shared() -> Self {
        static KEY: OnceLock<EncodingKey> = OnceLock::new();
        Self {
            encoding: KEY.get_or_init(Self::generate).clone(),
            id: "cluster-key".to_owned(),
        }
    }

    /// Another key under the same id.
    pub(crate) fn other() -> Self {
        Self {
            encoding: Self::generate(),
            id: "cluster-key".to_owned(),
        }
    }

    fn generate() -> EncodingKey {
        EncodingKey::from_rsa_pem(rsa_pem().as_bytes()).unwrap()
    }

    pub(crate) fn named(&self, id: &str) -> Self {
        Self {
            encoding: self.encoding.clone(),
            id: id.to_owned(),
        }
    }

    pub(crate) fn jwk(&self) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.encoding, Algorithm::RS256).unwrap())
                .unwrap();
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    pub(crate) fn jwks(&self) -> Value {
        json!({"keys": [self.jwk()]})
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.id.clone());
        jsonwebtoken::encode(&header, claims, &self.encoding).unwrap()
    }
}
