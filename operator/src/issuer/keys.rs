//! The keys that an issuer publishes (RFC 7517). Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

/// The longest key set that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// Keys of a set at the most. Kubernetes has one or two.
pub const MAX_KEYS: usize = 100;

/// Where the API server has its own.
pub const PATH: &str = "/openid/v1/jwks";

/// The longest id of a key, in characters. That of Kubernetes has 43.
const LONGEST_KID: usize = 256;

/// The largest modulus, in bytes: RSA with 16384 bits.
const LONGEST_MODULUS: usize = 2048;

/// A key that tokens are signed with: two of the same id are the same key only if their moduli are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub kid: String,
    modulus: Vec<u8>,
}

/// The keys of a set that Entra verifies with: RSA, for RS256.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

/// Why a text is no key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    #[error("it is not JSON with a list of keys")]
    Unreadable,
    #[error("it has {0} keys, and {MAX_KEYS} are read at the most")]
    TooMany(usize),
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    n: String,
}

impl Keys {
    /// Reads a set. What is no key for RS256 in it is left out.
    ///
    /// # Errors
    /// It is no set, or has too many.
    pub fn read(text: &[u8]) -> Result<Self, InvalidKeys> {
        let set: Set = serde_json::from_slice(text).map_err(|_| InvalidKeys::Unreadable)?;
        if set.keys.len() > MAX_KEYS {
            return Err(InvalidKeys::TooMany(set.keys.len()));
        }
        Ok(Self(set.keys.into_iter().filter_map(key).collect()))
    }

    /// The key of this id that the set has; the first one, if there are several.
    pub fn of(&self, kid: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.kid == kid)
    }

    /// Whether it has this very key.
    pub fn has(&self, key: &Key) -> bool {
        self.0.contains(key)
    }

    /// Those that the other set lacks.
    pub fn missing_in<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(|key| !other.has(key))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn key(jwk: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    let is_rs256 = jwk.kty == "RSA" && jwk.alg.as_deref().is_none_or(|it| it == "RS256");
    let is_for_signatures = jwk.used_for.as_deref().is_none_or(|it| it == "sig");
    if !is_rs256 || !is_for_signatures || jwk.kid.chars().count() > LONGEST_KID {
        return None;
    }
    let modulus = URL_SAFE_NO_PAD.decode(jwk.n.trim_end_matches('=')).ok()?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let modulus = modulus.get(zeros..)?.to_vec();
    (!modulus.is_empty() && modulus.len() <= LONGEST_MODULUS).then_some(Key {
        kid: jwk.kid,
        modulus,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(set: Value) -> Result<Keys, InvalidKeys> {
        Keys::read(set.to_string().as_bytes())
    }

    fn rsa(kid: &str, n: &str) -> Value {
        json!({"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid, "n": n, "e": "AQAB"})
    }

    #[test]
    fn a_key_is_its_id_and_its_modulus() {
        let one = read(json!({"keys": [rsa("a", "AQID"), rsa("b", "BAUG")]})).unwrap();
        let same = read(json!({"keys": [rsa("b", "BAUG"), rsa("a", "AAAAAQID")]})).unwrap();
        assert_eq!(
            one.missing_in(&same).count(),
            0,
            "zeros before it do not count"
        );
        let other = read(json!({"keys": [rsa("a", "AQIE"), rsa("c", "BAUG")]})).unwrap();
        let missing: Vec<_> = one.missing_in(&other).map(|key| &*key.kid).collect();
        assert_eq!(
            missing,
            ["a", "b"],
            "the same id or the same modulus alone is another key"
        );
        assert!(one.has(one.of("a").unwrap()) && !other.has(one.of("a").unwrap()));
    }

    #[test]
    fn only_keys_for_rs256_count() {
        let with = |name: &str, value: Value| {
            let mut key = rsa("a", "AQID");
            key[name] = value;
            key
        };
        for key in [
            with("kty", json!("EC")),
            with("alg", json!("ES256")),
            with("alg", json!("PS256")),
            with("use", json!("enc")),
            with("n", json!("")),
            with("n", json!("AA")),
            with("n", json!("not base64!")),
            with("n", json!(1)),
            with("kid", json!(null)),
            with("kid", json!("k".repeat(257))),
            with("n", json!("A".repeat(4000))),
            json!("a"),
        ] {
            assert!(read(json!({"keys": [key]})).unwrap().is_empty(), "{key}");
        }
        // Neither the algorithm nor the use has to be there.
        let bare = json!({"kty": "RSA", "kid": "a", "n": "AQID", "e": "AQAB"});
        assert_eq!(read(json!({"keys": [bare]})).unwrap().len(), 1);
    }

    #[test]
    fn a_set_is_bounded_and_what_is_none_is_refused() {
        let set = |count: usize| {
            let keys: Vec<_> = (0..count).map(|it| rsa(&it.to_string(), "AQID")).collect();
            read(json!({ "keys": keys }))
        };
        assert_eq!(set(MAX_KEYS).unwrap().len(), MAX_KEYS);
        assert_eq!(set(MAX_KEYS + 1), Err(InvalidKeys::TooMany(101)));
        for text in ["", "<html>", "{}", "[]", r#"{"keys": 1}"#, "null"] {
            assert_eq!(
                Keys::read(text.as_bytes()),
                Err(InvalidKeys::Unreadable),
                "{text}"
            );
        }
        assert!(read(json!({"keys": []})).unwrap().is_empty());
    }
}
