//! What the calls send and what they make of good answers.

use axum::http::{Method, StatusCode};
use azwib_crds::{CredentialName, ManagedIdentityId};
use azwib_operator::azure::{AzureErrorKind, Deleted, IdentityService, ListedCredential, Put};
use serde_json::{Value, json};

use super::fake_azure::{
    Answer, CLIENT, FakeAzure, SUBSCRIPTION, TENANT, content, credential, error, identity, list,
    ok, status, token_number,
};

const IDENTITY_PATH: &str = "/subscriptions/33333333-3333-4333-8333-333333333333/resourceGroups/rg_(shop).x-1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders";

fn properties() -> Value {
    json!({
        "issuer": "https://oidc.example/",
        "subject": "system:serviceaccount:shop:orders",
        "audiences": ["api://AzureADTokenExchange"],
    })
}

fn named(name: &str) -> Value {
    json!({"id": format!("{IDENTITY_PATH}/federatedIdentityCredentials/{name}"), "name": name, "properties": properties()})
}

#[tokio::test]
async fn an_identity_is_read() {
    let azure = FakeAzure::start().await;
    azure.answer(ok(json!({
        "id": IDENTITY_PATH.to_lowercase(),
        "name": "orders",
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
        "location": "westeurope",
        "tags": {},
        "properties": {"tenantId": TENANT, "principalId": "44444444-4444-4444-8444-444444444444", "clientId": CLIENT, "isolationScope": "None"},
    })));
    let read = azure
        .service()
        .get_identity(&identity())
        .await
        .expect("is read");
    assert_eq!(read.id, identity());
    assert_eq!(read.client_id.to_string(), CLIENT);
    assert_eq!(read.principal_id, "44444444-4444-4444-8444-444444444444");
    assert_eq!(read.tenant_id, TENANT);
    assert_eq!(read.location, "westeurope");
    let requests = azure.requests();
    assert_eq!(requests[0].method, Method::GET);
    assert_eq!(requests[0].uri.path(), IDENTITY_PATH);
    assert_eq!(requests[0].uri.query(), Some("api-version=2023-01-31"));
    assert_eq!(
        requests[0].authorization,
        format!("Bearer {}", token_number(1))
    );
}

#[tokio::test]
async fn an_identity_without_a_client_id_is_no_answer() {
    let azure = FakeAzure::start().await;
    azure.answer(ok(
        json!({"location": "westeurope", "properties": {"tenantId": TENANT}}),
    ));
    let failure = azure
        .service()
        .get_identity(&identity())
        .await
        .expect_err("fails");
    assert_eq!(failure.kind(), AzureErrorKind::Unavailable);
}

#[tokio::test]
async fn a_list_is_read_over_all_its_pages() {
    let azure = FakeAzure::start().await;
    let next = format!(
        "{}{IDENTITY_PATH}/federatedIdentityCredentials?api-version=2023-01-31&$skiptoken=2",
        azure.url()
    );
    azure.answer(ok(
        json!({"value": [named("one"), named("two")], "nextLink": next}),
    ));
    azure.answer(ok(json!({"value": [named("three")]})));
    let listed = list(&azure.service()).await.expect("is listed");
    let expected = ["one", "two", "three"].map(|name| ListedCredential {
        name: name.to_owned(),
        content: Some(content()),
    });
    assert_eq!(listed, expected);
    let requests = azure.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(
        requests[1].uri.query(),
        Some("api-version=2023-01-31&$skiptoken=2")
    );
    assert_eq!(azure.sign_ins().len(), 1);
}

