//! TLS to the caller, TLS to the API server, and HTTP between them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use azure_simulator::control::api::When;
use futures::StreamExt;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::calls::Calls;
use super::line::{Line, Network};
use crate::certificates::ServingCertificate;

/// Before the next try to accept a connection after one that failed: descriptors may be short for a moment.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// The API server behind the proxy.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    http: reqwest::Client,
    /// Without a slash at its end.
    server: String,
}

impl Upstream {
    /// `ca`: the certificate authority of the API server, PEM.
    pub(super) fn new(server: String, ca: &[u8]) -> anyhow::Result<Self> {
        // No time-out: a watch lasts as long as its caller wants it.
        let http = reqwest::Client::builder()
            .add_root_certificate(reqwest::Certificate::from_pem(ca)?)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let server = server.trim_end_matches('/').to_owned();
        Ok(Self { http, server })
    }
}

/// TLS for a server with this certificate.
pub(crate) fn tls_config(serving: &ServingCertificate) -> anyhow::Result<Arc<ServerConfig>> {
    let certificate = CertificateDer::from_pem_slice(serving.certificate_pem.as_bytes())
        .context("a serving certificate")?;
    let key = PrivateKeyDer::from_pem_slice(serving.key_pem.as_bytes())
        .context("the key of a serving certificate")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves until it is dropped; with it go all connections.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    upstream: Upstream,
    (calls, network): (Arc<Calls>, Arc<Network>),
) {
    let acceptor = TlsAcceptor::from(tls);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Answers are small: waiting to fill a segment only costs time.
                    let _ = stream.set_nodelay(true);
                    let line = Line::new(stream, Arc::clone(&network));
                    let served = connection(line, acceptor.clone(), upstream.clone(), calls.clone());
                    let network = Arc::clone(&network);
                    connections.spawn(async move {
                        tokio::select! {
                            () = served => {}
                            () = network.refuses() => {}
                        }
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// An error on either side ends the connection, which is how the caller sees an API server that is away.
async fn connection(stream: Line, acceptor: TlsAcceptor, upstream: Upstream, calls: Arc<Calls>) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let handler = service_fn(|request| forward(request, &upstream, &calls));
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), handler)
        .await;
}

/// Passes a call on with all its headers; hyper drops this where the caller goes away, and what is held then never
/// happens.
async fn forward(
    request: hyper::Request<Incoming>,
    upstream: &Upstream,
    calls: &Arc<Calls>,
) -> anyhow::Result<hyper::Response<reqwest::Body>> {
    let (mut parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let is_watch = query.split('&').any(|it| it.starts_with("watch="));
    let path = parts.uri.path().to_owned();
    let body = body.collect().await?.to_bytes();
    let passage = calls.arrived(parts.method.as_str(), parts.uri.path());
    passage.pass(When::BeforeEffect).await;
    let delay = calls.delay(parts.method.as_str(), parts.uri.path());

    let target = parts.uri.path_and_query().context("a call without path")?;
    parts.uri = format!("{}{target}", upstream.server).parse()?;
    for header in [HOST, CONNECTION, TRANSFER_ENCODING] {
        parts.headers.remove(header);
    }
    let request = reqwest::Request::try_from(http::Request::from_parts(parts, body))?;
    let answered = upstream.http.execute(request);
    let answer = match delay {
        None => answered.await?,
        Some(slow) => {
            let late = async move {
                tokio::time::sleep(slow.by).await;
                answered.await
            };
            if slow.lands {
                // A task of its own goes on where the caller has left.
                tokio::spawn(late).await??
            } else {
                late.await?
            }
        }
    };
    passage.answered(answer.status().as_u16());
    passage.pass(When::AfterEffect).await;

    let mut answer: hyper::Response<reqwest::Body> = answer.into();
    for header in [CONNECTION, TRANSFER_ENCODING] {
        answer.headers_mut().remove(header);
    }
    if is_watch {
        let calls = Arc::clone(calls);
        answer = answer.map(|body| unless_silent(body, calls, path));
    }
    Ok(answer)
}

/// What a watch shows, while it may show something.
fn unless_silent(body: reqwest::Body, calls: Arc<Calls>, path: String) -> reqwest::Body {
    let shown = body.into_data_stream().then(move |part| {
        let may_show = calls.may_show(path.clone());
        async move {
            may_show.await;
            part
        }
    });
    reqwest::Body::wrap_stream(shown)
}
