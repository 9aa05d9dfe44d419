use std::sync::Arc;

use thiserror::Error;
use url::Url;

use super::credential_property::MAX_CREDENTIAL_PROPERTY_CHARS;
use super::text::impl_name;

/// The issuer (`iss`) of a cluster's ServiceAccount tokens: an https URL, kept byte for byte.
///
/// Entra compares it exactly, and a slash at the end makes it another issuer, so nothing is normalized.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Issuer(Arc<str>);

const NOBODY: &str = "https://unknown.invalid/";

/// Why a text is no issuer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidIssuer {
    /// Nothing was given.
    #[error(
        "the issuer is empty; give the URL that the cluster's ServiceAccount tokens carry as \"iss\""
    )]
    Empty,
    /// Azure refuses more than 600 characters.
    #[error("the issuer has {0} characters; Azure accepts at most {MAX_CREDENTIAL_PROPERTY_CHARS}")]
    TooLong(usize),
    /// Whitespace, a control character, a character outside of ASCII or one that URLs do not contain unescaped.
    #[error(
        "the issuer contains {0:?}, which a URL cannot contain; give it exactly as the tokens carry it"
    )]
    Character(char),
    /// Entra reads the issuer's discovery document over https only.
    #[error("the issuer does not begin with https://")]
    NotHttps,
    /// What follows https:// is no host, or the port or path is not well-formed.
    #[error("the issuer is not a well-formed URL: {0}")]
    NotAUrl(#[from] url::ParseError),
    /// A user name or password.
    #[error("the issuer contains user information before '@'; remove it")]
    UserInfo,
    /// A query.
    #[error("the issuer contains a query ('?'); give the URL without it")]
    Query,
    /// A fragment.
    #[error("the issuer contains a fragment ('#'); give the URL without it")]
    Fragment,
    /// A path segment `.` or `..`.
    #[error("the path of the issuer contains a '.' or '..' segment; give the URL without it")]
    DotSegment,
}

impl Issuer {
    /// Reads an https URL of at most 600 characters without user information, query and fragment.
    ///
    /// # Errors
    /// For everything else. The text is never corrected.
    pub fn parse(text: &str) -> Result<Self, InvalidIssuer> {
        if text.is_empty() {
            return Err(InvalidIssuer::Empty);
        }
        let chars = text.chars().count();
        if chars > MAX_CREDENTIAL_PROPERTY_CHARS {
            return Err(InvalidIssuer::TooLong(chars));
        }
        // Before the URL parser sees it, which drops or rewrites them: then discovery would ask another URL than tokens name.
        if let Some(character) = text.chars().find(|c| !is_url_character(*c)) {
            return Err(InvalidIssuer::Character(character));
        }
        let Some(rest) = text.strip_prefix("https://") else {
            return Err(InvalidIssuer::NotHttps);
        };
        if rest.contains('#') {
            return Err(InvalidIssuer::Fragment);
        }
        if rest.contains('?') {
            return Err(InvalidIssuer::Query);
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(InvalidIssuer::UserInfo);
        }
        if path.split('/').any(is_dot_segment) {
            return Err(InvalidIssuer::DotSegment);
        }
        // "https:///path" would otherwise be read as the host "path".
        if authority.is_empty() {
            return Err(InvalidIssuer::NotAUrl(url::ParseError::EmptyHost));
        }
        Url::parse(text)?;
        Ok(Self(text.into()))
    }

    /// Stands where it is not known what tokens carry. No token carries it: a name below `invalid` belongs to nobody (RFC 6761).
    pub fn of_nobody() -> Self {
        Self(NOBODY.into())
    }

    /// Whether it is that of nobody.
    pub fn is_of_nobody(&self) -> bool {
        self.as_str() == NOBODY
    }

    /// The issuer, byte for byte as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl_name!(Issuer, InvalidIssuer);

/// Whether RFC 3986 admits a character in a URL, as it is or to begin an escape.
fn is_url_character(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
}

/// Whether a URL parser would take a path segment for `.` or `..`.
fn is_dot_segment(segment: &str) -> bool {
    matches!(
        segment.to_ascii_lowercase().replace("%2e", ".").as_str(),
        "." | ".."
    )
}
