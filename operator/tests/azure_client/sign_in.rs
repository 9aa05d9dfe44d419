//! How the client gets its tokens.

use std::{fs, path::Path};

use axum::{Json, http::StatusCode, response::Html};
use azwib_crds::ClientId;
use azwib_operator::azure::{
    AzureError, AzureErrorKind,
    auth::{AuthConfig, Secret},
    cloud::Cloud,
    msi::{MsiIdentityService, MsiOptions},
};
use futures::future::join_all;
use serde_json::json;

use super::fake_azure::{
    CLIENT, FakeAzure, SECRET, error, list, ok, token_number, workload_identity,
};

fn empty_list() -> super::fake_azure::Answer {
    ok(json!({"value": []}))
}

fn expired() -> super::fake_azure::Answer {
    error(
        401,
        "ExpiredAuthenticationToken",
        "The access token expiry UTC time is in the past.",
    )
}

async fn call(service: &MsiIdentityService) -> Result<(), AzureError> {
    list(service).await.map(|_| ())
}

#[tokio::test]
async fn a_client_secret_is_sent_in_the_form_that_entra_wants() {
    let azure = FakeAzure::start().await;
    azure.answer(empty_list());
    assert_eq!(call(&azure.service()).await, Ok(()));
    let form = azure.sign_ins().remove(0);
    assert_eq!(form["client_id"], CLIENT);
    assert_eq!(form["client_secret"], SECRET);
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!(form["scope"], "https://arm.example/.default");
}

