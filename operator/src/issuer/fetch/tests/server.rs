//! A TLS server that publishes what a test tells it, well or badly.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What is answered at a path.
#[derive(Clone)]
pub(super) struct Answer {
    head: String,
    body: Vec<u8>,
    way: Way,
}

#[derive(Clone, Copy)]
enum Way {
    AtOnce,
    Byte,
    HangUp,
}

impl Answer {
    pub(super) fn json(text: &str) -> Self {
        Self {
            head: "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n".to_owned(),
            body: text.as_bytes().to_vec(),
            way: Way::AtOnce,
        }
    }

    pub(super) fn status(status: u16) -> Self {
        Self {
            head: format!("HTTP/1.1 {status} It\r\n"),
            ..Self::json("{}")
        }
    }

    pub(super) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    pub(super) fn endless(bytes: usize) -> Self {
        Self {
            body: vec![b' '; bytes],
            ..Self::json("")
        }
    }

    pub(super) fn one_byte_each_second() -> Self {
        Self {
            way: Way::Byte,
            ..Self::endless(1000)
        }
    }

    pub(super) fn hang_up() -> Self {
        Self {
            way: Way::HangUp,
            ..Self::json("")
        }
    }
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, Answer>>,
    heads: Mutex<Vec<String>>,
    sent: AtomicUsize,
    asked: Notify,
}

pub(super) struct Server {
    folder: TempDir,
    port: u16,
    shared: Arc<Shared>,
}

impl Server {
    /// Listens on a loopback port, with a certificate for this name.
    pub(super) async fn start(name: &str) -> Self {
        let mut ca = CertificateParams::new(vec![]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &ca).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(accept(listener, acceptor, Arc::clone(&shared)));
        Self {
            folder,
            port,
            shared,
        }
    }

    pub(super) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn publish(&self, path: &str, answer: Answer) {
        self.shared
            .answers
            .lock()
            .unwrap()
            .insert(path.to_owned(), answer);
    }

    /// The heads of the requests so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }

    /// Bytes of bodies that were sent so far.
    pub(super) fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// Waits for the first request.
    pub(super) async fn until_asked(&self) {
        self.shared.asked.notified().await;
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    while let Ok((connection, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            if let Ok(connection) = acceptor.accept(connection).await {
                // Whoever asks may hang up.
                let _ = serve(connection, &shared).await;
            }
        });
    }
}

async fn serve(mut connection: TlsStream<TcpStream>, shared: &Shared) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    shared.heads.lock().unwrap().push(head);
    shared.asked.notify_one();
    let answer = shared.answers.lock().unwrap().get(&path).cloned();
    let Answer { head, body, way } = answer.unwrap_or_else(|| Answer::status(404));
    if let Way::HangUp = way {
        return Ok(());
    }
    let head = format!(
        "{head}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await?;
    let (size, pause) = match way {
        Way::Byte => (1, Duration::from_secs(1)),
        _ => (16 << 10, Duration::ZERO),
    };
    for part in body.chunks(size) {
        connection.write_all(part).await?;
        connection.flush().await?;
        shared.sent.fetch_add(part.len(), Ordering::SeqCst);
        tokio::time::sleep(pause).await;
    }
    connection.shutdown().await
}
