//! Against a small TLS server on a loopback port, whose name a resolver of the test maps to an address that counts as public.

mod server;

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use serde_json::json;

use self::server::{Answer, Server};
use super::*;

const HOST: &str = "oidc.example.com";

fn of(addresses: &'static [&'static str], admits: fn(IpAddr) -> bool) -> Resolver {
    Resolver {
        lookup: Arc::new(move |_| {
            let found = addresses.iter().map(|it| it.parse().unwrap()).collect();
            std::future::ready(Ok(found)).boxed()
        }),
        admits,
    }
}

/// All names lead to the server, which counts as public.
fn to_server() -> Resolver {
    of(&["127.0.0.1"], |_| true)
}

fn fetch(server: &Server, resolver: Resolver) -> Fetch {
    let options = FetchOptions {
        ca_file: Some(server.ca_file()),
        allow_private: false,
    };
    Fetch::resolving(&options, resolver, Matcher::builder().build()).unwrap()
}

fn issuer(server: &Server) -> Issuer {
    Issuer::parse(&format!("https://{HOST}:{}/cluster/", server.port())).unwrap()
}

fn document(server: &Server) -> String {
    let issuer = issuer(server);
    json!({ "issuer": issuer.as_str(), "jwks_uri": format!("{issuer}keys") }).to_string()
}

const KEYS: &str = r#"{"keys": [{"kty": "RSA", "kid": "k1", "n": "AQID", "e": "AQAB"}]}"#;
const DOCUMENT_PATH: &str = "/cluster/.well-known/openid-configuration";
const KEYS_PATH: &str = "/cluster/keys";

/// A server that publishes this document and these keys.
async fn publishing(document_answer: Option<Answer>, keys: Answer) -> Server {
    let server = Server::start(HOST).await;
    let answer = document_answer.unwrap_or_else(|| Answer::json(&document(&server)));
    server.publish(DOCUMENT_PATH, answer);
    server.publish(KEYS_PATH, keys);
    server
}

async fn looked(server: &Server) -> Result<Looked, NoKeys> {
    fetch(server, to_server()).look(&issuer(server)).await
}

