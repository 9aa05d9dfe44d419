//! What the operator's own ServiceAccount token says of where it comes from. The token itself is not kept.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// The longest token that is read, in bytes. One of Kubernetes has some 1200.
const MAX_BYTES: u64 = 64 << 10;

/// What a token says of itself. Nothing is verified: it is the operator's own, and none of it is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnToken {
    /// `iss`, byte for byte.
    pub issuer: String,
    /// `iat`, in seconds since 1970 by the API server's clock.
    pub issued_at: i64,
    /// `exp`, likewise.
    pub expires_at: i64,
    /// Which key it is signed with.
    pub kid: String,
    /// How it is signed; Entra takes RS256 only.
    pub algorithm: String,
}

/// Why a token says nothing. None of them quotes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    #[error("it cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    #[error("it is empty")]
    Empty,
    #[error("it has more than {} kB", MAX_BYTES >> 10)]
    TooLong,
    #[error("it is no JSON Web Token with iss, iat and exp, and a key id (kid) in its head")]
    NotAToken,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: i64,
    exp: i64,
}

impl OwnToken {
    /// Reads the token in a file. What was read is zeroed.
    ///
    /// # Errors
    /// There is none.
    pub fn in_file(path: &Path) -> Result<Self, InvalidToken> {
        let unreadable = |error: io::Error| InvalidToken::Unreadable(error.kind());
        let file = File::open(path).map_err(unreadable)?;
        // All at once: a buffer that grows leaves its first part behind.
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 1));
        file.take(MAX_BYTES + 1)
            .read_to_end(&mut text)
            .map_err(unreadable)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(InvalidToken::TooLong);
        }
        let text = std::str::from_utf8(&text).map_err(|_| InvalidToken::NotAToken)?;
        match text.trim() {
            "" => Err(InvalidToken::Empty),
            text => Self::of(text).ok_or(InvalidToken::NotAToken),
        }
    }

    /// What a token says; None where it is none.
    fn of(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (head, claims) = (parts.next()?, parts.next()?);
        let Head { alg, kid } = part(head)?;
        let Claims { iss, iat, exp } = part(claims)?;
        Some(Self {
            issuer: iss,
            issued_at: iat,
            expires_at: exp,
            kid,
            algorithm: alg,
        })
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(head: &str, claims: &str) -> String {
        let encode = |it: &str| URL_SAFE_NO_PAD.encode(it);
        format!("{}.{}.c2VjcmV0", encode(head), encode(claims))
    }

    fn read(text: &[u8]) -> Result<OwnToken, InvalidToken> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, text).unwrap();
        OwnToken::in_file(&file)
    }

    #[test]
    fn a_token_says_where_it_comes_from_and_when() {
        let text = token(
            r#"{"alg":"RS256","kid":"k1"}"#,
            r#"{"iss":"https://i.example/","iat":100,"exp":3700,"nbf":100,"aud":["a"],"kubernetes.io":{}}"#,
        );
        let expected = OwnToken {
            issuer: "https://i.example/".to_owned(),
            issued_at: 100,
            expires_at: 3700,
            kid: "k1".to_owned(),
            algorithm: "RS256".to_owned(),
        };
        assert_eq!(read(format!("{text}\n").as_bytes()), Ok(expected));
    }

    #[test]
    fn what_is_no_token_says_why_and_is_not_quoted() {
        let good = r#"{"alg":"RS256","kid":"k"}"#;
        for text in [
            "secret".to_owned(),
            "a.b.c".to_owned(),
            token(r#"{"alg":"RS256"}"#, r#"{"iss":"i","iat":1,"exp":2}"#),
            token(good, r#"{"iat":1,"exp":2}"#),
            token(good, r#"{"iss":"i","exp":2}"#),
            token(good, r#"{"iss":["i"],"iat":1,"exp":2}"#),
            token(good, r#"{"iss":"i","iat":1e400,"exp":2}"#),
        ] {
            let refused = read(text.as_bytes()).unwrap_err();
            assert_eq!(refused, InvalidToken::NotAToken, "{text}");
            assert!(!format!("{refused} {refused:?}").contains(&text));
        }
        assert_eq!(read(b" \n"), Err(InvalidToken::Empty));
        assert_eq!(read(&[0xff; 10]), Err(InvalidToken::NotAToken));
        assert_eq!(
            read(&vec![b'a'; (64 << 10) + 1]),
            Err(InvalidToken::TooLong)
        );
        let missing = OwnToken::in_file(Path::new("/nowhere/token"));
        assert_eq!(
            missing,
            Err(InvalidToken::Unreadable(io::ErrorKind::NotFound))
        );
    }
}
