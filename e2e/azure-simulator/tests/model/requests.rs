use reqwest::Method;
use serde_json::json;

use crate::support::{
    Azure, GROUP, Reply, SUBSCRIPTION, credential, credential_path, credentials_path, group_path,
    identities_path, identity_path,
};

#[tokio::test]
async fn paths_are_compared_without_case() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let as_created = owner.get(&identity_path("orders")).await;
    for path in [
        identity_path("orders").to_lowercase(),
        identity_path("orders").to_uppercase(),
        identity_path("ORDERS").replace("resourceGroups", "resourcegroups"),
    ] {
        let reply = owner.get(&path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.body, as_created.body, "{path}");
    }
}

#[tokio::test]
async fn a_request_without_an_api_version_is_refused() {
    let azure = Azure::start().await;
    let mut owner = azure.owner().await;
    let url = format!("{}{}", azure.simulator.arm_url(), identities_path());
    let reply = owner.send_url(Method::GET, &url, None).await;
    assert_eq!(reply.error(), (400, "MissingApiVersionParameter"));
    // Before the token is looked at.
    owner.token.clear();
    let reply = owner.send_url(Method::GET, &url, None).await;
    assert_eq!(reply.error(), (400, "MissingApiVersionParameter"));
}

#[tokio::test]
async fn an_unknown_api_version_is_refused_with_the_known_ones() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let reply = owner.get_version(&identities_path(), "2000-01-01").await;
    assert_eq!(reply.error(), (400, "NoRegisteredProviderFound"));
    assert!(
        reply.message().contains("API version '2000-01-01' for type 'userAssignedIdentities'. The supported api-versions are '")
            && reply.message().contains("2023-01-31"),
        "{}",
        reply.message()
    );
    let reply = owner
        .get_version(&credentials_path("orders"), "2000-01-01")
        .await;
    assert_eq!(reply.error(), (400, "NoRegisteredProviderFound"));
    let reply = owner.get_version("/subscriptions", "2000-01-01").await;
    assert_eq!(reply.error(), (400, "InvalidApiVersionParameter"));
    assert!(
        reply
            .message()
            .contains("The api-version '2000-01-01' is invalid. The supported versions are '")
    );
}

#[tokio::test]
async fn every_api_version_that_clients_send_is_served() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let without_credentials = ["2015-08-31-preview", "2018-11-30", "2021-09-30-preview"];
    let with_credentials = [
        "2022-01-31-preview",
        "2023-01-31",
        "2023-07-31-preview",
        "2024-11-30",
        "2025-01-31-preview",
        "2025-05-31-preview",
    ];
    for version in without_credentials.iter().chain(&with_credentials) {
        let reply = owner.get_version(&identity_path("orders"), version).await;
        assert_eq!(reply.status, 200, "{version}");
    }
    for version in with_credentials {
        let reply = owner
            .get_version(&credentials_path("orders"), version)
            .await;
        assert_eq!(reply.status, 200, "{version}");
    }
}

#[tokio::test]
async fn identities_of_2018_have_no_credentials() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let reply = owner
        .get_version(&credentials_path("orders"), "2018-11-30")
        .await;
    assert_eq!(reply.error(), (404, "InvalidResourceType"));
}

#[tokio::test]
async fn an_unknown_provider_or_type_is_named_in_the_refusal() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let reply = owner
        .get(&format!(
            "{}/providers/Microsoft.Nothing/things",
            group_path(GROUP)
        ))
        .await;
    assert_eq!(reply.error(), (404, "InvalidResourceNamespace"));
    assert!(reply.message().contains("'Microsoft.Nothing'"));
    let reply = owner
        .get(&format!(
            "{}/providers/Microsoft.ManagedIdentity/things",
            group_path(GROUP)
        ))
        .await;
    assert_eq!(reply.error(), (404, "InvalidResourceType"));
    assert!(reply.message().contains("'things'"));
    azure.identity("orders").await;
    let reply = owner
        .get(&format!("{}/things", identity_path("orders")))
        .await;
    assert_eq!(reply.error(), (404, "InvalidResourceType"));
    assert!(reply.message().contains("'userAssignedIdentities/things'"));
}

#[tokio::test]
async fn a_malformed_subscription_id_is_refused() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let reply = owner
        .get("/subscriptions/not-a-guid/resourceGroups/x")
        .await;
    assert_eq!(reply.error(), (400, "InvalidSubscriptionId"));
}

fn has_the_headers_of_resource_manager(reply: &Reply) {
    for name in [
        "x-ms-request-id",
        "x-ms-correlation-request-id",
        "x-ms-routing-request-id",
    ] {
        assert!(!reply.header(name).is_empty(), "{name}: {reply:?}");
    }
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("pragma", "no-cache"),
        ("expires", "-1"),
        (
            "strict-transport-security",
            "max-age=31536000; includeSubDomains",
        ),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(reply.header(name), value, "{name}");
    }
    // There is no optimistic concurrency.
    assert_eq!(reply.header("etag"), "");
}

