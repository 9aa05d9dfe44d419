//! The network of the pods. A pod's own network namespace has a loopback interface and nothing else, with the pod's address on it. What it
//! reaches outside, and by what it is reached, passes through sockets in the file system, which belong to no network: as a cluster's network
//! and kube-proxy would do it, connection by connection. No packet leaves this machine, and its own interfaces stay as they are.

use std::path::{Path, PathBuf};

use anyhow::Context;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;

/// As a kubelet names itself.
const USER_AGENT: &str = concat!("kube-probe/", env!("CARGO_PKG_VERSION"));

/// The socket that leads to a port of this machine's loopback interface.
pub(super) fn link(links: &Path, port: u16) -> PathBuf {
    links.join(format!("{port}.sock"))
}

/// Leads each connection of a pod to the port that it is for. Does not end by itself.
///
/// # Errors
/// A socket cannot be made, or takes no connections any more.
pub(super) async fn serve(links: PathBuf, ports: Vec<u16>) -> anyhow::Result<()> {
    let mut all = JoinSet::new();
    for port in ports {
        let path = link(&links, port);
        let listener = UnixListener::bind(&path).with_context(|| path.display().to_string())?;
        all.spawn(async move {
            loop {
                let (inner, _) = listener.accept().await?;
                tokio::spawn(async move {
                    // Refused: the pod's connection ends at once.
                    if let Ok(outer) = TcpStream::connect(("127.0.0.1", port)).await {
                        join(inner, outer).await;
                    }
                });
            }
        });
    }
    let failed: Option<Result<std::io::Result<()>, _>> = all.join_next().await;
    failed.context("no port")???;
    Ok(())
}

/// Passes on what comes from either side until both are done, or one of them breaks.
pub(super) async fn join(
    mut one: impl AsyncRead + AsyncWrite + Unpin,
    mut other: impl AsyncRead + AsyncWrite + Unpin,
) {
    let _ = copy_bidirectional(&mut one, &mut other).await;
}

/// The answer of a pod to a GET: status and text. There is no limit of time.
pub(super) async fn get(network: &Path, port: u16, path: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = UnixStream::connect(network).await?;
    stream.write_all(format!("{port}\n").as_bytes()).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the stream.
    let connection = tokio::spawn(connection);
    let request = http::Request::get(path)
        .header(http::header::HOST, format!("pod:{port}"))
        .header(http::header::USER_AGENT, USER_AGENT)
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
