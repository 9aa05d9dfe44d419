//! Writes to the cluster, by whoever leads only.

use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request};
use tower::{BoxError, Layer, Service};

use super::claim::Claim;

/// The API group of events. They may be written without a claim: they change nothing, and the last ones tell how a term ended.
const EVENTS: &str = "/apis/events.k8s.io/";

/// Whether a request may be sent without a claim.
pub fn is_free<B>(request: &Request<B>) -> bool {
    request.method() == Method::GET || request.uri().path().starts_with(EVENTS)
}

/// Wraps a client's service: what is no read fails with [`super::NoClaim`] once the claim is void.
#[derive(Debug, Clone)]
pub struct ClaimLayer(pub Claim);

impl<S> Layer<S> for ClaimLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            claim: self.0.clone(),
        }
    }
}

/// A service that is asked for reads, and for writes while the claim is held.
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    inner: S,
    claim: Claim,
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>>,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !is_free(&request)
            && let Err(no_claim) = self.claim.check()
        {
            return std::future::ready(Err(no_claim.into())).boxed();
        }
        let answer = self.inner.call(request);
        async move { answer.await.map_err(Into::into) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::leader::NoClaim;
    use crate::runtime::clocks::Clocks;

    #[tokio::test(start_paused = true)]
    async fn without_a_claim_there_are_reads_and_events_only() {
        let (clocks, moves) = Clocks::moved(Timestamp::UNIX_EPOCH);
        let claim = Claim::since(clocks.read(), clocks, Duration::from_secs(10));
        let service = tower::service_fn(async |_: Request<()>| Ok::<_, Infallible>(()));
        let mut service = ClaimLayer(claim).layer(service);
        let binding = "/apis/azwib.dev/v1alpha1/namespaces/shop/workloadidentitybindings/orders";
        let event = "/apis/events.k8s.io/v1/namespaces/shop/events";
        for is_held in [true, false] {
            for (method, path, is_write) in [
                (Method::GET, binding, false),
                (Method::POST, event, false),
                (Method::PATCH, event, false),
                (Method::PATCH, binding, true),
                (Method::PUT, binding, true),
                (Method::POST, binding, true),
                (Method::DELETE, binding, true),
            ] {
                let request = Request::builder().method(&method).uri(path);
                let answer = service.call(request.body(()).unwrap()).await;
                assert_eq!(answer.is_ok(), is_held || !is_write, "{method} {path}");
                let is_of_claim = |error: BoxError| error.is::<NoClaim>();
                assert!(answer.err().is_none_or(is_of_claim));
            }
            moves.suspend(Duration::from_secs(11));
        }
    }
}