#[tokio::test]
async fn an_empty_list_is_empty() {
    let azure = FakeAzure::start().await;
    azure.answer(ok(json!({"value": [], "nextLink": null})));
    assert_eq!(list(&azure.service()).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_list_that_does_not_end_is_given_up() {
    let azure = FakeAzure::start().await;
    let next = format!(
        "{}{IDENTITY_PATH}/federatedIdentityCredentials",
        azure.url()
    );
    for _ in 0..=100 {
        azure.answer(ok(json!({"value": [named("again")], "nextLink": next})));
    }
    let failure = list(&azure.service()).await.expect_err("fails");
    assert_eq!(failure.kind(), AzureErrorKind::Unavailable);
}

#[tokio::test]
async fn a_flexible_credential_takes_its_place_in_the_list() {
    let azure = FakeAzure::start().await;
    azure.answer(ok(json!({"value": [
        named("plain"),
        {"name": "flexible", "properties": {
            "issuer": "https://oidc.example/",
            "audiences": ["api://AzureADTokenExchange"],
            "claimsMatchingExpression": {"value": "claims['sub'] matches 'x*'", "languageVersion": 1},
        }},
        {"name": "unknown", "properties": {"issuer": 7}, "systemData": "not an object"},
    ]})));
    let listed = list(&azure.service()).await.expect("is listed");
    let shown: Vec<_> = listed
        .iter()
        .map(|credential| (credential.name.as_str(), credential.content.is_some()))
        .collect();
    assert_eq!(
        shown,
        [("plain", true), ("flexible", false), ("unknown", false)]
    );
}

#[tokio::test]
async fn a_list_never_leads_the_token_to_another_host() {
    let (azure, elsewhere) = (FakeAzure::start().await, FakeAzure::start().await);
    for next in [
        format!("{}/more", elsewhere.url()),
        format!("http://{}/more", azure.address),
        format!("https://localhost:{}/more", azure.address.port()),
    ] {
        azure.answer(ok(json!({"value": [named("one")], "nextLink": next})));
        let failure = list(&azure.service()).await.expect_err("fails");
        assert_eq!(failure.kind(), AzureErrorKind::Unavailable, "{next}");
        assert!(
            failure.to_string().contains("not the resource manager"),
            "{failure}"
        );
    }
    assert_eq!(elsewhere.requests().len(), 0);
    assert_eq!(azure.requests().len(), 3);
}

#[tokio::test]
async fn a_put_tells_created_from_updated() {
    let azure = FakeAzure::start().await;
    let service = azure.service();
    for (http, expected) in [
        (StatusCode::CREATED, Put::Created),
        (StatusCode::OK, Put::Updated),
    ] {
        azure.answer(status(http, named(credential().as_str())));
        let put = service
            .put_credential(&identity(), &credential(), &content())
            .await;
        assert_eq!(put, Ok(expected));
    }
    let requests = azure.requests();
    assert_eq!(requests[0].method, Method::PUT);
    assert_eq!(
        requests[0].uri.path(),
        format!(
            "{IDENTITY_PATH}/federatedIdentityCredentials/{}",
            credential()
        )
    );
    let body: Value = serde_json::from_slice(&requests[0].body).expect("is json");
    assert_eq!(body, json!({"properties": properties()}));
}

#[tokio::test]
async fn a_delete_tells_gone_from_never_there() {
    let azure = FakeAzure::start().await;
    let service = azure.service();
    azure.answer(status(StatusCode::OK, json!({})));
    azure.answer(Answer::Whole(axum::response::IntoResponse::into_response(
        StatusCode::OK,
    )));
    azure.answer(Answer::Whole(axum::response::IntoResponse::into_response(
        StatusCode::NO_CONTENT,
    )));
    azure.answer(error(404, "NotFound", "The credential was not found."));
    for expected in [
        Deleted::Deleted,
        Deleted::Deleted,
        Deleted::DidNotExist,
        Deleted::DidNotExist,
    ] {
        assert_eq!(
            service.delete_credential(&identity(), &credential()).await,
            Ok(expected)
        );
    }
    assert!(
        azure
            .requests()
            .iter()
            .all(|request| request.method == Method::DELETE)
    );
}

#[test]
fn no_name_can_lead_a_request_to_another_resource() {
    for hostile in [
        "..", ".", "a/../b", "a/b", "%2e%2e", "a%2Fb", "a?b", "a#b", "a\\b", "a b", "a;b", "a\nb",
        "ä", "",
    ] {
        assert!(
            ManagedIdentityId::new(hostile, "group", "name").is_err(),
            "{hostile:?}"
        );
        assert!(
            ManagedIdentityId::new(SUBSCRIPTION, hostile, "name").is_err(),
            "{hostile:?}"
        );
        assert!(
            ManagedIdentityId::new(SUBSCRIPTION, "group", hostile).is_err(),
            "{hostile:?}"
        );
        assert!(CredentialName::parse(hostile).is_err(), "{hostile:?}");
    }
}
