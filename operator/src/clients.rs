//! Clients of the API server, for calls and for watches.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::time::Duration;

use azwib_crds::WorkloadIdentityBinding;
use http::header::USER_AGENT as USER_AGENT_HEADER;
use http::{HeaderValue, Request};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::api::ListParams;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::{Api, Client};
use tokio::net::TcpStream;
use tower::{BoxError, Service, ServiceBuilder};

use crate::binding::calls;
use crate::binding::controller::kept;
use crate::kubeutil::backoff::Standing;
use crate::kubeutil::request_spans::RequestSpansLayer;
use crate::kubeutil::requests::RequestsLayer;
use crate::kubeutil::retry_after::RetryAfterLayer;
use crate::kubeutil::watch_course::{WATCH_TIMEOUT, WatchCourse};
use crate::leader::{Claim, ClaimLayer, ClaimedBody, is_free};
use crate::runtime::probes::Readiness;

/// How long a call of the API server may be silent. The API server gives up on a call after 34 s. A shorter time would lose its
/// message about a webhook that does not answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(40);

/// Idle connections to the API server that are kept: one for each pass that may be under way. Each holds some 15 kB.
const IDLE_CONNECTIONS: usize = 64;

/// Why there are no clients.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot tell how to reach the API server: run in a cluster or set KUBECONFIG")]
    Kubeconfig(#[source] kube::config::InferConfigError),
}

/// How clients of the API server are made. Their answers are cut to what is read of them.
pub(crate) struct KubernetesClients {
    config: kube::Config,
    /// How long a connection may take to come about.
    connects_within: Option<Duration>,
    requests: RequestsLayer,
}

impl KubernetesClients {
    /// Clients whose connections come about within this time, if it is given.
    pub(crate) async fn infer(connects_within: Option<Duration>) -> Result<Self, Error> {
        let mut config = kube::Config::infer().await.map_err(Error::Kubeconfig)?;
        // kube's own retry would hold a pass for minutes; a failed pass is made again anyway.
        config.default_retry = false;
        let name = (
            USER_AGENT_HEADER,
            HeaderValue::from_static(crate::USER_AGENT),
        );
        config.headers.push(name);
        Ok(Self {
            requests: RequestsLayer::new(&config.cluster_url),
            config,
            connects_within,
        })
    }

    /// What has become of the requests of all of them so far.
    pub(crate) fn requests(&self) -> &RequestsLayer {
        &self.requests
    }

    /// One for calls, whose writes are sent while this claim is held; with none, for those that need no claim.
    pub(crate) fn calling(&self, claim: Option<Claim>) -> Result<Client, kube::Error> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        self.calling_by(connector, claim)
    }

    /// The same, by connections of this connector. It is what kube makes of a configuration without a proxy, but for kube's spans and
    /// for the bodies: each asks for the claim once more when the connection is ready.
    fn calling_by<R>(
        &self,
        connector: HttpConnector<R>,
        claim: Option<Claim>,
    ) -> Result<Client, kube::Error>
    where
        R: Service<Name> + Clone + Send + Sync + 'static,
        R::Response: Iterator<Item = SocketAddr>,
        R::Future: Send,
        R::Error: Into<BoxError>,
        HttpConnector<R>: Service<
                http::Uri,
                Response = TokioIo<TcpStream>,
                Error: StdError + Send + Sync,
                Future: Send,
            >,
    {
        let config = &self.config;
        if let Some(proxy) = &config.proxy_url {
            let text = format!(
                "azwib cannot reach the API server through a proxy ({proxy}): remove it from the kubeconfig"
            );
            return Err(kube::Error::Service(text.into()));
        }
        let mut connector =
            TimeoutConnector::new(config.rustls_https_connector_with_connector(connector)?);
        connector.set_connect_timeout(self.connects_within.or(config.connect_timeout));
        connector.set_read_timeout(Some(CALL_TIMEOUT));
        connector.set_write_timeout(config.write_timeout);
        // A connection that was idle has the whole time for its next answer.
        connector.set_reset_reader_on_write(true);
        let mut http = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
        http.pool_max_idle_per_host(IDLE_CONNECTIONS);
        let claim = claim.unwrap_or_else(Claim::of_the_only_process);
        let asked = claim.clone();
        let service = ServiceBuilder::new()
            .map_request(move |request| claimed(request, &asked))
            .layer(config.base_uri_layer())
            .option_layer(config.auth_layer()?)
            .layer(config.extra_headers_layer()?)
            .map_err(BoxError::from)
            .layer(RequestSpansLayer)
            .layer(&self.requests)
            .service(http.build(connector));
        let client = ClientBuilder::new(service, config.default_namespace.clone())
            .with_layer(&RetryAfterLayer)
            .with_layer(&kept::layer())
            .with_layer(&ClaimLayer(claim));
        Ok(client.build())
    }

    /// One for lists and watches, whose course is noted.
    pub(crate) fn watching(&self, course: &WatchCourse) -> Result<Client, kube::Error> {
        let mut config = self.config.clone();
        config.read_timeout = Some(WATCH_TIMEOUT);
        let client = ClientBuilder::try_from(config)?;
        let client = client
            .with_layer(&self.requests)
            .with_layer(&RetryAfterLayer)
            .with_layer(&kept::layer())
            .with_layer(course);
        Ok(client.build())
    }
}

