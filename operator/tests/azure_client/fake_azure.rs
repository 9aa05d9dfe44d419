//! An https server on the loopback interface: a token endpoint that gives out numbered tokens, and beside it whatever
//! answers a test queues.

use std::{
    collections::{HashMap, VecDeque},
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Form, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::post,
    serve::Listener,
};
use azwib_crds::{Audience, ClientId, CredentialName, Issuer, ManagedIdentityId, Subject};
use azwib_operator::azure::{
    AzureError, CredentialContent, IdentityService, ListedCredential,
    auth::{AuthConfig, Secret},
    cloud::Cloud,
    msi::{MsiIdentityService, MsiOptions},
};
use futures::TryStreamExt;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
    server::TlsStream,
};

pub(crate) const TENANT: &str = "11111111-1111-4111-8111-111111111111";
pub(crate) const CLIENT: &str = "22222222-2222-4222-8222-222222222222";
pub(crate) const SECRET: &str = "abc8Q~the-secret-of-the-application-0123456789";
pub(crate) const SUBSCRIPTION: &str = "33333333-3333-4333-8333-333333333333";

/// The identity that the tests ask for; its group has every character that is allowed.
pub(crate) fn identity() -> ManagedIdentityId {
    ManagedIdentityId::new(SUBSCRIPTION, "rg_(shop).x-1", "orders").expect("valid")
}

pub(crate) fn credential() -> CredentialName {
    CredentialName::parse("azwib-shop-orders-99bb76e015ed7c8774a80011f8ebdf81").expect("valid")
}

/// What the tests put there.
pub(crate) fn content() -> CredentialContent {
    CredentialContent::new(
        &Issuer::parse("https://oidc.example/").expect("valid"),
        &Subject::of_service_account("shop", "orders"),
        &Audience::parse("api://AzureADTokenExchange").expect("valid"),
    )
}

/// Signing in with the token in that file.
pub(crate) fn workload_identity(token_file: &Path) -> AuthConfig {
    AuthConfig::WorkloadIdentity {
        client_id: ClientId::parse(CLIENT).expect("valid"),
        tenant_id: TENANT.to_owned(),
        token_file: token_file.to_owned(),
    }
}

/// A request for Resource Manager as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) authorization: String,
    pub(crate) body: Bytes,
}

/// An answer that a test queues.
pub(crate) enum Answer {
    /// The whole answer.
    Whole(Response),
    /// Says that it is longer than what comes before the connection breaks.
    BrokenOff,
    /// Takes the request and never answers.
    Never,
}

pub(crate) fn ok(body: Value) -> Answer {
    status(StatusCode::OK, body)
}

pub(crate) fn status(status: StatusCode, body: Value) -> Answer {
    Answer::Whole((status, Json(body)).into_response())
}

pub(crate) fn error(http: u16, code: &str, message: &str) -> Answer {
    let http = StatusCode::from_u16(http).expect("valid");
    status(http, json!({"error": {"code": code, "message": message}}))
}

#[derive(Default)]
struct Script {
    answers: VecDeque<Answer>,
    sign_in_answers: VecDeque<Response>,
    requests: Vec<Recorded>,
    sign_ins: Vec<HashMap<String, String>>,
}

pub(crate) struct FakeAzure {
    pub(crate) address: SocketAddr,
    pub(crate) files: TempDir,
    acceptor: TlsAcceptor,
    script: Arc<Mutex<Script>>,
}

