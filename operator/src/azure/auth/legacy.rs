//! What the old client gets where it wants a credential.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core_legacy::{
    auth::{AccessToken, Secret, TokenCredential},
    error::{Error, ErrorKind},
};
use time::{Duration, OffsetDateTime};

use super::config::Authorization;
use super::source::TokenSource;

/// It goes into the old client's requests and, at debug level, into its log; our transport replaces it.
const PLACEHOLDER: &str = "set-below-the-log-line";

/// A placeholder; or, for the test that shows what would happen, real tokens.
#[derive(Debug)]
pub(crate) struct LegacyCredential {
    tokens: Option<Arc<TokenSource>>,
}

impl LegacyCredential {
    pub(crate) fn new(authorization: Authorization, tokens: &Arc<TokenSource>) -> Self {
        Self {
            tokens: match authorization {
                Authorization::BelowTheLogLine => None,
                Authorization::InsideTheClient => Some(Arc::clone(tokens)),
            },
        }
    }
}

#[async_trait]
impl TokenCredential for LegacyCredential {
    async fn get_token(&self, _scopes: &[&str]) -> azure_core_legacy::Result<AccessToken> {
        let secret = match &self.tokens {
            None => Secret::new(PLACEHOLDER),
            Some(tokens) => {
                let token = tokens
                    .token()
                    .await
                    .map_err(|error| Error::new(ErrorKind::Credential, error))?;
                Secret::new(token.token().to_owned())
            }
        };
        // The old client asks for each call and looks at the expiry nowhere.
        Ok(AccessToken::new(
            secret,
            OffsetDateTime::now_utc() + Duration::HOUR,
        ))
    }

    async fn clear_cache(&self) -> azure_core_legacy::Result<()> {
        Ok(())
    }
}
