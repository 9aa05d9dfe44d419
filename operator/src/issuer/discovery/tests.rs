use std::convert::Infallible;
use std::sync::Mutex;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::issuer::tokens::write_token;

const AKS: &str = "https://westeurope.oic.prod-aks.azure.com/tenant/guid/";

/// An API server that answers these paths, and 404 all others.
fn api_server(answers: Vec<(&'static str, u16, String)>) -> ApiServer {
    let answers = Arc::new(Mutex::new(answers));
    let service = tower::service_fn(move |request: Request<Body>| {
        let path = request.uri().path().to_owned();
        let answers = answers.lock().unwrap();
        let found = answers.iter().find(|(at, ..)| *at == path);
        let (status, text) = found.map_or((404, "{}".to_owned()), |it| (it.1, it.2.clone()));
        let answer = Response::builder()
            .status(status)
            .body(Body::from(text.into_bytes()));
        std::future::ready(Ok::<_, Infallible>(answer.unwrap()))
    });
    ApiServer::new(Client::new(service, "default"))
}

fn document(status: u16, issuer: &str) -> (&'static str, u16, String) {
    let text = json!({ "issuer": issuer, "jwks_uri": "https://10.0.0.1/openid/v1/jwks" });
    (
        "/.well-known/openid-configuration",
        status,
        text.to_string(),
    )
}

fn token(issuer: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_token(&folder.path().join("token"), issuer, "k", 1);
    folder
}

async fn value(
    answers: Vec<(&'static str, u16, String)>,
    token: &TempDir,
) -> Result<String, String> {
    let origin = Origin::Auto(Discovery {
        api_server: api_server(answers),
        token_file: token.path().join("token"),
    });
    let value = origin.value().await;
    value
        .map(|it| it.to_string())
        .map_err(|why| why.to_string())
}

#[tokio::test]
async fn the_api_server_and_the_own_token_have_to_say_the_same() {
    let found = value(vec![document(200, AKS)], &token(AKS)).await;
    assert_eq!(found.unwrap(), AKS);
    let without_slash = AKS.trim_end_matches('/');
    let why = value(vec![document(200, AKS)], &token(without_slash))
        .await
        .unwrap_err();
    for part in [
        &format!("says {AKS}, and"),
        &format!("token {without_slash},"),
        "az aks show",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
}

#[tokio::test]
async fn a_discovery_endpoint_that_is_off_is_said_with_what_to_set_here() {
    let version = (
        "/version",
        200,
        json!({ "gitVersion": "v1.33.1+k3s1" }).to_string(),
    );
    let groups = (
        "/apis",
        200,
        json!({ "groups": [{ "name": "apps" }] }).to_string(),
    );
    let why = value(vec![version, groups], &token(AKS)).await.unwrap_err();
    assert!(
        why.contains("http status 404") && why.contains("/etc/rancher/k3s/config.yaml"),
        "{why}"
    );
}

#[tokio::test]
async fn what_the_api_server_does_not_say_is_named() {
    let long = ("/.well-known/openid-configuration", 200, " ".repeat(70_000));
    let page = (
        "/.well-known/openid-configuration",
        200,
        "<html>".to_owned(),
    );
    for (answer, part) in [
        (
            document(403, AKS),
            "system:service-account-issuer-discovery",
        ),
        (document(500, AKS), "http status 500"),
        (long, "more than 64 kB"),
        (page, "cannot be read"),
    ] {
        let why = value(vec![answer], &token(AKS)).await.unwrap_err();
        assert!(why.contains(part), "{part}: {why}");
    }
}

#[tokio::test]
async fn a_token_that_says_nothing_is_named_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let why = value(vec![document(200, AKS)], &folder).await.unwrap_err();
    assert!(why.contains("--service-account-token-file"), "{why}");
    std::fs::write(folder.path().join("token"), "secret-secret-secret").unwrap();
    let why = value(vec![document(200, AKS)], &folder).await.unwrap_err();
    assert!(!why.contains("secret-secret"), "{why}");
}

#[tokio::test]
async fn what_is_no_issuer_of_azures_is_not_taken() {
    for issuer in [
        "http://kubernetes.default",
        "kubernetes/serviceaccount",
        "https://a b",
    ] {
        let why = value(vec![document(200, issuer)], &token(issuer))
            .await
            .unwrap_err();
        assert!(
            why.contains("no issuer that Azure takes") && why.contains("--issuer=URL"),
            "{why}"
        );
    }
}

#[tokio::test]
async fn a_value_that_was_given_is_asked_of_nobody() {
    let given = Issuer::parse(AKS).unwrap();
    assert_eq!(Origin::Known(given.clone()).value().await, Ok(given));
}
