//! What a token says of whom it was given to. Nothing is verified: it is the operator's own.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// Some claims of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// The client id: `appid` in a token of version 1, `azp` in one of version 2.
    #[serde(alias = "azp")]
    pub appid: Option<String>,
    /// The object id of the service principal.
    pub oid: Option<String>,
    /// The subject.
    pub sub: Option<String>,
}

impl Claims {
    /// Reads the claims of a JSON Web Token; `None` where it is none.
    pub fn of(token: &str) -> Option<Self> {
        let payload = token.trim().split('.').nth(1)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        serde_json::from_slice(&payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_and_what_is_no_token_has_none() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"appid":"a","oid":"o","sub":"s","aud":["x"]}"#);
        let claims = Claims::of(&format!("e30.{payload}.sig\n")).unwrap();
        assert_eq!(claims.appid.as_deref(), Some("a"));
        assert_eq!(claims.oid.as_deref(), Some("o"));
        assert_eq!(claims.sub.as_deref(), Some("s"));
        for text in ["", "opaque", "a.b.c", "e30.e30"] {
            assert_eq!(
                Claims::of(text).unwrap_or_default(),
                Claims::default(),
                "{text}"
            );
        }
    }
}
