//! What the calls send and what they make of good answers.

use axum::http::{Method, StatusCode};
use azwib_crds::{CredentialName, ManagedIdentityId};
use azwib_operator::azure::{
    AzureErrorKind, Cause, Deleted, IdentityService, ListedCredential, Put,
};
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
    assert_eq!(
        read.principal_id.as_str(),
        "44444444-4444-4444-8444-444444444444"
    );
    assert_eq!(read.tenant_id.as_str(), TENANT);
    let requests = azure.requests();
    assert_eq!(requests[0].method, Method::GET);
    assert_eq!(requests[0].uri.path(), IDENTITY_PATH);
    assert_eq!(requests[0].uri.query(), Some("api-version=2023-01-31"));
    assert_eq!(
        requests[0].authorization,
        format!("Bearer {}", token_number(1))
    );
}

/// An identity as Azure shows it, with another value at this place.
fn identity_with(place: &str, value: Value) -> Value {
    let mut answer = json!({
        "id": IDENTITY_PATH,
        "location": "westeurope",
        "properties": {"tenantId": TENANT, "principalId": "44444444-4444-4444-8444-444444444444", "clientId": CLIENT},
    });
    *answer.pointer_mut(place).expect("is there") = value;
    answer
}

#[tokio::test]
async fn an_identity_with_a_part_that_cannot_be_of_azure_is_no_answer() {
    let azure = FakeAzure::start().await;
    let service = azure.service();
    let guids = ["tenantId", "principalId", "clientId"].map(|it| format!("/properties/{it}"));
    let no_guids = [
        json!(null),
        json!(""),
        json!(7),
        json!("orders"),
        json!("00000000-0000-0000-0000-000000000000"),
        json!("44444444-4444-4444-8444-44444444444\u{0}"),
        json!("44444444-4444-4444-8444-444444444444\n"),
        json!("{44444444-4444-4444-8444-444444444444}"),
        json!("4".repeat(100)),
    ];
    let ids = [
        json!(""),
        json!(IDENTITY_PATH.replace("orders", "others")),
        json!(format!("{IDENTITY_PATH}/federatedIdentityCredentials/abc")),
        json!("/subscriptions/x"),
    ];
    let all = guids
        .iter()
        .flat_map(|place| no_guids.iter().map(move |value| (place.as_str(), value)));
    for (place, value) in all.chain(ids.iter().map(|id| ("/id", id))) {
        azure.answer(ok(identity_with(place, value.clone())));
        let failure = service.get_identity(&identity()).await;
        let failure = failure.expect_err(&format!("{place} {value}"));
        assert_eq!(
            failure.kind(),
            AzureErrorKind::Unavailable,
            "{place} {value}"
        );
        assert_eq!(failure.cause(), Some(Cause::Malformed), "{place} {value}");
    }
    azure.answer(ok(identity_with("/location", json!("norwayeast"))));
    service.get_identity(&identity()).await.expect("is read");
}

#[tokio::test]
async fn a_credential_other_than_the_one_asked_for_is_no_answer() {
    let azure = FakeAzure::start().await;
    let service = azure.service();
    azure.answer(ok(named("another")));
    let read = service.get_credential(&identity(), &credential()).await;
    assert_eq!(read.expect_err("fails").kind(), AzureErrorKind::Unavailable);
    let mut changed = named(credential().as_str());
    changed["properties"]["subject"] = json!("system:serviceaccount:shop:others");
    azure.answer(status(StatusCode::CREATED, changed));
    let written = service
        .put_credential(&identity(), &credential(), &content())
        .await
        .expect_err("fails");
    assert!(written.outcome_unknown(), "{written}");
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
async fn a_list_that_does_not_end_is_given_up_and_told_as_what_it_is() {
    let path = format!("{IDENTITY_PATH}/federatedIdentityCredentials");
    let page = |azure: &FakeAzure, names: &[String], token: usize| {
        let names: Vec<_> = names.iter().map(|name| named(name)).collect();
        let next = format!("{}{path}?$skiptoken={token}", azure.url());
        azure.answer(ok(json!({"value": names, "nextLink": next})));
    };
    // It leads to itself, or back, or ever on, or brings more than there can be.
    type Answers = fn(usize) -> (usize, usize);
    let cases: [(Answers, usize, &str); 4] = [
        (|_| (1, 7), 2, "leads back to a page"),
        (|number| (1, number % 3), 4, "leads back to a page"),
        (|number| (1, number), 50, "does not end"),
        (|number| (200, number), 3, "more entries"),
    ];
    for (answers, requests, said) in cases {
        let azure = FakeAzure::start().await;
        for number in 0..60 {
            let (count, token) = answers(number);
            let names: Vec<_> = (0..count).map(|it| format!("name-{number}-{it}")).collect();
            page(&azure, &names, token);
        }
        let failure = list(&azure.service()).await.expect_err("fails");
        assert_eq!(failure.kind(), AzureErrorKind::Unavailable);
        assert_eq!(failure.cause(), Some(Cause::Endless));
        assert!(failure.to_string().contains(said), "{failure}");
        assert_eq!(azure.requests().len(), requests, "{said}");
    }
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
        {"name": "unknown", "properties": {"issuer": "https://i/"}, "systemData": "not an object"},
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
        // A resource group may have letters of any alphabet, which a URL escapes.
        assert!(
            hostile == "ä" || ManagedIdentityId::new(SUBSCRIPTION, hostile, "name").is_err(),
            "{hostile:?}"
        );
        assert!(
            ManagedIdentityId::new(SUBSCRIPTION, "group", hostile).is_err(),
            "{hostile:?}"
        );
        assert!(CredentialName::parse(hostile).is_err(), "{hostile:?}");
    }
}
