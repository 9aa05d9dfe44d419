//! The discovery document of an issuer (OpenID Connect Discovery 1.0, section 3). Pure.

use azwib_crds::Issuer;
use serde::Deserialize;
use url::Url;

use super::reach::{Unreachable, unreachable_url};
use crate::azure::safe_line;

/// The longest document that is read, in bytes. That of Kubernetes has some 300.
pub const MAX_BYTES: usize = 64 << 10;

/// The longest address of keys that is followed, in characters.
const LONGEST_URL: usize = 2048;

/// Where the document of an issuer is: below it, whether or not it ends in a slash (OpenID Connect Discovery 1.0, section 4).
pub fn address_of(issuer: &Issuer) -> String {
    let base = issuer.as_str();
    let base = base.strip_suffix('/').unwrap_or(base);
    format!("{base}{PATH}")
}

/// Where a document is below its issuer, and below the API server.
pub const PATH: &str = "/.well-known/openid-configuration";

/// What is read of a document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Document {
    /// The issuer that it is of, byte for byte.
    pub issuer: String,
    /// Where its keys are.
    pub jwks_uri: Option<String>,
}

/// Why a document is none that tokens can be verified by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDocument {
    /// It is not JSON with an issuer. What stands there may be the page of a proxy, so this proves nothing.
    #[error("what is at {address} is no discovery document: it is not JSON with an issuer")]
    Unreadable { address: String },
    /// It is of another issuer.
    #[error("the discovery document at {address} is of the issuer {named:?}")]
    OtherIssuer { address: String, named: String },
    /// It names no keys.
    #[error("the discovery document at {address} names no keys (jwks_uri)")]
    NoKeys { address: String },
    /// Its keys are nowhere that they could be read from.
    #[error("the discovery document at {address} has its keys at {jwks_uri:?}, which {why}")]
    Keys {
        address: String,
        jwks_uri: String,
        why: InvalidAddress,
    },
}

impl InvalidDocument {
    /// Whether it proves that tokens of the issuer cannot be verified.
    pub fn is_proof(&self) -> bool {
        !matches!(self, Self::Unreadable { .. })
    }
}

/// Why an address is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    #[error("is no address of the web")]
    NotAUrl,
    #[error("does not begin with https://")]
    NotHttps,
    #[error("has a user name in it")]
    UserInfo,
    #[error("nobody on the internet reaches: its host {0}")]
    Unreachable(Unreachable),
}

/// Reads a document; [`None`] where it is not JSON with an issuer.
pub fn read(text: &[u8]) -> Option<Document> {
    serde_json::from_slice(text).ok()
}

/// The address of the keys of this issuer, from what was found at the address of its document.
///
/// # Errors
/// It is no document of this issuer. Issuers are compared byte for byte, as Entra does.
pub fn keys_of(issuer: &Issuer, text: &[u8], allow_private: bool) -> Result<Url, InvalidDocument> {
    let address = address_of(issuer);
    let Some(Document {
        issuer: of,
        jwks_uri,
    }) = read(text)
    else {
        return Err(InvalidDocument::Unreadable { address });
    };
    if of != issuer.as_str() {
        let named = safe_line(&of);
        return Err(InvalidDocument::OtherIssuer { address, named });
    }
    let Some(jwks_uri) = jwks_uri else {
        return Err(InvalidDocument::NoKeys { address });
    };
    checked_address(&jwks_uri, allow_private).map_err(|why| InvalidDocument::Keys {
        address,
        jwks_uri: safe_line(&jwks_uri),
        why,
    })
}

/// An address that may be asked: https, without a user name, and, unless that is allowed, not of a private network.
///
/// # Errors
/// It is another one.
pub fn checked_address(address: &str, allow_private: bool) -> Result<Url, InvalidAddress> {
    if address.len() > LONGEST_URL {
        return Err(InvalidAddress::NotAUrl);
    }
    let url = Url::parse(address).map_err(|_| InvalidAddress::NotAUrl)?;
    if url.scheme() != "https" {
        return Err(InvalidAddress::NotHttps);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidAddress::UserInfo);
    }
    match unreachable_url(&url).filter(|_| !allow_private) {
        Some(why) => Err(InvalidAddress::Unreachable(why)),
        None => Ok(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(issuer: &str, text: &str) -> Result<String, String> {
        let issuer = Issuer::parse(issuer).unwrap();
        let keys = keys_of(&issuer, text.as_bytes(), false);
        keys.map(|url| url.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_document_is_below_its_issuer_with_or_without_a_slash_at_the_end() {
        for (issuer, address) in [
            (
                "https://i.example",
                "https://i.example/.well-known/openid-configuration",
            ),
            (
                "https://i.example/",
                "https://i.example/.well-known/openid-configuration",
            ),
            (
                "https://i.example/a/b/",
                "https://i.example/a/b/.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(address_of(&Issuer::parse(issuer).unwrap()), address);
        }
    }

    #[test]
    fn the_issuer_is_compared_byte_for_byte() {
        let document = |issuer: &str| {
            format!(
                r#"{{"issuer": "{issuer}", "jwks_uri": "https://keys.example/k?a=b", "more": [1]}}"#
            )
        };
        let found = of("https://i.example/", &document("https://i.example/"));
        assert_eq!(found.unwrap(), "https://keys.example/k?a=b");
        for other in [
            "https://i.example",
            "https://I.example/",
            "https://i.example//",
            "https://i.example:443/",
            "",
        ] {
            let refused = of("https://i.example/", &document(other)).unwrap_err();
            assert!(
                refused.contains(&format!("is of the issuer \"{other}\"")),
                "{refused}"
            );
        }
    }

    #[test]
    fn keys_are_read_by_the_same_rules() {
        for (keys, why) in [
            ("http://keys.example/", "does not begin with https://"),
            ("file:///etc/passwd", "does not begin with https://"),
            ("https://user@keys.example/", "has a user name in it"),
            ("keys", "is no address of the web"),
            (
                "https://169.254.169.254/keys",
                "cannot be reached from the internet",
            ),
            (
                "https://[::ffff:10.0.0.1]/keys",
                "cannot be reached from the internet",
            ),
            (
                "https://kubernetes.default.svc/keys",
                "inside of the cluster only",
            ),
        ] {
            let document = format!(r#"{{"issuer": "https://i.example", "jwks_uri": "{keys}"}}"#);
            let refused = of("https://i.example", &document).unwrap_err();
            assert!(refused.contains(why), "{keys}: {refused}");
        }
        let none = of("https://i.example", r#"{"issuer": "https://i.example"}"#);
        assert!(none.unwrap_err().contains("names no keys"));
    }

    #[test]
    fn what_is_no_document_proves_nothing() {
        for text in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"issuer": 1}"#,
            "null",
            "\u{0}",
        ] {
            let issuer = Issuer::parse("https://i.example").unwrap();
            let refused = keys_of(&issuer, text.as_bytes(), false).unwrap_err();
            assert!(
                matches!(refused, InvalidDocument::Unreadable { .. }) && !refused.is_proof(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_text_from_outside_is_told_without_control_characters() {
        let text =
            r#"{"issuer": "https://evil.example/\n\u001b[31m", "jwks_uri": "https://k.example"}"#;
        let refused = of("https://i.example", text).unwrap_err();
        assert!(
            !refused.contains('\u{1b}') && !refused.contains('\n'),
            "{refused:?}"
        );
    }
}
