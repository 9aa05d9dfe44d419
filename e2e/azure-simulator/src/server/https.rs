//! The https listeners.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::pipeline::Shared;
use crate::core::http::{Answer, Request, Response, Service};

/// The largest body that is read, in bytes: Resource Manager takes no more than 4 MiB.
const MAXIMUM_BODY: usize = 4 << 20;
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped on purpose")]
struct ConnectionDropped;

type AnswerBody = UnsyncBoxBody<Bytes, ConnectionDropped>;

/// Serves connections until the task is aborted; with it go all its connections.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    service: Service,
    shared: Arc<Shared>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, acceptor.clone(), service, shared.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    service: Service,
    shared: Arc<Shared>,
) {
    // Answers are small: waiting to fill a segment only costs time.
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, ?service, "TLS handshake failed");
            return;
        }
        Err(_) => return,
    };
    let handler = service_fn(move |request| {
        let shared = shared.clone();
        async move { handle(request, service, &shared).await }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), handler)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, ?service, "connection ended");
    }
}

async fn handle(
    request: hyper::Request<Incoming>,
    service: Service,
    shared: &Arc<Shared>,
) -> Result<hyper::Response<AnswerBody>, ConnectionDropped> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAXIMUM_BODY).collect().await else {
        return Ok(into_hyper(Response::empty(
            http::StatusCode::PAYLOAD_TOO_LARGE,
        )));
    };
    let host = parts
        .headers
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    let request = Request {
        service,
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        base_url: format!("https://{host}"),
        headers: parts.headers,
        body: body.to_bytes(),
    };
    match shared.answer(request).await {
        Answer::Response(response) => Ok(into_hyper(response)),
        Answer::CutOff(response) => Ok(cut_off(response)),
        Answer::ConnectionDropped | Answer::Never => Err(ConnectionDropped),
    }
}

fn into_hyper(response: Response) -> hyper::Response<AnswerBody> {
    let body = Full::new(response.body.clone()).map_err(|never| match never {});
    with_body(response, body.boxed_unsync())
}

/// The head promises the whole body and half of it comes; then the connection goes.
fn cut_off(response: Response) -> hyper::Response<AnswerBody> {
    let length = response.body.len();
    let half = Frame::data(response.body.slice(..length / 2));
    let frames = futures::stream::once(async { Ok(half) }).chain(futures::stream::once(async {
        // Half of the answer goes out while nothing more is there; an error at once would keep it back.
        tokio::task::yield_now().await;
        Err(ConnectionDropped)
    }));
    let response = response.with_header("content-length", &length.to_string());
    with_body(response, StreamBody::new(frames).boxed_unsync())
}

fn with_body(response: Response, body: AnswerBody) -> hyper::Response<AnswerBody> {
    let mut answer = hyper::Response::new(body);
    *answer.status_mut() = response.status;
    *answer.headers_mut() = response.headers;
    answer
}