impl FakeAzure {
    /// Starts the server; it ends with the test's runtime.
    pub(crate) async fn start() -> Self {
        let files = TempDir::new().expect("a directory");
        let acceptor = certificates(&files.path().join("ca.pem"));
        let listener = TlsListener {
            tcp: TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .expect("binds"),
            acceptor: acceptor.clone(),
        };
        let address = listener.local_addr().expect("has an address");
        let script = Arc::<Mutex<Script>>::default();
        let router = Router::new()
            .route("/{tenant}/oauth2/v2.0/token", post(token))
            .fallback(resource_manager)
            .with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            files,
            acceptor,
            script,
        }
    }

    /// A second server with the same certificate that reads a little of each request and hangs up.
    pub(crate) async fn start_hanging_up(&self) -> SocketAddr {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("binds");
        let address = tcp.local_addr().expect("has an address");
        let mut listener = TlsListener {
            tcp,
            acceptor: self.acceptor.clone(),
        };
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await;
                let _ = tokio::io::AsyncReadExt::read_u8(&mut stream).await;
            }
        });
        address
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.files.path().join("ca.pem")
    }

    pub(crate) fn cloud(&self) -> Cloud {
        Cloud::custom(&self.url(), &self.url(), "https://arm.example").expect("valid")
    }

    pub(crate) fn client_secret(&self) -> AuthConfig {
        AuthConfig::ClientSecret {
            tenant_id: TENANT.to_owned(),
            client_id: ClientId::parse(CLIENT).expect("valid"),
            secret: Secret::new(SECRET),
        }
    }

    pub(crate) fn options(&self) -> MsiOptions {
        MsiOptions {
            request_timeout: Duration::from_secs(20),
            ca_file: Some(self.ca_file()),
        }
    }

    pub(crate) fn service(&self) -> MsiIdentityService {
        MsiIdentityService::new(&self.cloud(), self.client_secret(), self.options())
            .expect("is built")
    }

    /// The next answer of Resource Manager.
    pub(crate) fn answer(&self, answer: Answer) {
        self.script().answers.push_back(answer);
    }

    /// The next answer of the token endpoint, instead of a token.
    pub(crate) fn answer_sign_in(&self, answer: impl IntoResponse) {
        self.script()
            .sign_in_answers
            .push_back(answer.into_response());
    }

    /// What came to Resource Manager so far.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.script().requests.clone()
    }

    /// The forms that came to the token endpoint so far.
    pub(crate) fn sign_ins(&self) -> Vec<HashMap<String, String>> {
        self.script().sign_ins.clone()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no test panics with it")
    }
}

/// The `number`th token that the server gives out.
pub(crate) fn token_number(number: usize) -> String {
    format!("eyJhbGciOiJSUzI1NiJ9.eyJudW1iZXIiOiJudW1iZXIifQ.signature-{number}")
}

async fn token(
    State(script): State<Arc<Mutex<Script>>>,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let mut script = script.lock().expect("no test panics with it");
    script.sign_ins.push(form);
    let answer = script.sign_in_answers.pop_front();
    answer.unwrap_or_else(|| {
        let token = token_number(script.sign_ins.len());
        Json(json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token}))
            .into_response()
    })
}

async fn resource_manager(
    State(script): State<Arc<Mutex<Script>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let answer = {
        let mut script = script.lock().expect("no test panics with it");
        script.requests.push(Recorded {
            method,
            uri,
            authorization: authorization.to_owned(),
            body,
        });
        script.answers.pop_front()
    };
    match answer {
        Some(Answer::Whole(response)) => response,
        Some(Answer::BrokenOff) => {
            let broken = futures::stream::iter([
                Ok(Bytes::from_static(b"{\"value\":")),
                Err(io::Error::other("broken off")),
            ]);
            Body::from_stream(broken).into_response()
        }
        Some(Answer::Never) => std::future::pending().await,
        None => panic!("a request that the test did not expect"),
    }
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.tcp.accept().await else {
                continue;
            };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// Makes a CA, writes it to the file, and gives out a server's certificate.
fn certificates(ca_file: &Path) -> TlsAcceptor {
    let mut params = CertificateParams::new([]).expect("valid");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
        .expect("a certificate");
    fs::write(ca_file, ca.pem()).expect("is written");
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])
        .expect("valid")
        .signed_by(&key, &ca)
        .expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("has versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("fit together");
    TlsAcceptor::from(Arc::new(config))
}

/// The credentials of all pages.
pub(crate) async fn list(
    service: &MsiIdentityService,
) -> Result<Vec<ListedCredential>, AzureError> {
    let pages = service.list_credentials(&identity());
    pages.map_ok(|page| page.credentials).try_concat().await
}
