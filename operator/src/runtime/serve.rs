//! Serves probes and metrics to whoever asks, and lets nobody use up the process with that.
//!
//! Every pod of the cluster may reach these ports. A connection is therefore worth little: it has a few seconds and a small
//! buffer, serves one request, and gives way to newer ones when there are too many, so that who holds many open keeps neither
//! memory nor the next probe out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Connections of one port at once.
const CONNECTIONS: usize = 256;

/// How long a handshake may take, and the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection lasts from its first byte to its last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request's head: what Prometheus and the kubelet send is below 2 KiB.
const BUFFER: usize = 16 * 1024;

/// Before the next try to accept a connection after one that failed: descriptors may be short for a moment.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Answers until the process ends: by https where there is something to take its connections with, by plain http otherwise.
pub async fn serve(listener: TcpListener, router: Router, tls: Option<TlsAcceptor>) -> Infallible {
    let mut connections = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                make_room(&mut connections);
                let connection = tokio::spawn(connection(stream, router.clone(), tls.clone()));
                connections.push_back(connection.abort_handle());
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Drops the oldest connections that are left, until there is room for one more.
fn make_room(connections: &mut VecDeque<AbortHandle>) {
    if connections.len() >= CONNECTIONS {
        connections.retain(|connection| !connection.is_finished());
    }
    while connections.len() >= CONNECTIONS {
        if let Some(oldest) = connections.pop_front() {
            oldest.abort();
        }
    }
}

/// One connection, for one request. What goes wrong with it is the other side's concern.
async fn connection(stream: TcpStream, router: Router, tls: Option<TlsAcceptor>) {
    // Answers are small: waiting to fill a segment only costs time.
    let _ = stream.set_nodelay(true);
    let connection = async {
        let Some(tls) = tls else {
            return answer(stream, router).await;
        };
        if let Ok(Ok(stream)) = timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
            answer(stream, router).await;
        }
    };
    let _ = timeout(CONNECTION_TIMEOUT, connection).await;
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn of_too_many_connections_the_oldest_gives_way() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/healthz", get(async || "ok"));
        tokio::spawn(serve(listener, router, None));
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.push(TcpStream::connect(address).await.unwrap());
        }
        let mut newest = TcpStream::connect(address).await.unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
        newest.write_all(request).await.unwrap();
        let mut answer = String::new();
        newest.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");

        let mut byte = [0];
        let ended = timeout(HEAD_TIMEOUT / 2, held[0].read(&mut byte)).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
        let others = timeout(HEAD_TIMEOUT / 20, held[CONNECTIONS - 1].read(&mut byte));
        assert!(others.await.is_err(), "the others stay");
    }
}
