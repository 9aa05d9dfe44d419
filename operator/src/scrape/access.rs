//! Who may scrape: whoever has the right `get` on the path `/metrics`, by the API server's word.
//!
//! As in controller-runtime's `filters.WithAuthenticationAndAuthorization`: a TokenReview says whose token it is, and a
//! SubjectAccessReview whether that one may. Every pod may reach the port, so that costs the API server little: tokens that
//! were never good are asked about one after the other, and whoever scrapes already does not wait for them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync;
use tokio::time::{Instant, sleep_until};

use super::known::{Known, Verdict};
use crate::kubeutil::answers::words;
use crate::runtime::lock::lock;

/// What is asked for: the right that kubebuilder's `metrics-reader` gives.
const PATH: &str = "/metrics";
const VERB: &str = "get";

/// Between two tokens that were never good.
const BETWEEN_STRANGERS: Duration = Duration::from_millis(50);

/// A failure to ask is logged once in this time.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Asks the API server, and remembers its answers for a short time.
pub struct Access {
    client: Client,
    known: Mutex<Known>,
    /// When the next token may be asked about that was never good.
    strangers: sync::Mutex<Instant>,
    told: Mutex<Option<Instant>>,
}

/// The router, for those who may scrape.
pub fn guarded(router: Router, client: Client) -> Router {
    router.layer(from_fn_with_state(Arc::new(Access::new(client)), check))
}

async fn check(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match access.refusal(request.headers()).await {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

impl Access {
    /// Asks by this client.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            known: Mutex::default(),
            strangers: sync::Mutex::new(Instant::now()),
            told: Mutex::default(),
        }
    }

    /// What who asks with these headers is told instead of the metrics, if anything.
    async fn refusal(&self, headers: &HeaderMap) -> Option<Response> {
        let Some(token) = bearer_token(headers) else {
            return Some(unauthorized(
                "send the token of a ServiceAccount (Authorization: Bearer)",
            ));
        };
        match self.verdict(token).await {
            Ok(Verdict::Allowed) => None,
            Ok(Verdict::Unauthenticated) => {
                Some(unauthorized("the API server knows nobody by this token"))
            }
            Ok(Verdict::Forbidden(user)) => {
                let text = format!(
                    "{user} may not {VERB} {PATH}: bind it to the ClusterRole azwib-metrics-reader\n"
                );
                Some((StatusCode::FORBIDDEN, text).into_response())
            }
            Err(error) => {
                let said = words(&error);
                self.tell(&error);
                let text = format!("the API server does not say who may scrape: {said}\n");
                Some((StatusCode::SERVICE_UNAVAILABLE, text).into_response())
            }
        }
    }

    async fn verdict(&self, token: &str) -> Result<Verdict, kube::Error> {
        let (verdict, is_remembered) = {
            let (known, now) = (lock(&self.known), Instant::now());
            (known.verdict(token, now), known.is_remembered(token, now))
        };
        if let Some(verdict) = verdict {
            return Ok(verdict);
        }
        if !is_remembered {
            let mut next = self.strangers.lock().await;
            sleep_until(*next).await;
            *next = Instant::now() + BETWEEN_STRANGERS;
        }
        let verdict = self.ask(token).await?;
        lock(&self.known).keep(token, verdict.clone(), Instant::now());
        Ok(verdict)
    }

    async fn ask(&self, token: &str) -> Result<Verdict, kube::Error> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                ..TokenReviewSpec::default()
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await?;
        let status = answer.status.unwrap_or_default();
        let user = status.user.filter(|_| status.authenticated == Some(true));
        let Some(user) = user else {
            return Ok(Verdict::Unauthenticated);
        };
        let name = user.username.clone().unwrap_or_default();
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = reviews
            .create(&PostParams::default(), &may_scrape(user))
            .await?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        Ok(match allowed {
            true => Verdict::Allowed,
            false => Verdict::Forbidden(name),
        })
    }

    /// Says in the log that the API server cannot be asked: the operator may have no right to.
    fn tell(&self, error: &kube::Error) {
        let mut told = lock(&self.told);
        if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            *told = Some(Instant::now());
            let error = error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "a scrape is refused: the API server cannot be asked who may scrape"
            );
        }
    }
}

fn may_scrape(user: UserInfo) -> SubjectAccessReview {
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username,
            uid: user.uid,
            groups: user.groups,
            extra: user.extra,
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some(PATH.to_owned()),
                verb: Some(VERB.to_owned()),
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}

/// The token that a request shows.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let shown = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = shown.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn unauthorized(text: &str) -> Response {
    let header = [(WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, header, format!("{text}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_counts() {
        for (header, expected) in [
            ("Bearer a.b.c", Some("a.b.c")),
            ("bearer  a.b.c ", Some("a.b.c")),
            ("Bearer", None),
            ("Bearer ", None),
            ("Basic YTpi", None),
            ("a.b.c", None),
        ] {
            let headers = [(AUTHORIZATION, header.parse().unwrap())];
            let headers: HeaderMap = headers.into_iter().collect();
            assert_eq!(bearer_token(&headers), expected, "{header:?}");
        }
        assert_eq!(bearer_token(&HeaderMap::new()), None);
    }
}
