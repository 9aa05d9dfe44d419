//! Requests to the API server as spans of the pass that makes them.

use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use tower::{Layer, Service};
use tracing::Instrument;

use super::paths::without_names;
use super::requests::method;
use crate::runtime::spans::RequestSpan;

/// Gives each request of a pass a span. Lists, watches and all that no pass waits for have none.
#[derive(Debug, Clone, Copy)]
pub struct RequestSpansLayer;

impl<S> Layer<S> for RequestSpansLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced(inner)
    }
}

/// A service whose requests have spans.
#[derive(Debug, Clone)]
pub struct Traced<S>(S);

impl<S, B, R> Service<Request<B>> for Traced<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let span = RequestSpan::is_wanted().then(|| of(&request));
        let answer = self.0.call(request);
        let Some(span) = span else {
            return answer.boxed();
        };
        let of_request = span.0.clone();
        async move {
            let answer = answer.await;
            span.answered(answer.as_ref().ok().map(|it| it.status().as_u16()));
            answer
        }
        .instrument(of_request)
        .boxed()
    }
}

fn of<B>(request: &Request<B>) -> RequestSpan {
    let (method, uri) = (method(request), request.uri());
    let found = without_names(uri.path());
    let (resource, template) = found.unwrap_or_else(|| ("other".to_owned(), String::new()));
    let host = uri.host().unwrap_or_default();
    RequestSpan::new(&format!("{method} {resource}"), method, host, &template)
}
