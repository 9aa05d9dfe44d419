use azure_simulator::Tunables;
use azure_simulator::control::api::ErrorAnswer;
use serde_json::{Value, json};

use crate::support::{Arm, Azure, credential, credential_path, credentials_path};

async fn refusal(owner: &Arm<'_>, properties: Value) -> String {
    let body = json!({"properties": properties});
    let reply = owner.put(&credential_path("orders", "shop"), body).await;
    assert_eq!(reply.error(), (400, "BadRequest"), "{properties}");
    reply.message().to_owned()
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
    let answers = Tunables::credential_limit_answers();
    assert!(answers.contains(&tunables.credential_limit_answer));
    for answer in answers {
        tunables.credential_limit_answer = answer.clone();
        azure.control.set_tunables(&tunables).await.unwrap();
        let refused = put(0).await;
        let (status, code) = refused.error();
        let message = refused.message().to_owned();
        let code = code.to_owned();
        assert_eq!(
            ErrorAnswer {
                status,
                code,
                message
            },
            answer
        );
    }
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
