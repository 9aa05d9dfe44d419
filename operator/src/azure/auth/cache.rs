//! One token, shared.

use std::{fmt, future::Future, time::Duration};

use tokio::{sync::Mutex, time::Instant};
use tracing::warn;

use super::BearerToken;
use super::claims::Claims;
use super::metrics::SignInMetrics;
use crate::azure::error::AzureError;

/// How long before its expiry a token is renewed, as Azure's own libraries do it.
const RENEW_BEFORE_EXPIRY: Duration = Duration::from_secs(5 * 60);

/// After a failed renewal the token that is still good is used this long before the next try.
const RENEW_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// A token that expires sooner might not live to be read by Azure.
const LEAST_LIFETIME: Duration = Duration::from_secs(30);

/// A token as the authority gave it.
pub(super) struct FreshToken {
    pub(super) token: BearerToken,
    pub(super) lifetime: Duration,
}

/// Holds one token. The lock is kept over a sign-in, so that callers at the same time wait for its outcome.
#[derive(Default)]
pub(super) struct TokenCache {
    state: Mutex<State>,
    metrics: SignInMetrics,
}

#[derive(Default)]
struct State {
    token: Option<CachedToken>,
    /// What the last token says of whom it was given to.
    claims: Option<Claims>,
    failure: Option<(Instant, AzureError)>,
}

struct CachedToken {
    token: BearerToken,
    renew_at: Instant,
    usable_until: Instant,
}

impl TokenCache {
    /// The token that is held, or the one that `sign_in` brings. If it fails, everybody who was waiting for it gets
    /// the failure, unless the token that is held is still good.
    pub(super) async fn get<F>(
        &self,
        sign_in: impl FnOnce() -> F,
    ) -> Result<BearerToken, AzureError>
    where
        F: Future<Output = Result<FreshToken, AzureError>>,
    {
        let asked_at = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(token) = &state.token
            && Instant::now() < token.renew_at
        {
            return Ok(token.token.clone());
        }
        if let Some((failed_at, failure)) = &state.failure
            && *failed_at >= asked_at
        {
            return Err(failure.clone());
        }
        let outcome = sign_in().await;
        let now = Instant::now();
        match outcome {
            Ok(fresh) => {
                self.metrics.succeeded(now);
                state.claims = Claims::of(fresh.token.token());
                let token = state.token.insert(CachedToken::new(fresh, now));
                Ok(token.token.clone())
            }
            Err(failure) => {
                self.metrics.failed();
                match &mut state.token {
                    Some(token) if now < token.usable_until => {
                        warn!(error = %failure, "cannot renew the token for azure, the current one is still good");
                        token.renew_at = now + RENEW_AGAIN_AFTER;
                        Ok(token.token.clone())
                    }
                    _ => {
                        state.failure = Some((now, failure.clone()));
                        Err(failure)
                    }
                }
            }
        }
    }

    /// Signs in, whatever token is held. That one is kept where it fails.
    pub(super) async fn renew<F>(&self, sign_in: impl FnOnce() -> F) -> Result<(), AzureError>
    where
        F: Future<Output = Result<FreshToken, AzureError>>,
    {
        // Without the lock: who has a good token does not wait for this.
        let outcome = sign_in().await;
        let now = Instant::now();
        match outcome {
            Ok(fresh) => {
                self.metrics.succeeded(now);
                let mut state = self.state.lock().await;
                state.claims = Claims::of(fresh.token.token());
                state.token = Some(CachedToken::new(fresh, now));
                Ok(())
            }
            Err(failure) => {
                self.metrics.failed();
                Err(failure)
            }
        }
    }

    /// What has become of the sign-ins so far.
    pub(super) fn metrics(&self) -> &SignInMetrics {
        &self.metrics
    }

    /// What the last token says of whom it was given to; nothing is asked for.
    pub(super) async fn claims(&self) -> Option<Claims> {
        self.state.lock().await.claims.clone()
    }

    /// Forgets the token, if it is still this one.
    pub(super) async fn forget(&self, refused: &BearerToken) {
        let mut state = self.state.lock().await;
        if state
            .token
            .as_ref()
            .is_some_and(|cached| cached.token == *refused)
        {
            state.token = None;
        }
    }
}

impl CachedToken {
    fn new(fresh: FreshToken, now: Instant) -> Self {
        // Half of its lifetime for a token that lives less than ten minutes.
        let early = RENEW_BEFORE_EXPIRY.min(fresh.lifetime / 2);
        Self {
            token: fresh.token,
            renew_at: now + (fresh.lifetime - early),
            usable_until: now + fresh.lifetime.saturating_sub(LEAST_LIFETIME),
        }
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
