//! Requests to the API server, counted under the name that client-go gives its own.

use std::borrow::Cow;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tower::{Layer, Service};

/// The code of a request that was not answered, as client-go has it.
const NO_ANSWER: &str = "<error>";

/// The method of a request that has none of those that Kubernetes knows.
const OTHER_METHOD: &str = "other";

type Label = (&'static str, Cow<'static, str>);

/// Counts requests, by what was answered, by method and by address. Clones count together. As a layer it counts those of a
/// client: closest to the network, so that what is held back above it does not count.
#[derive(Debug, Clone)]
pub struct RequestsLayer {
    requests: Family<[Label; 3], Counter>,
    host: String,
}

impl RequestsLayer {
    /// Of requests to this API server.
    pub fn new(server: &Uri) -> Self {
        let host = server.authority().map(|it| it.as_str().to_owned());
        Self {
            requests: Family::default(),
            host: host.unwrap_or_default(),
        }
    }

    /// Has the registry show them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "rest_client_requests",
            "Requests to the Kubernetes API server, by what was answered, by method and by address",
            self.requests.clone(),
        );
    }

    fn count(&self, method: &'static str, status: Option<u16>) {
        let code = status.map_or(Cow::Borrowed(NO_ANSWER), |code| code.to_string().into());
        let labels: [Label; 3] = [
            ("code", code),
            ("method", method.into()),
            ("host", self.host.clone().into()),
        ];
        self.requests.get_or_create(&labels).inc();
    }
}

/// The method as a label, of a closed set.
pub(super) fn method<B>(request: &Request<B>) -> &'static str {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE"].into_iter();
    let mut known = known.filter(|it| *it == request.method().as_str());
    known.next().unwrap_or(OTHER_METHOD)
}

impl<S> Layer<S> for RequestsLayer {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            requests: self.clone(),
        }
    }
}

/// A service whose requests are counted.
#[derive(Debug, Clone)]
pub struct Counted<S> {
    inner: S,
    requests: RequestsLayer,
}

impl<S, B, R> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (requests, method) = (self.requests.clone(), method(&request));
        let answer = self.inner.call(request);
        async move {
            let answer = answer.await;
            let status = answer.as_ref().ok().map(|it| it.status().as_u16());
            requests.count(method, status);
            answer
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::prometheus_text;
    use tower::{ServiceBuilder, ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn each_request_counts_by_its_answer_its_method_and_the_address() {
        let requests = RequestsLayer::new(&Uri::from_static("https://api.example:6443/prefix"));
        let service = ServiceBuilder::new()
            .layer(requests.clone())
            .service(service_fn(async |request: Request<()>| {
                match request.uri().path() {
                    "/lost" => Err("no answer"),
                    "/busy" => Ok(Response::builder().status(429).body(()).unwrap()),
                    _ => Ok(Response::new(())),
                }
            }));
        for (method, path) in [
            ("GET", "/api"),
            ("GET", "/api"),
            ("PATCH", "/busy"),
            ("POST", "/lost"),
            ("BREW", "/api"),
        ] {
            let request = Request::builder().method(method).uri(path);
            let _ = service.clone().oneshot(request.body(()).unwrap()).await;
        }
        let mut registry = Registry::default();
        requests.register(&mut registry);
        let mut scrape = String::new();
        prometheus_text::encode(&mut scrape, &registry).unwrap();
        for (code, method, count) in [
            ("200", "GET", 2),
            ("429", "PATCH", 1),
            ("<error>", "POST", 1),
            ("200", "other", 1),
        ] {
            let labels = format!(r#"code="{code}",method="{method}",host="api.example:6443""#);
            let sample = format!("rest_client_requests_total{{{labels}}} {count}");
            assert!(scrape.lines().any(|it| it == sample), "{sample}\n{scrape}");
        }
    }
}
