//! Where requests have their tokens from.

use super::cache::TokenCache;
use super::claims::Claims;
use super::metrics::SignInMetrics;
use super::sign_in::SignIn;
use super::token::BearerToken;
use crate::azure::error::AzureError;

/// Gives out tokens and renews them.
#[derive(Debug)]
pub(crate) struct TokenSource {
    sign_in: SignIn,
    cache: TokenCache,
}

impl TokenSource {
    pub(crate) fn new(sign_in: SignIn) -> Self {
        Self {
            sign_in,
            cache: TokenCache::default(),
        }
    }

    /// A token that is good for some time to come. Callers at the same time share one request, and its failure.
    pub(crate) async fn token(&self) -> Result<BearerToken, AzureError> {
        self.cache.get(|| self.sign_in.sign_in()).await
    }

    /// Signs in now, whatever token is held: what that proves, it proves of this moment.
    pub(crate) async fn sign_in_afresh(&self) -> Result<(), AzureError> {
        self.cache.renew(|| self.sign_in.sign_in()).await
    }

    /// What has become of the sign-ins so far.
    pub(crate) fn metrics(&self) -> &SignInMetrics {
        self.cache.metrics()
    }

    /// What the last token says of whom it was given to; nothing is asked for.
    pub(crate) async fn claims(&self) -> Option<Claims> {
        self.cache.claims().await
    }

    /// Another token than `refused`, which Resource Manager did not take.
    pub(crate) async fn replace(&self, refused: &BearerToken) -> Result<BearerToken, AzureError> {
        self.cache.forget(refused).await;
        self.token().await
    }
}
