//! Who may do what here: whoever has the right to it ([`Right`]), by the API server's word.
//!
//! As in controller-runtime's `filters.WithAuthenticationAndAuthorization`: a TokenReview says whose token it is, and a
//! SubjectAccessReview whether that one may. Every pod may reach the port, so that costs the API server little: tokens that
//! were never good are asked about one after the other, and whoever was let in already does not wait for them.

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
use super::right::Right;
use crate::kubeutil::answers::words;
use crate::runtime::lock::lock;

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

/// Who asks, by the API server's word. Every request that was let in carries it.
#[derive(Debug, Clone)]
pub(super) struct User(pub(super) String);

/// The router, for those who have the right to what they ask for.
pub fn guarded(router: Router, client: Client) -> Router {
    router.layer(from_fn_with_state(Arc::new(Access::new(client)), check))
}

async fn check(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    let right = Right::needed(request.method(), request.uri().path());
    match access.admitted(request.headers(), right).await {
        Ok(user) => {
            request.extensions_mut().insert(user);
            next.run(request).await
        }
        Err(refusal) => refusal,
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

    /// Who asks with these headers, or what that one is told instead.
    async fn admitted(&self, headers: &HeaderMap, right: &'static Right) -> Result<User, Response> {
        let Some(token) = bearer_token(headers) else {
            return Err(unauthorized(
                "send the token of a ServiceAccount (Authorization: Bearer)",
            ));
        };
        let Right { verb, path, role } = right;
        match self.verdict(token, right).await {
            Ok(Verdict::Allowed(user)) => Ok(User(user)),
            Ok(Verdict::Unauthenticated) => {
                Err(unauthorized("the API server knows nobody by this token"))
            }
            Ok(Verdict::Forbidden(user)) => {
                let text =
                    format!("{user} may not {verb} {path}: bind it to the ClusterRole {role}\n");
                Err((StatusCode::FORBIDDEN, text).into_response())
            }
            Err(error) => {
                let said = words(&error);
                self.tell(&error);
                let text = format!("the API server does not say who may {verb} {path}: {said}\n");
                Err((StatusCode::SERVICE_UNAVAILABLE, text).into_response())
            }
        }
    }

    async fn verdict(&self, token: &str, right: &'static Right) -> Result<Verdict, kube::Error> {
        let (verdict, is_remembered) = {
            let (known, now) = (lock(&self.known), Instant::now());
            let is_remembered = known.is_remembered(token, right, now);
            (known.verdict(token, right, now), is_remembered)
        };
        if let Some(verdict) = verdict {
            return Ok(verdict);
        }
        if !is_remembered {
            let mut next = self.strangers.lock().await;
            sleep_until(*next).await;
            *next = Instant::now() + BETWEEN_STRANGERS;
        }
        let verdict = self.ask(token, right).await?;
        lock(&self.known).keep(token, right, verdict.clone(), Instant::now());
        Ok(verdict)
    }

    async fn ask(&self, token: &str, right: &Right) -> Result<Verdict, kube::Error> {
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
            .create(&PostParams::default(), &may(user, right))
            .await?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        Ok(match allowed {
            true => Verdict::Allowed(name),
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
                "a request to the port of the metrics is refused: the API server cannot be asked who may make it"
            );
        }
    }
}

fn may(user: UserInfo, right: &Right) -> SubjectAccessReview {
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username,
            uid: user.uid,
            groups: user.groups,
            extra: user.extra,
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some(right.path.to_owned()),
                verb: Some(right.verb.to_owned()),
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
