use reqwest::Method;
use serde_json::{Value, json};

use azure_simulator::control::api::ErrorAnswer;

use crate::support::{
    Arm, Azure, GROUP, SUBSCRIPTION, credential, credential_path, credentials_path, identity_path,
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
                .contains("Parent resource 'nobody' not found.")
        );
    }
}

#[tokio::test]
async fn a_credential_name_is_checked() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    for (index, (name, valid)) in [
        ("abc".to_owned(), true),
        ("0a-_".to_owned(), true),
        ("n".repeat(120), true),
        ("n".repeat(121), false),
        ("ab".to_owned(), false),
        ("-abc".to_owned(), false),
        ("_abc".to_owned(), false),
        ("a.bc".to_owned(), false),
        ("abc=".to_owned(), false),
    ]
    .into_iter()
    .enumerate()
    {
        let body = credential("https://issuer/", &format!("s{index}"));
        let reply = owner.put(&credential_path("orders", &name), body).await;
        if valid {
            assert_eq!(reply.status, 201, "{name}");
        } else {
            assert_eq!(reply.error(), (400, "BadRequest"), "{name}");
            assert_eq!(
                reply.message(),
                format!("Federated Identity Credential name '{name}' is invalid.")
            );
        }
    }
}

async fn refusal(owner: &Arm<'_>, properties: Value) -> String {
    let body = json!({"properties": properties});
    let reply = owner.put(&credential_path("orders", "shop"), body).await;
    assert_eq!(reply.error(), (400, "BadRequest"), "{properties}");
    reply.message().to_owned()
}

#[tokio::test]
async fn a_credential_must_be_complete() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let incomplete = "The request format was unexpected. Federated Identity Credential must specify 'issuer', 'subject' and 'audience'.";
    for properties in [
        json!({"subject": "s", "audiences": ["a"]}),
        json!({"issuer": "", "subject": "s", "audiences": ["a"]}),
        json!({"issuer": "https://issuer/", "audiences": ["a"]}),
        json!({"issuer": "https://issuer/", "subject": "", "audiences": ["a"]}),
        json!({"issuer": "https://issuer/", "subject": "s"}),
        json!({"issuer": "https://issuer/", "subject": "s", "audiences": [""]}),
    ] {
        assert_eq!(refusal(&owner, properties).await, incomplete);
    }
    for body in [json!({}), json!({"properties": null})] {
        let reply = owner.put(&credential_path("orders", "shop"), body).await;
        assert_eq!(reply.error(), (400, "BadRequest"));
        assert_eq!(
            reply.message(),
            "Federated Identity Credential from HTTP body has empty properties"
        );
    }
    assert!(
        owner
            .get(&credentials_path("orders"))
            .await
            .names()
            .is_empty()
    );
}

#[tokio::test]
async fn a_credential_has_exactly_one_audience() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    for audiences in [json!([]), json!(["a", "b"])] {
        let properties =
            json!({"issuer": "https://issuer/", "subject": "s", "audiences": audiences});
        assert_eq!(
            refusal(&owner, properties).await,
            "Federated identity credentials must have exactly one audience."
        );
    }
    // Which one is not prescribed.
    let body = json!({"properties": {"issuer": "https://issuer/", "subject": "s", "audiences": ["openshift"]}});
    let reply = owner.put(&credential_path("orders", "shop"), body).await;
    assert_eq!(reply.status, 201);
}

#[tokio::test]
async fn issuer_subject_and_audience_have_600_characters_at_most() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    for (what, at) in [
        ("issuer", "/issuer"),
        ("subject", "/subject"),
        ("audience", "/audiences/0"),
    ] {
        let mut properties =
            json!({"issuer": "https://issuer/", "subject": what, "audiences": ["a"]});
        *properties.pointer_mut(at).unwrap() = json!("é".repeat(601));
        assert!(refusal(&owner, properties.clone()).await.contains(what));
        *properties.pointer_mut(at).unwrap() = json!("é".repeat(600));
        let path = credential_path("orders", &format!("long-{what}"));
        let reply = owner.put(&path, json!({"properties": properties})).await;
        assert_eq!(reply.status, 201, "{what}");
    }
}