/// The request with a body that asks for the claim, if it needs one.
fn claimed(request: Request<Body>, claim: &Claim) -> Request<ClaimedBody<Body>> {
    let is_free = is_free(&request);
    request.map(|body| match is_free {
        true => ClaimedBody::free(body),
        false => ClaimedBody::new(body, claim.clone()),
    })
}

/// Waits until bindings can be listed: the API server may be down, and the CRD may come after the operator.
pub(crate) async fn crd_is_served(client: &Client, readiness: &Readiness) {
    let bindings: Api<WorkloadIdentityBinding> = Api::all(client.clone());
    let mut standing = Standing::FIRST;
    loop {
        let error = match bindings
            .list_metadata(&ListParams::default().limit(1))
            .await
        {
            Ok(_) => return,
            Err(error) => error,
        };
        let delay = calls::pace(&error).delay(standing);
        standing.failures = (standing.failures + 1).min(5);
        match &error {
            kube::Error::Api(answer) if answer.code == 404 => {
                readiness
                    .wait_for("the CustomResourceDefinition workloadidentitybindings.azwib.dev");
                tracing::warn!(
                    retry_in = ?delay,
                    "the CustomResourceDefinition is not installed: kubectl apply -k config/crd"
                );
            }
            error => {
                readiness.wait_for("the API server");
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, retry_in = ?delay, "the API server does not answer as it should");
            }
        }
        tokio::time::sleep(delay).await;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Method;
    use tower::service_fn;

    use super::*;
    use crate::leader::claimed::tests::{claim, is_of_claim, server};

    #[tokio::test]
    async fn nothing_of_a_write_is_sent_whose_claim_ends_while_its_connection_comes_about() {
        let (address, received) = server().await;
        let url = format!("http://slow.example:{}/prefix", address.port());
        let clients = KubernetesClients {
            config: kube::Config::new(url.parse().unwrap()),
            connects_within: None,
            requests: RequestsLayer::new(&http::Uri::from_static("http://slow.example")),
        };
        let account = "/api/v1/namespaces/shop/serviceaccounts/orders";
        let event = "/apis/events.k8s.io/v1/namespaces/shop/events";
        for (method, path, is_write) in [
            (Method::PUT, account, true),
            (Method::PATCH, account, true),
            (Method::DELETE, account, true),
            (Method::GET, account, false),
            (Method::POST, event, false),
        ] {
            for ends in [false, true] {
                let (claim, moves) = claim();
                let resolver = service_fn(move |_: Name| {
                    if ends {
                        moves.suspend(Duration::from_secs(60));
                    }
                    std::future::ready(Ok::<_, Infallible>([address].into_iter()))
                });
                let connector = HttpConnector::new_with_resolver(resolver);
                let client = clients.calling_by(connector, Some(claim)).unwrap();
                let content = if method == Method::GET || method == Method::DELETE {
                    vec![]
                } else {
                    b"{}".to_vec()
                };
                let request = Request::builder().method(&method).uri(path);
                let request = request.body(content.clone()).unwrap();
                let answer = client.request_text(request).await;
                let received: Vec<_> = received.lock().unwrap().drain(..).collect();
                if is_write && ends {
                    assert!(is_of_claim(&answer.unwrap_err()), "{method} {path}");
                    assert!(received.is_empty(), "{method} {path}: {received:?}");
                    continue;
                }
                answer.unwrap();
                let [(_, text)] = &received[..] else {
                    panic!("{method} {path}: {received:?}");
                };
                assert!(
                    text.starts_with(&format!("{method} /prefix{path} ")),
                    "{text}"
                );
                assert!(text.as_bytes().ends_with(&content), "{text}");
                assert!(!text.contains("transfer-encoding"), "{text}");
            }
        }
    }
}
