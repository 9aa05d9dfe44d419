//! An access token, kept once: every request shares the bytes, and they are zeroed when the last of them is done.

use std::fmt;

use bytes::Bytes;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

const SCHEME: &str = "Bearer ";

/// A token for Resource Manager, as the header that carries it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BearerToken(HeaderValue);

impl BearerToken {
    /// None for a text that no header can carry, which is no token.
    pub(crate) fn new(token: &str) -> Option<Self> {
        let is_token = |byte: &u8| byte.is_ascii_graphic();
        if token.is_empty() || !token.as_bytes().iter().all(is_token) {
            return None;
        }
        // All at once: a buffer that grows leaves its first part behind.
        let mut header = Zeroizing::new(Vec::with_capacity(SCHEME.len() + token.len()));
        header.extend_from_slice(SCHEME.as_bytes());
        header.extend_from_slice(token.as_bytes());
        let mut header = HeaderValue::from_maybe_shared(Bytes::from_owner(header)).ok()?;
        header.set_sensitive(true);
        Some(Self(header))
    }

    /// The header, which shares the bytes.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// The token itself.
    pub(crate) fn token(&self) -> &str {
        let header = self.0.to_str().unwrap_or_default();
        header.strip_prefix(SCHEME).unwrap_or_default()
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shared_and_prints_nowhere() {
        let token = BearerToken::new("abc.def").unwrap();
        assert_eq!(token.header().as_bytes(), b"Bearer abc.def");
        assert_eq!(token.token(), "abc.def");
        assert!(token.header().is_sensitive());
        let (one, other) = (token.header(), token.clone().header());
        assert_eq!(one.as_bytes().as_ptr(), other.as_bytes().as_ptr());
        assert!(!format!("{token:?}").contains("abc"));
    }

    #[test]
    fn what_no_header_can_carry_is_no_token() {
        for text in ["", "a b", "a\nb", "a\0b", "ä", "a\u{200b}b", "\u{7f}"] {
            assert_eq!(BearerToken::new(text), None, "{text:?}");
        }
    }
}