#[tokio::test]
async fn calls_at_the_same_time_share_one_token_request() {
    let azure = FakeAzure::start().await;
    let service = azure.service();
    for _ in 0..10 {
        azure.answer(empty_list());
    }
    let outcomes = join_all((0..10).map(|_| call(&service))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(azure.sign_ins().len(), 1);
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let azure = FakeAzure::start().await;
    let service = azure.service();
    azure.answer(empty_list());
    azure.answer(expired());
    azure.answer(empty_list());
    azure.answer(empty_list());
    for _ in 0..3 {
        assert_eq!(call(&service).await, Ok(()));
    }
    let used: Vec<_> = azure
        .requests()
        .into_iter()
        .map(|request| request.authorization)
        .collect();
    let expected = [1, 1, 2, 2].map(|number| format!("Bearer {}", token_number(number)));
    assert_eq!(used, expected);
}

#[tokio::test]
async fn a_second_refusal_ends_the_call() {
    let azure = FakeAzure::start().await;
    azure.answer(expired());
    azure.answer(expired());
    let failure = call(&azure.service()).await.expect_err("fails");
    assert_eq!(failure.kind(), AzureErrorKind::Unauthorized);
    assert_eq!(failure.code(), Some("ExpiredAuthenticationToken"));
    assert_eq!(azure.sign_ins().len(), 2);
}

#[tokio::test]
async fn the_token_file_is_read_anew_for_each_exchange() {
    let azure = FakeAzure::start().await;
    let file = azure.files.path().join("token");
    fs::write(&file, "first-assertion\n").expect("is written");
    let service =
        MsiIdentityService::new(&azure.cloud(), workload_identity(&file), azure.options())
            .expect("is built");
    azure.answer(empty_list());
    assert_eq!(call(&service).await, Ok(()));
    fs::write(&file, "second-assertion").expect("is written");
    azure.answer(expired());
    azure.answer(empty_list());
    assert_eq!(call(&service).await, Ok(()));
    let forms = azure.sign_ins();
    let assertions: Vec<_> = forms
        .iter()
        .map(|form| form["client_assertion"].as_str())
        .collect();
    assert_eq!(assertions, ["first-assertion", "second-assertion"]);
    assert_eq!(forms[0]["client_id"], CLIENT);
    assert_eq!(
        forms[0]["client_assertion_type"],
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    );
}

#[tokio::test]
async fn a_token_file_that_is_lost_later_is_named_and_found_again() {
    let azure = FakeAzure::start().await;
    let file = azure.files.path().join("token");
    fs::write(&file, "assertion").expect("is written");
    let service =
        MsiIdentityService::new(&azure.cloud(), workload_identity(&file), azure.options())
            .expect("is built");
    fs::remove_file(&file).expect("is removed");
    let failure = call(&service).await.expect_err("fails");
    assert_eq!(failure.kind(), AzureErrorKind::SignInFailed);
    assert!(
        failure.to_string().contains(&file.display().to_string()),
        "{failure}"
    );
    fs::write(&file, "assertion").expect("is written");
    azure.answer(empty_list());
    assert_eq!(call(&service).await, Ok(()));
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_the_start_and_named() {
    let azure = FakeAzure::start().await;
    let file = |name: &str, content: &str| {
        let path = azure.files.path().join(name);
        fs::write(&path, content).expect("is written");
        path
    };
    let missing = azure.files.path().join("missing");
    let (empty, good) = (file("empty", " \n"), file("good", "assertion"));
    let no_ca = file("no-ca.pem", "not a certificate");
    let broken_ca = file(
        "broken-ca.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let with_ca = |ca_file: &Path| MsiOptions {
        ca_file: Some(ca_file.to_owned()),
        ..azure.options()
    };
    let with_tenant = |tenant: &str| AuthConfig::ClientSecret {
        tenant_id: tenant.to_owned(),
        client_id: ClientId::parse(CLIENT).expect("valid"),
        secret: Secret::new(SECRET),
    };
    for (auth, options, expected) in [
        (
            workload_identity(&missing),
            azure.options(),
            format!("--azure-federated-token-file: cannot read {missing:?}"),
        ),
        (
            workload_identity(&empty),
            azure.options(),
            format!("--azure-federated-token-file: {empty:?} is empty"),
        ),
        (
            workload_identity(&good),
            with_ca(&missing),
            format!("--ca-file: cannot read {missing:?}"),
        ),
        (
            workload_identity(&good),
            with_ca(&no_ca),
            format!("--ca-file: {no_ca:?} does not hold certificates"),
        ),
        (
            workload_identity(&good),
            with_ca(&broken_ca),
            format!("--ca-file: {broken_ca:?} does not hold certificates"),
        ),
        (
            with_tenant(""),
            azure.options(),
            "--auth, --azure-tenant-id and".to_owned(),
        ),
        (
            with_tenant("../x"),
            azure.options(),
            "--auth, --azure-tenant-id and".to_owned(),
        ),
    ] {
        let failure = MsiIdentityService::new(&azure.cloud(), auth, options).expect_err(&expected);
        assert!(failure.to_string().starts_with(&expected), "{failure}");
    }
}

#[tokio::test]
async fn a_managed_identity_and_the_azure_cli_need_nothing_at_the_start() {
    let azure = FakeAzure::start().await;
    let client_id = ClientId::parse(CLIENT).ok();
    for auth in [
        AuthConfig::ManagedIdentity { client_id },
        AuthConfig::ManagedIdentity { client_id: None },
        AuthConfig::AzureCli,
    ] {
        MsiIdentityService::new(&azure.cloud(), auth, azure.options()).expect("is built");
    }
}

#[tokio::test]
async fn a_refusal_of_entra_keeps_its_code_and_sheds_its_trace() {
    let azure = FakeAzure::start().await;
    azure.answer_sign_in((
        StatusCode::UNAUTHORIZED,
        Json(json!({
            "error": "invalid_client",
            "error_description": "AADSTS700213: No matching federated identity record found for presented assertion subject 'system:serviceaccount:a:b'. Trace ID: 5c1a0f2e Correlation ID: 7d Timestamp: 2026-01-01 00:00:00Z",
            "error_codes": [700213],
            "trace_id": "5c1a0f2e",
        })),
    ));
    let failure = call(&azure.service()).await.expect_err("fails");
    assert_eq!(failure.kind(), AzureErrorKind::SignInFailed);
    assert_eq!(failure.code(), Some("AADSTS700213"));
    assert_eq!(
        failure.to_string(),
        "AADSTS700213: No matching federated identity record found for presented assertion subject 'system:serviceaccount:a:b'. (request id 5c1a0f2e)"
    );
    assert_eq!(azure.sign_ins().len(), 1, "it is tried once");
    assert_eq!(azure.requests().len(), 0);
}

#[tokio::test]
async fn an_authority_with_a_fault_is_unavailable_and_asked_once() {
    let azure = FakeAzure::start().await;
    let service = azure.service();
    azure.answer_sign_in(StatusCode::SERVICE_UNAVAILABLE);
    azure.answer_sign_in(Html("<html>sign in to the network</html>"));
    azure.answer_sign_in(Json(json!({"token_type": "Bearer", "expires_in": 3599})));
    azure.answer_sign_in(Json(json!({"access_token": 7, "expires_in": "hunter2"})));
    // The library would panic over the first, and no header could carry the second.
    azure.answer_sign_in(Json(
        json!({"access_token": "a", "token_type": "Bearer", "expires_in": i64::MAX}),
    ));
    azure.answer_sign_in(Json(
        json!({"access_token": "a\nb", "token_type": "Bearer", "expires_in": 3599}),
    ));
    azure.answer_sign_in((
        StatusCode::FOUND,
        [("location", "https://elsewhere.example/")],
    ));
    for tries in 1..=7 {
        let failure = call(&service).await.expect_err("fails");
        assert_eq!(
            failure.kind(),
            AzureErrorKind::SignInUnavailable,
            "{failure}"
        );
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
        assert_eq!(azure.sign_ins().len(), tries);
    }
}

#[tokio::test]
async fn an_authority_that_cannot_be_reached_is_unavailable_and_named() {
    let azure = FakeAzure::start().await;
    let cloud = Cloud::custom("https://127.0.0.1:1", &azure.url(), "https://arm.example");
    let service = MsiIdentityService::new(
        &cloud.expect("valid"),
        azure.client_secret(),
        azure.options(),
    )
    .expect("is built");
    let failure = call(&service).await.expect_err("fails");
    assert_eq!(failure.kind(), AzureErrorKind::SignInUnavailable);
    assert!(
        failure
            .to_string()
            .starts_with("cannot connect to 127.0.0.1: "),
        "{failure}"
    );
}

#[tokio::test]
async fn a_secret_prints_nowhere() {
    let azure = FakeAzure::start().await;
    let shown = format!("{:?} {:?}", azure.client_secret(), azure.service());
    assert!(!shown.contains(SECRET), "{shown}");
}
