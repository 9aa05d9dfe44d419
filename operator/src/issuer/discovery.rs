//! Which issuer the cluster's tokens carry: the one of `--issuer`, or what the API server and the operator's own token agree on.
//!
//! The value is taken when a process begins to lead, and stays for as long as it does: two replicas cannot differ, and no pass decides
//! for one issuer and writes for another.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use azwib_crds::{InvalidIssuer, Issuer};

use super::api_server::{ApiServer, NotSaid};
use super::document::Document;
use super::platform::{Platform, Traits, platform};
use super::token::{InvalidToken, OwnToken};
use crate::azure::safe_line;

/// What `--issuer` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// What the API server says, if the own token says the same.
    Auto,
    Given(Issuer),
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Given(issuer) => write!(f, "{issuer}"),
        }
    }
}

/// Where the value comes from.
#[derive(Clone)]
pub enum Origin {
    /// It is known from the start.
    Known(Issuer),
    /// The API server is asked.
    Auto(Discovery),
}

/// Asks the API server, and compares with the token in a file.
#[derive(Clone)]
pub struct Discovery {
    pub api_server: ApiServer,
    pub token_file: PathBuf,
}

/// Why it is not known which issuer tokens carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    #[error(
        "the issuer of the cluster's tokens is not known: its discovery document cannot be read: {0}"
    )]
    NotSaid(NotSaid),
    #[error(
        "the issuer of the cluster's tokens is not known: the operator's own token in {path} (--service-account-token-file) cannot be \
         compared with it: {why}"
    )]
    Token { path: String, why: InvalidToken },
    #[error(
        "the issuer of the cluster's tokens is not known: the API server's discovery document says {document}, and the operator's own \
         token {token}, which has to be the same byte for byte"
    )]
    Differs { document: String, token: String },
    #[error("the cluster's tokens carry {issuer:?}, which is no issuer that Azure takes: {why}")]
    NotAnIssuer { issuer: String, why: InvalidIssuer },
}

impl Unknown {
    /// Whether something is to be set on the platform.
    fn needs_advice(&self) -> bool {
        matches!(
            self,
            Self::NotSaid(NotSaid::Off) | Self::Differs { .. } | Self::NotAnIssuer { .. }
        )
    }

    /// What it says, with what to do about it here.
    fn told(&self, platform: Platform) -> String {
        match self.needs_advice() {
            true => format!(
                "{self}; {}, or give the value (--issuer=URL)",
                platform.advice()
            ),
            false => self.to_string(),
        }
    }
}

/// What both say, if they say the same.
///
/// # Errors
/// They do not, or one of them says nothing.
pub fn agreed(
    document: Result<Document, NotSaid>,
    token: Result<OwnToken, InvalidToken>,
    path: &str,
) -> Result<Issuer, Unknown> {
    let document = document.map_err(Unknown::NotSaid)?.issuer;
    let token = token.map_err(|why| Unknown::Token {
        path: path.to_owned(),
        why,
    })?;
    if document != token.issuer {
        return Err(Unknown::Differs {
            document: safe_line(&document),
            token: safe_line(&token.issuer),
        });
    }
    Issuer::parse(&document).map_err(|why| Unknown::NotAnIssuer {
        issuer: safe_line(&document),
        why,
    })
}

impl Origin {
    /// The value as it is now.
    ///
    /// # Errors
    /// It is not known: why, and what to do about it.
    pub async fn value(&self) -> Result<Issuer, Arc<str>> {
        let discovery = match self {
            Self::Known(issuer) => return Ok(issuer.clone()),
            Self::Auto(discovery) => discovery,
        };
        let document = discovery.api_server.document().await;
        let token = OwnToken::in_file(&discovery.token_file);
        let said = document.as_ref().ok().map(|it| it.issuer.clone());
        let path = discovery.token_file.display().to_string();
        let unknown = match agreed(document, token, &path) {
            Ok(issuer) => return Ok(issuer),
            Err(unknown) => unknown,
        };
        let traits: Option<Traits> = match unknown.needs_advice() {
            true => discovery.api_server.traits().await,
            false => None,
        };
        let issuers: Vec<_> = said.iter().map(String::as_str).collect();
        let platform = platform(&traits.unwrap_or_default(), &issuers);
        Err(unknown.told(platform).into())
    }
}

#[cfg(test)]
mod tests;