#[tokio::test]
async fn every_answer_has_the_headers_of_resource_manager() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let found = owner.get(&identity_path("orders")).await;
    has_the_headers_of_resource_manager(&found);
    let missing = owner.get(&identity_path("nobody")).await;
    has_the_headers_of_resource_manager(&missing);
    has_the_headers_of_resource_manager(&azure.arm("").get(&identity_path("orders")).await);
    assert_ne!(
        found.header("x-ms-request-id"),
        missing.header("x-ms-request-id")
    );
}

#[tokio::test]
async fn a_client_request_id_comes_back_when_asked_for() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let url = format!(
        "{}/subscriptions?api-version=2022-12-01",
        azure.simulator.arm_url()
    );
    let request = || {
        azure
            .http
            .get(&url)
            .bearer_auth(&owner.token)
            .header("x-ms-client-request-id", "my-request")
            .header("x-ms-correlation-request-id", "my-correlation")
    };
    let reply = Reply::of(request().send().await.unwrap()).await;
    assert_eq!(reply.header("x-ms-client-request-id"), "");
    assert_eq!(
        reply.header("x-ms-correlation-request-id"),
        "my-correlation"
    );
    let asked = request().header("x-ms-return-client-request-id", "true");
    let reply = Reply::of(asked.send().await.unwrap()).await;
    assert_eq!(reply.header("x-ms-client-request-id"), "my-request");
}

#[tokio::test]
async fn counters_name_the_kind_of_operation() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let put = owner
        .put(&identity_path("orders"), json!({"location": "westeurope"}))
        .await;
    let get = owner.get(&identity_path("orders")).await;
    let delete = owner.delete(&identity_path("orders")).await;
    for (reply, kind, own, global) in [
        (get, "reads", "249", "3749"),
        (put, "writes", "199", "2999"),
        (delete, "deletes", "199", "2999"),
    ] {
        let name = format!("x-ms-ratelimit-remaining-subscription-{kind}");
        assert_eq!(reply.header(&name), own);
        let name = format!("x-ms-ratelimit-remaining-subscription-global-{kind}");
        assert_eq!(reply.header(&name), global);
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_get_errors_in_the_shape_of_resource_manager() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let reply = owner.get("/nothing/here").await;
    assert_eq!(reply.error(), (404, "InvalidRequestUri"));
    assert!(!reply.message().is_empty());
    // An empty name is a name: the segment behind it does not take its place.
    azure.identity("federatedIdentityCredentials").await;
    let reply = owner.get(&credentials_path("")).await;
    assert_eq!(reply.error(), (404, "ResourceNotFound"));
    let path = format!("/subscriptions/{SUBSCRIPTION}");
    let reply = owner.resources(Method::DELETE, &path, None).await;
    assert_eq!(reply.error(), (405, "HttpMethodNotSupported"));
    let reply = owner
        .send(
            Method::PATCH,
            &format!("{}/shop", credentials_path("orders")),
            "2023-01-31",
            Some(json!({})),
        )
        .await;
    assert_eq!(reply.error(), (405, "HttpMethodNotSupported"));
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let url = format!(
        "{}{}?api-version=2023-01-31",
        azure.simulator.arm_url(),
        identity_path("orders")
    );
    let credential = format!(
        "{}{}/federatedIdentityCredentials/orders?api-version=2023-01-31",
        azure.simulator.arm_url(),
        identity_path("orders")
    );
    for (url, body) in [
        (&url, "{\"location\":"),
        (&url, "null"),
        (
            &credential,
            r#"[{"issuer":"https://i/","subject":"s","audiences":["a"]}]"#,
        ),
        (
            &credential,
            r#"{"properties":["https://i/","s",["a"],null]}"#,
        ),
    ] {
        let sent = azure.http.put(url).bearer_auth(&owner.token).body(body);
        let reply = Reply::of(sent.send().await.unwrap()).await;
        assert_eq!(reply.error(), (400, "InvalidRequestContent"), "{body}");
    }
}

#[tokio::test]
async fn what_resource_manager_does_not_find_itself_says_so() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let cause = |reply: &Reply| reply.header("x-ms-failure-cause").to_owned();
    let body = json!({"properties": {}});
    let other_group = identity_path("orders").replace(GROUP, "rg-none");
    for (reply, code) in [
        (owner.get(&other_group).await, "ResourceGroupNotFound"),
        (owner.get(&identity_path("none")).await, "ResourceNotFound"),
        (
            owner.delete(&credential_path("none", "shop")).await,
            "ParentResourceNotFound",
        ),
        (
            owner
                .put(
                    &credential_path("none", "shop"),
                    credential("https://i/", "s"),
                )
                .await,
            "ParentResourceNotFound",
        ),
        (
            owner
                .put(&format!("{}/things/x", identity_path("orders")), body)
                .await,
            "InvalidResourceType",
        ),
    ] {
        assert_eq!(reply.error(), (404, code));
        assert_eq!(cause(&reply), "gateway", "{reply:?}");
        if code == "ParentResourceNotFound" {
            let parent = identity_path("none");
            assert!(reply.message().ends_with(&format!(
                "because the parent resource '{parent}' could not be found."
            )));
        }
    }
    let provider = owner.get(&credential_path("orders", "shop")).await;
    assert_eq!(provider.error(), (404, "NotFound"));
    assert_eq!(cause(&provider), "");
    assert_eq!(
        provider.message(),
        "Federated Identity Credential 'shop' was not found."
    );
}
