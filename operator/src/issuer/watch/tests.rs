use std::convert::Infallible;
use std::sync::Mutex;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::issuer::tokens::write_token;

const OURS: &str = "https://oidc.example/";
const THEIRS: &str = "https://kubernetes.default.svc";

/// A cluster whose API server and token say what a test wants.
struct Cluster {
    folder: TempDir,
    issuer: Arc<Mutex<String>>,
}

impl Cluster {
    fn new() -> Self {
        let cluster = Self {
            folder: tempfile::tempdir().unwrap(),
            issuer: Arc::new(Mutex::new(OURS.to_owned())),
        };
        cluster.mount(OURS, -1000);
        cluster
    }

    /// Mounts a token of this issuer, issued so many seconds from now.
    fn mount(&self, issuer: &str, ahead: i64) {
        let issued_at = Timestamp::now().as_second() + ahead;
        write_token(&self.token_file(), issuer, "k1", issued_at);
    }

    fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// The API server is restarted with this issuer.
    fn restart_with(&self, issuer: &str) {
        *self.issuer.lock().unwrap() = issuer.to_owned();
    }

    fn api_server(&self) -> ApiServer {
        let issuer = Arc::clone(&self.issuer);
        let service = tower::service_fn(move |request: Request<Body>| {
            let text = match request.uri().path() {
                "/openid/v1/jwks" => json!({ "keys": [{"kty": "RSA", "kid": "k1", "n": "AQID"}] }),
                "/version" => json!({ "gitVersion": "v1.33.1+k3s1" }),
                "/apis" => json!({ "groups": [] }),
                _ => json!({ "issuer": *issuer.lock().unwrap() }),
            };
            let answer = Response::new(Body::from(text.to_string().into_bytes()));
            std::future::ready(Ok::<_, Infallible>(answer))
        });
        ApiServer::new(Client::new(service, "default"))
    }

    fn watching(&self, value: Option<&str>) -> Watching {
        let value = value.map(|it| Issuer::parse(it).unwrap());
        Watching {
            value: Box::new(move || value.clone()),
            api_server: self.api_server(),
            token_file: self.token_file(),
            fetch: None,
            proof: None,
            allow_private: false,
            metrics: IssuerMetrics::default(),
            said: watch::Sender::default(),
        }
    }
}

async fn after_a_look(said: &mut watch::Receiver<Said>) -> Said {
    said.changed().await.unwrap();
    said.borrow_and_update().clone()
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_issues_otherwise_is_seen_and_proven_by_a_later_token() {
    let cluster = Cluster::new();
    let watching = cluster.watching(Some(OURS));
    let mut said = watching.said.subscribe();
    let metrics = watching.metrics.clone();
    let task = tokio::spawn(watching.run());
    let first = after_a_look(&mut said).await;
    assert_eq!(first.about.unwrap().as_str(), OURS);
    assert_eq!(
        (&*first.finding, first.differs),
        (&Finding::NotVerified, None)
    );

    cluster.restart_with(THEIRS);
    let seen = after_a_look(&mut said).await;
    assert_eq!(seen.differs.as_deref(), Some(THEIRS));
    assert_eq!(*seen.finding, Finding::NotVerified, "it stops nothing yet");
    metrics.note(|known| assert!(known.differs));

    // The kubelet renews the token.
    cluster.mount(THEIRS, 60);
    let proven = after_a_look(&mut said).await;
    let Finding::Mismatch(text) = &*proven.finding else {
        panic!("{proven:?}");
    };
    assert!(
        text.contains(OURS) && text.contains(THEIRS) && text.contains("k3s"),
        "{text}"
    );
    metrics.note(|known| assert_eq!(known.finding, Some("mismatch")));

    // Put right: it is told once it has been so for a while.
    cluster.restart_with(OURS);
    cluster.mount(OURS, 120);
    let began = Instant::now();
    let right = after_a_look(&mut said).await;
    assert_eq!(*right.finding, Finding::NotVerified);
    assert!(began.elapsed() >= super::super::steady::CALM - LOOKS * 2);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn before_the_value_is_taken_what_it_would_be_is_looked_at() {
    let cluster = Cluster::new();
    let watching = cluster.watching(None);
    let mut said = watching.said.subscribe();
    let task = tokio::spawn(watching.run());
    let first = after_a_look(&mut said).await;
    assert_eq!(first.about.unwrap().as_str(), OURS);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_known_the_metric_says_so() {
    let cluster = Cluster::new();
    cluster.mount(THEIRS, 0);
    let watching = cluster.watching(None);
    let metrics = watching.metrics.clone();
    let said = watching.said.subscribe();
    let task = tokio::spawn(watching.run());
    loop {
        sleep(VALUE_LOOKS).await;
        let mut finding = None;
        metrics.note(|known| finding = known.finding);
        if finding.is_some() {
            assert_eq!(finding, Some(UNKNOWN));
            break;
        }
    }
    assert!(said.borrow().about.is_none());
    task.abort();
}

#[tokio::test]
async fn public_keys_are_read_when_they_are_due_or_the_clusters_have_changed() {
    let cluster = Cluster::new();
    let mut watching = cluster.watching(Some(OURS));
    // Its name leads nowhere: that is a look all the same.
    watching.fetch = Some(Fetch::new(&Default::default()).unwrap());
    let issuer = Issuer::parse("https://oidc.invalid.example.invalid/").unwrap();
    let mut remembered = Remembered::of(issuer);
    let token = OwnToken::in_file(&cluster.token_file()).unwrap();
    let keys = watching.api_server.keys().await.unwrap();
    let began = Instant::now();
    let mut look = async |token: &OwnToken, keys: &Keys| {
        remembered.public = Public::NotLooked;
        watching
            .look_at_public(&mut remembered, Some(token), Some(keys.clone()), began)
            .await;
        remembered.public != Public::NotLooked
    };
    assert!(look(&token, &keys).await, "the first");
    assert!(!look(&token, &keys).await, "it is not due");
    let other = OwnToken {
        kid: "k2".to_owned(),
        ..token.clone()
    };
    assert!(look(&other, &keys).await, "another key signs");
    assert!(!look(&other, &keys).await);
    assert!(
        look(&other, &Keys::default()).await,
        "the API server has other keys"
    );
}

#[tokio::test]
async fn keys_that_are_not_published_are_counted() {
    let cluster = Cluster::new();
    let watching = cluster.watching(Some(OURS));
    let keys = watching.api_server.keys().await.unwrap();
    let missing = |expected| {
        watching.metrics.note(|known| {
            assert_eq!(known.keys_missing, expected);
            assert_eq!(known.compared.is_some(), expected.is_some());
        });
    };
    missing(None);
    watching.note_comparison(Some(&keys), &Keys::default());
    missing(Some(1));
    watching.note_comparison(Some(&keys), &keys);
    missing(Some(0));
}