/// Why it could not be looked at.
fn why(looked: Result<Looked, NoKeys>) -> String {
    match looked {
        Err(NoKeys::CouldNotLook { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn keys_are_read_and_nothing_of_ours_is_sent() {
    let server = publishing(None, Answer::json(KEYS)).await;
    let looked = looked(&server).await.unwrap();
    assert!(looked.keys.of("k1").is_some() && !looked.through_proxy);
    let heads = server.heads();
    let paths: Vec<_> = heads.iter().map(|it| it.lines().next().unwrap()).collect();
    assert_eq!(
        paths,
        [
            format!("GET {DOCUMENT_PATH} HTTP/1.1"),
            format!("GET {KEYS_PATH} HTTP/1.1")
        ]
    );
    for head in heads {
        let mut names: Vec<_> = head
            .lines()
            .skip(1)
            .filter_map(|it| it.split_once(':'))
            .map(|it| it.0.to_lowercase())
            .collect();
        names.sort();
        assert_eq!(names, ["accept", "host"], "{head}");
    }
}

#[tokio::test]
async fn a_document_of_another_issuer_is_provably_wrong() {
    let other = json!({"issuer": "https://evil.example/", "jwks_uri": "https://evil.example/keys"})
        .to_string();
    let server = publishing(Some(Answer::json(&other)), Answer::json(KEYS)).await;
    let Err(NoKeys::Invalid(invalid)) = looked(&server).await else {
        panic!("it is taken");
    };
    assert!(
        invalid.is_proof() && invalid.to_string().contains("https://evil.example/"),
        "{invalid}"
    );
    assert_eq!(server.heads().len(), 1, "its keys are not asked for");
}

#[tokio::test]
async fn what_is_too_long_is_read_to_its_bound_only() {
    let long = Answer::endless(10 << 20);
    let server = publishing(Some(long.clone()), Answer::json(KEYS)).await;
    assert_eq!(why(looked(&server).await), "it has more than 64 kB");
    assert!(server.sent() < 8 << 20, "{} bytes", server.sent());
    let server = publishing(None, long).await;
    assert_eq!(why(looked(&server).await), "it has more than 1024 kB");
}

#[tokio::test]
async fn keys_of_another_kind_are_none() {
    let elliptic =
        r#"{"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1", "x": "AQ", "y": "AQ"}]}"#;
    for keys in [elliptic, r#"{"keys": []}"#] {
        let server = publishing(None, Answer::json(keys)).await;
        assert!(looked(&server).await.unwrap().keys.is_empty(), "{keys}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let away = Answer::status(302).with_header("location", "https://169.254.169.254/");
    let server = publishing(Some(away.clone()), Answer::json(KEYS)).await;
    assert!(why(looked(&server).await).contains("redirect (302), which is not followed"));
    let server = publishing(None, away).await;
    assert!(why(looked(&server).await).contains("redirect (302), which is not followed"));
    assert_eq!(server.heads().len(), 2);
}

#[tokio::test]
async fn what_fails_or_is_no_json_proves_nothing() {
    for (document_answer, keys, expected) in [
        (
            Some(Answer::status(500)),
            Answer::json(KEYS),
            "http status 500",
        ),
        (
            Some(Answer::status(404)),
            Answer::json(KEYS),
            "http status 404",
        ),
        (None, Answer::status(503), "http status 503"),
        (None, Answer::json("<html>"), "not JSON with a list of keys"),
        (
            Some(Answer::hang_up()),
            Answer::json(KEYS),
            "the connection to it broke",
        ),
    ] {
        let server = publishing(document_answer, keys).await;
        let why = why(looked(&server).await);
        assert!(why.contains(expected), "{expected}: {why}");
    }
    let server = publishing(Some(Answer::json("<html>")), Answer::json(KEYS)).await;
    let Err(NoKeys::Invalid(page)) = looked(&server).await else {
        panic!("it is taken");
    };
    assert!(!page.is_proof());
}

#[tokio::test]
async fn an_answer_byte_by_byte_has_ten_seconds_in_all() {
    let server = publishing(Some(Answer::one_byte_each_second()), Answer::json(KEYS)).await;
    let (fetch, issuer) = (fetch(&server, to_server()), issuer(&server));
    let looking = tokio::spawn(async move { fetch.look(&issuer).await });
    server.until_asked().await;
    // The server's pauses and the time limit go by the same clock: it runs ahead while all wait.
    tokio::time::pause();
    let why = why(looking.await.unwrap());
    assert_eq!(why, "it took longer than 10 s");
}

#[tokio::test]
async fn a_document_that_changes_between_two_reads_is_read_as_it_is() {
    let server = publishing(None, Answer::json(KEYS)).await;
    assert!(looked(&server).await.is_ok());
    let other = json!({"issuer": "https://other.example/", "jwks_uri": "https://other.example/k"});
    server.publish(DOCUMENT_PATH, Answer::json(&other.to_string()));
    assert!(matches!(looked(&server).await, Err(NoKeys::Invalid(_))));
    server.publish(DOCUMENT_PATH, Answer::json(&document(&server)));
    assert!(looked(&server).await.is_ok());
}

#[tokio::test]
async fn a_private_address_is_not_asked() {
    let server = publishing(None, Answer::json(KEYS)).await;
    let public = |address| !is_private_for_tests(address);
    let fetch = fetch(&server, of(&["10.0.0.1", "::1", "127.0.0.1"], public));
    let why = why(fetch.look(&issuer(&server)).await);
    assert!(
        why.contains("has the address 10.0.0.1 here, which the internet does not route"),
        "{why}"
    );
    assert!(server.heads().is_empty());
}

fn is_private_for_tests(address: IpAddr) -> bool {
    crate::issuer::addresses::is_private(address)
}

#[tokio::test]
async fn of_several_addresses_only_those_that_were_checked_are_connected_to() {
    let server = publishing(None, Answer::json(KEYS)).await;
    // Nothing listens at the one that is not admitted; were it tried, it would be tried first.
    let resolver = of(&["127.0.0.2", "127.0.0.1"], |it| {
        it != IpAddr::from([127, 0, 0, 2])
    });
    assert!(
        fetch(&server, resolver)
            .look(&issuer(&server))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_name_is_resolved_once_for_each_connection() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let server = publishing(None, Answer::json(KEYS)).await;
    // Who is asked a second time for the same connection leads elsewhere.
    let resolver = Resolver {
        lookup: Arc::new(|_| {
            ASKED.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Ok(vec![IpAddr::from([127, 0, 0, 1])])).boxed()
        }),
        admits: |_| true,
    };
    assert!(
        fetch(&server, resolver)
            .look(&issuer(&server))
            .await
            .is_ok()
    );
    assert_eq!(
        ASKED.load(Ordering::SeqCst),
        2,
        "once for the document, once for the keys"
    );
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_proves_nothing() {
    let server = publishing(None, Answer::json(KEYS)).await;
    let resolver = Resolver {
        lookup: Arc::new(|_| std::future::ready(Err(io::Error::other("no such host"))).boxed()),
        admits: |_| true,
    };
    let why = why(fetch(&server, resolver).look(&issuer(&server)).await);
    assert_eq!(why, "the name of its host cannot be resolved here");
}

#[tokio::test]
async fn public_roots_only_unless_others_are_given() {
    let server = publishing(None, Answer::json(KEYS)).await;
    let options = FetchOptions::default();
    let fetch = Fetch::resolving(&options, to_server(), Matcher::builder().build()).unwrap();
    let why = why(fetch.look(&issuer(&server)).await);
    assert!(
        why.contains("not of a public certificate authority"),
        "{why}"
    );
    let missing = FetchOptions {
        ca_file: Some("/nowhere/ca.pem".into()),
        ..FetchOptions::default()
    };
    let refused = Fetch::new(&missing).unwrap_err().to_string();
    assert!(refused.contains("--issuer-ca-file"), "{refused}");
}

#[tokio::test]
async fn what_goes_through_a_proxy_is_told_apart() {
    let server = publishing(None, Answer::json(KEYS)).await;
    let options = FetchOptions::default();
    let proxies = Matcher::builder()
        .https("http://proxy.example:3128")
        .no("direct.example")
        .build();
    let fetch = Fetch::resolving(&options, to_server(), proxies).unwrap();
    assert!(fetch.is_proxied(&"https://oidc.example.com/".parse().unwrap()));
    assert!(!fetch.is_proxied(&"https://direct.example/".parse().unwrap()));
    drop(server);
}
