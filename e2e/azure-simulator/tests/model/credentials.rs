use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Azure, GROUP, SUBSCRIPTION, credential, credential_path, credentials_path, identity_path,
};

const FLEXIBLE_VERSION: &str = "2025-05-31-preview";

/// What azure-cli writes flexible credentials with.
const FIRST_FLEXIBLE_VERSION: &str = "2025-01-31-preview";

fn flexible() -> Value {
    json!({"properties": {
        "issuer": "https://token.actions.githubusercontent.com",
        "audiences": ["api://AzureADTokenExchange"],
        "claimsMatchingExpression": {
            "value": "claims['sub'] matches 'repo:contoso/*'",
            "languageVersion": 1,
        },
    }})
}

#[tokio::test]
async fn a_credential_is_created_with_201_and_replaced_with_200() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let path = credential_path("orders", "Shop-orders");
    let created = owner.put(&path, credential("https://issuer/", "s")).await;
    assert_eq!(created.status, 201);
    let id = format!(
        "/subscriptions/{SUBSCRIPTION}/resourcegroups/{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders/federatedIdentityCredentials/Shop-orders"
    );
    assert_eq!(created.header("location"), id);
    // No tags, no systemData, no etag: nothing but these.
    assert_eq!(
        created.body,
        json!({
            "id": id,
            "name": "Shop-orders",
            "type": "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
            "properties": {
                "issuer": "https://issuer/",
                "subject": "s",
                "audiences": ["api://AzureADTokenExchange"],
            },
        })
    );
    assert_eq!(owner.get(&path).await.body, created.body);
    let same = owner.put(&path, credential("https://issuer/", "s")).await;
    assert_eq!((same.status, &same.body), (200, &created.body));
    assert_eq!(same.header("location"), "");
    let other =
        json!({"properties": {"issuer": "https://other/", "subject": "t", "audiences": ["u"]}});
    let replaced = owner.put(&path, other.clone()).await;
    assert_eq!(replaced.status, 200);
    assert_eq!(replaced.body["properties"], other["properties"]);
    assert_eq!(owner.get(&path).await.body, replaced.body);
}

#[tokio::test]
async fn a_credential_name_is_compared_without_case_and_kept_as_first_written() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    owner
        .put(
            &credential_path("orders", "Shop"),
            credential("https://issuer/", "s"),
        )
        .await;
    let again = owner
        .put(
            &credential_path("orders", "sHOP"),
            credential("https://issuer/", "t"),
        )
        .await;
    assert_eq!((again.status, &again.body["name"]), (200, &json!("Shop")));
    assert_eq!(
        owner.get(&credentials_path("orders")).await.names(),
        ["Shop"]
    );
}

#[tokio::test]
async fn deleting_a_credential_answers_200_and_then_204() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let path = credential_path("orders", "shop");
    assert_eq!(
        owner.get(&credentials_path("orders")).await.body,
        json!({"value": []})
    );
    owner.put(&path, credential("https://issuer/", "s")).await;
    assert_eq!(
        owner.get(&credentials_path("orders")).await.names(),
        ["shop"]
    );
    assert_eq!(owner.delete(&path).await.status, 200);
    assert_eq!(
        owner.get(&credentials_path("orders")).await.body,
        json!({"value": []})
    );
    assert_eq!(owner.delete(&path).await.status, 204);
}

#[tokio::test]
async fn a_missing_credential_and_a_missing_identity_have_different_codes() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let reply = owner.get(&credential_path("orders", "shop")).await;
    assert_eq!(reply.error(), (404, "NotFound"));
    let reply = owner.get(&credential_path("nobody", "shop")).await;
    assert_eq!(reply.error(), (404, "ResourceNotFound"));
    let reply = owner.get(&credentials_path("nobody")).await;
    assert_eq!(reply.error(), (404, "ResourceNotFound"));
}

#[tokio::test]
async fn a_write_below_a_missing_identity_names_the_parent() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let path = credential_path("nobody", "shop");
    let put = owner.put(&path, credential("https://issuer/", "s")).await;
    for reply in [put, owner.delete(&path).await] {
        assert_eq!(reply.error(), (404, "ParentResourceNotFound"));
        assert!(
            reply
                .message()
                .contains("userAssignedIdentities/nobody' could not be found.")
        );
    }
}

#[tokio::test]
async fn a_flexible_credential_is_listed_without_a_subject() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let path = credential_path("orders", "flexible");
    let created = owner.put_version(&path, FLEXIBLE_VERSION, flexible()).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.body["properties"], flexible()["properties"]);
    let listed = owner.get(&credentials_path("orders")).await;
    let properties = listed.body["value"][0]["properties"].as_object().unwrap();
    assert_eq!(
        properties.keys().collect::<Vec<_>>(),
        ["audiences", "issuer"]
    );
}

#[tokio::test]
async fn a_flexible_credential_has_an_expression_or_a_subject_and_needs_its_version() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let path = credential_path("orders", "flexible");
    for version in ["2023-01-31", "2024-11-30"] {
        let old = owner.put_version(&path, version, flexible()).await;
        assert_eq!(old.error(), (400, "BadRequest"), "{version}");
    }
    for (version, status) in [(FIRST_FLEXIBLE_VERSION, 201), (FLEXIBLE_VERSION, 200)] {
        let reply = owner.put_version(&path, version, flexible()).await;
        assert_eq!(reply.status, status, "{version}");
        assert_eq!(reply.body["properties"], flexible()["properties"]);
    }
    let mut both = flexible();
    both["properties"]["subject"] = json!("s");
    let refused = owner.put_version(&path, FLEXIBLE_VERSION, both).await;
    assert_eq!(refused.error(), (400, "BadRequest"));
    assert!(
        refused
            .message()
            .contains("exactly one of 'subject' and 'claimsMatchingExpression'")
    );
    let neither = json!({"properties": {"issuer": "https://issuer/", "audiences": ["a"]}});
    let refused = owner.put_version(&path, FLEXIBLE_VERSION, neither).await;
    assert_eq!(refused.error(), (400, "BadRequest"));
}

#[tokio::test]
async fn the_last_write_wins() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let path = credential_path("orders", "shop");
    owner
        .put(&path, credential("https://issuer/", "first"))
        .await;
    // There is no If-Match: a precondition that cannot hold is not looked at.
    let url = format!("{}{path}?api-version=2023-01-31", azure.simulator.arm_url());
    let sent = azure
        .http
        .put(url)
        .bearer_auth(&owner.token)
        .header("if-match", "\"no-such-etag\"")
        .json(&credential("https://issuer/", "second"));
    assert_eq!(sent.send().await.unwrap().status(), 200);
    assert_eq!(
        owner.get(&path).await.body["properties"]["subject"],
        "second"
    );
    // Nor does a credential have a PATCH.
    let reply = owner
        .send(Method::PATCH, &path, "2023-01-31", Some(json!({})))
        .await;
    assert_eq!(reply.status, 405);
    assert_eq!(owner.get(&identity_path("orders")).await.status, 200);
}