#[tokio::test]
async fn issuer_and_subject_are_unique_within_an_identity() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    azure.identity("billing").await;
    let owner = azure.owner().await;
    let (first, second) = (
        credential_path("orders", "first"),
        credential_path("orders", "second"),
    );
    owner.put(&first, credential("https://issuer/", "s")).await;
    // The audience is not part of the key.
    let mut duplicate = credential("https://issuer/", "s");
    duplicate["properties"]["audiences"] = json!(["another"]);
    let reply = owner.put(&second, duplicate.clone()).await;
    assert_eq!(reply.error(), (400, "BadRequest"));
    assert_eq!(
        reply.message(),
        "Issuer and subject combination already exists for this Managed Identity."
    );
    // Its own update is no duplicate, nor is another case, another issuer or another identity.
    assert_eq!(owner.put(&first, duplicate.clone()).await.status, 200);
    assert_eq!(
        owner
            .put(&second, credential("https://issuer/", "S"))
            .await
            .status,
        201
    );
    let third = credential_path("orders", "third");
    assert_eq!(
        owner
            .put(&third, credential("https://issuer", "s"))
            .await
            .status,
        201
    );
    let elsewhere = credential_path("billing", "first");
    assert_eq!(owner.put(&elsewhere, duplicate.clone()).await.status, 201);
    // An update can make a duplicate as well.
    let reply = owner.put(&second, credential("https://issuer/", "s")).await;
    assert_eq!(reply.error(), (400, "BadRequest"));

    let mut tunables = azure.control.tunables().await.unwrap();
    tunables.duplicate_credential_answer = ErrorAnswer {
        status: 409,
        code: "Conflict".into(),
        message: "Issuer and subject combination already exists".into(),
    };
    azure.control.set_tunables(&tunables).await.unwrap();
    let reply = owner.put(&second, credential("https://issuer/", "s")).await;
    assert_eq!(reply.error(), (409, "Conflict"));
}

#[tokio::test]
async fn an_identity_has_20_credentials_at_most() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let put = |number: usize| {
        let path = credential_path("orders", &format!("shop-{number}"));
        let body = credential("https://issuer/", &number.to_string());
        let owner = &owner;
        async move { owner.put(&path, body).await }
    };
    for number in 0..20 {
        assert_eq!(put(number).await.status, 201);
    }
    let refused = put(20).await;
    assert_eq!(refused.error(), (400, "BadRequest"));
    assert!(
        refused
            .message()
            .starts_with("Too many Federated Identity Credentials")
    );
    // One that is there can still be written; a slot that gets free can be used.
    assert_eq!(put(19).await.status, 200);
    owner.delete(&credential_path("orders", "shop-0")).await;
    assert_eq!(put(20).await.status, 201);

    let mut tunables = azure.control.tunables().await.unwrap();
    tunables.credential_limit_answer = ErrorAnswer {
        status: 403,
        code: "Directory_ResourceSizeExceeded".into(),
        message: "The size of the object has exceeded its limit.".into(),
    };
    azure.control.set_tunables(&tunables).await.unwrap();
    assert_eq!(
        put(0).await.error(),
        (403, "Directory_ResourceSizeExceeded")
    );
    tunables.credential_limit = 21;
    azure.control.set_tunables(&tunables).await.unwrap();
    assert_eq!(put(0).await.status, 201);
}

#[tokio::test]
async fn only_the_shape_of_a_credential_is_checked_when_it_is_written() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let reply = azure
        .owner()
        .await
        .put(
            &credential_path("orders", "shop"),
            credential("no issuer at all", " * "),
        )
        .await;
    assert_eq!(reply.status, 201);
    assert_eq!(reply.body["properties"]["issuer"], "no issuer at all");
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
