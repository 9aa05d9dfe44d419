//! The API server's `Retry-After`, for callers that see errors only.
//!
//! kube gives up the headers of an answer that is an error, and where the API server is busy it answers in plain text. So
//! the header is put where kube looks: into `details.retryAfterSeconds` of a `Status`.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Either, Full, Limited};
use kube::client::Body;
use serde_json::{Value, json};
use tower::{BoxError, Layer, Service};

/// The longest answer that is looked into.
const LONGEST_ANSWER: usize = 1 << 20;

/// Wraps a client's service.
#[derive(Debug, Clone, Copy)]
pub struct RetryAfterLayer;

impl<S> Layer<S> for RetryAfterLayer {
    type Service = RetryAfter<S>;

    fn layer(&self, service: S) -> RetryAfter<S> {
        RetryAfter(service)
    }
}

/// A service whose errors tell when to come back.
#[derive(Debug, Clone)]
pub struct RetryAfter<S>(S);

impl<S, B> Service<Request<Body>> for RetryAfter<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Either<B, Full<Bytes>>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.0.call(request);
        async move {
            let answer = answer.await.map_err(Into::into)?;
            let Some(seconds) = seconds_of_error(&answer) else {
                return Ok(answer.map(Either::Left));
            };
            let (mut head, body) = answer.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await?;
            let body = with_retry_after(&body.to_bytes(), head.status.as_u16(), seconds);
            head.headers.remove(header::CONTENT_LENGTH);
            let body = Full::new(Bytes::from(body));
            Ok(Response::from_parts(head, Either::Right(body)))
        }
        .boxed()
    }
}

/// How many seconds an answer that is an error asks to be left alone.
pub(super) fn seconds_of_error<B>(answer: &Response<B>) -> Option<u32> {
    let is_error = answer.status().is_client_error() || answer.status().is_server_error();
    let asked = answer.headers().get(header::RETRY_AFTER)?;
    let seconds = asked.to_str().ok()?.trim().parse().ok()?;
    is_error.then_some(seconds)
}

/// The answer as a `Status` that tells when to come back; what it says of that itself stays.
fn with_retry_after(body: &[u8], code: u16, seconds: u32) -> String {
    let status = serde_json::from_slice(body).ok();
    let status = status.filter(|status: &Value| status["kind"] == "Status");
    let mut status = status.unwrap_or_else(|| {
        let said = String::from_utf8_lossy(body);
        json!({ "kind": "Status", "status": "Failure", "code": code, "message": said.trim() })
    });
    let said = &mut status["details"];
    if !said.is_object() {
        *said = json!({});
    }
    if said["retryAfterSeconds"].as_u64().unwrap_or_default() == 0 {
        said["retryAfterSeconds"] = json!(seconds);
    }
    status.to_string()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use k8s_openapi::api::core::v1::Namespace;
    use kube::{Api, Client};
    use tower::{ServiceBuilder, service_fn};

    use super::*;
    use crate::kubeutil::answers::{Answer, retry_after, words};

    /// What a call makes of this answer.
    async fn error(code: u16, header: Option<&'static str>, body: &'static str) -> kube::Error {
        let answer = move |_: Request<Body>| async move {
            let mut answer = Response::builder().status(code);
            if let Some(value) = header {
                answer = answer.header("retry-after", value);
            }
            Ok::<_, Infallible>(answer.body(Full::new(Bytes::from(body))).unwrap())
        };
        let service = ServiceBuilder::new()
            .layer(RetryAfterLayer)
            .service(service_fn(answer));
        let namespaces: Api<Namespace> = Api::all(Client::new(service, "default"));
        namespaces.get("shop").await.unwrap_err()
    }

    #[tokio::test]
    async fn a_busy_api_server_that_answers_in_plain_text_says_when_to_come_back() {
        let busy = error(
            429,
            Some("7"),
            "Too many requests, please try again later.\n",
        )
        .await;
        assert_eq!(retry_after(&busy), Some(Duration::from_secs(7)));
        assert_eq!(Answer::of(&busy), Answer::Undecided);
        assert_eq!(words(&busy), "Too many requests, please try again later.");
    }

    #[tokio::test]
    async fn an_answer_keeps_what_it_says_itself() {
        const BUSY: &str = r#"{"kind":"Status","status":"Failure","code":504,"reason":"Timeout","message":"slow",
            "details":{"retryAfterSeconds":3,"name":"orders"}}"#;
        let busy = error(504, Some("7"), BUSY).await;
        assert_eq!(retry_after(&busy), Some(Duration::from_secs(3)));
        assert_eq!(words(&busy), "slow");
    }

    #[tokio::test]
    async fn an_answer_without_a_usable_time_stays_as_it_is() {
        for header in [None, Some("soon"), Some("-1"), Some("99999999999999999999")] {
            let busy = error(503, header, "away").await;
            assert_eq!(retry_after(&busy), None, "{header:?}");
            assert_eq!(words(&busy), "away");
        }
    }
}
