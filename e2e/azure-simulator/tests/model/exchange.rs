use azure_simulator::control::api::{
    ClaimsMatchingExpression, CredentialFixture, FederatedCredential, ServicePrincipalFixture,
};
use serde_json::json;
use uuid::uuid;

use crate::support::{
    Azure, Cluster, EXCHANGE_AUDIENCE, GROUP, SUBJECT, credential, credential_path,
};

pub(crate) fn standard(issuer: &str) -> FederatedCredential {
    FederatedCredential {
        name: "shop-orders".into(),
        issuer: issuer.into(),
        subject: Some(SUBJECT.into()),
        claims_matching_expression: None,
        audiences: vec![EXCHANGE_AUDIENCE.into()],
    }
}

pub(crate) async fn put_fixture(azure: &Azure, credential: FederatedCredential) {
    azure
        .control
        .put_credential(&CredentialFixture {
            subscription_id: None,
            resource_group: GROUP.into(),
            identity: "orders".into(),
            credential,
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn an_assertion_that_matches_a_credential_gets_a_token() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    assert_eq!(
        azure
            .exchange(identity.client_id, &cluster.token())
            .await
            .status,
        200
    );
    // The audience may be a text, or one of several.
    for audience in [
        json!(EXCHANGE_AUDIENCE),
        json!(["another", EXCHANGE_AUDIENCE]),
    ] {
        let token = cluster.token_with(json!({"aud": audience}));
        assert_eq!(azure.exchange(identity.client_id, &token).await.status, 200);
    }
}

#[tokio::test]
async fn an_application_signs_in_with_an_assertion_too() {
    let azure = Azure::start().await;
    let cluster = Cluster::register(&azure).await;
    let client_id = uuid!("44444444-4444-4444-8444-444444444444");
    azure
        .control
        .create_service_principal(&ServicePrincipalFixture {
            client_id,
            secret: None,
            federated_credentials: vec![standard(&cluster.issuer)],
        })
        .await
        .unwrap();
    let reply = azure.exchange(client_id, &cluster.token()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body["expires_in"], 3599);
    let other = cluster.token_with(json!({"sub": "system:serviceaccount:shop:other"}));
    assert_eq!(
        azure.exchange(client_id, &other).await.aadsts(),
        (401, 700_213)
    );
}

#[tokio::test]
async fn a_client_without_any_credential_is_told_so() {
    let azure = Azure::start().await;
    let cluster = Cluster::register(&azure).await;
    let identity = azure.identity("orders").await;
    let reply = azure.exchange(identity.client_id, &cluster.token()).await;
    assert_eq!(reply.aadsts(), (401, 70_025));
    assert_eq!(reply.body["error"], "invalid_client");
}

#[tokio::test]
async fn an_issuer_that_no_credential_trusts_is_told() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    azure.control.clear_log().await.unwrap();
    let other = format!("{}other/", cluster.issuer);
    let reply = azure
        .exchange(
            identity.client_id,
            &cluster.token_with(json!({"iss": other})),
        )
        .await;
    assert_eq!(reply.aadsts(), (401, 700_211));
    assert!(reply.body["error_description"].as_str().unwrap().contains(&format!(
        "No matching federated identity record found for presented assertion issuer '{other}'."
    )));
    // And is not asked for its documents.
    let requests = azure.control.requests().await.unwrap();
    assert_eq!(requests.len(), 1, "{requests:?}");
}

#[tokio::test]
async fn the_slash_at_the_end_of_an_issuer_counts() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let without = cluster.issuer.trim_end_matches('/');
    let reply = azure
        .exchange(
            identity.client_id,
            &cluster.token_with(json!({"iss": without})),
        )
        .await;
    assert_eq!(reply.aadsts(), (401, 700_211));
}

#[tokio::test]
async fn whitespace_around_an_issuer_blocks_the_exchange() {
    let azure = Azure::start().await;
    let cluster = Cluster::register(&azure).await;
    let identity = azure.identity("orders").await;
    let with_space = format!("{} ", cluster.issuer);
    put_fixture(&azure, standard(&with_space)).await;
    for issuer in [&with_space, &cluster.issuer] {
        let token = cluster.token_with(json!({"iss": issuer}));
        let reply = azure.exchange(identity.client_id, &token).await;
        assert_eq!(reply.aadsts(), (401, 700_211), "{issuer:?}");
    }
}

#[tokio::test]
async fn a_subject_that_no_credential_names_is_told() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let token = cluster.token_with(json!({"sub": "system:serviceaccount:shop:other"}));
    let reply = azure.exchange(identity.client_id, &token).await;
    assert_eq!(reply.aadsts(), (401, 700_213));
    assert!(
        reply.body["error_description"]
            .as_str()
            .unwrap()
            .contains("presented assertion subject 'system:serviceaccount:shop:other'.")
    );
}

#[tokio::test]
async fn a_subject_in_another_case_is_told_so() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let token = cluster.token_with(json!({"sub": SUBJECT.to_uppercase()}));
    let reply = azure.exchange(identity.client_id, &token).await;
    assert_eq!(reply.aadsts(), (401, 7_002_138));
}

#[tokio::test]
async fn wildcards_do_not_match() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let subject = "system:serviceaccount:shop:*";
    azure
        .owner()
        .await
        .put(
            &credential_path("orders", "shop-orders"),
            credential(&cluster.issuer, subject),
        )
        .await;
    let reply = azure.exchange(identity.client_id, &cluster.token()).await;
    assert_eq!(reply.aadsts(), (401, 700_213));
}

#[tokio::test]
async fn an_audience_that_the_credential_does_not_name_is_told() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    for audience in [
        "https://kubernetes.default.svc",
        "api://azureadtokenexchange",
    ] {
        let token = cluster.token_with(json!({"aud": [audience]}));
        let reply = azure.exchange(identity.client_id, &token).await;
        assert_eq!(reply.aadsts(), (401, 700_212));
        assert!(
            reply.body["error_description"]
                .as_str()
                .unwrap()
                .contains(&format!("'{audience}'"))
        );
    }
}

#[tokio::test]
async fn a_flexible_credential_matches_nothing() {
    let azure = Azure::start().await;
    let cluster = Cluster::register(&azure).await;
    let identity = azure.identity("orders").await;
    put_fixture(
        &azure,
        FederatedCredential {
            subject: None,
            claims_matching_expression: Some(ClaimsMatchingExpression {
                value: "claims['sub'] matches '*'".into(),
                language_version: 1,
            }),
            ..standard(&cluster.issuer)
        },
    )
    .await;
    let reply = azure.exchange(identity.client_id, &cluster.token()).await;
    assert_eq!(reply.aadsts(), (401, 7_002_131));
}

#[tokio::test]
async fn a_token_of_entra_is_no_assertion_for_a_managed_identity() {
    let azure = Azure::start().await;
    let (identity, _) = azure.federated_identity().await;
    let token = azure
        .owner_token(&format!("{EXCHANGE_AUDIENCE}/.default"))
        .await;
    let reply = azure.exchange(identity.client_id, &token).await;
    assert_eq!(reply.aadsts(), (401, 700_222));
}

#[tokio::test]
async fn an_application_can_trust_a_managed_identity() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let client_id = uuid!("44444444-4444-4444-8444-444444444444");
    azure
        .control
        .create_service_principal(&ServicePrincipalFixture {
            client_id,
            secret: None,
            federated_credentials: vec![FederatedCredential {
                subject: Some(identity.principal_id.to_string()),
                ..standard(&format!(
                    "{}/{}/v2.0",
                    azure.simulator.entra_url(),
                    identity.tenant_id
                ))
            }],
        })
        .await
        .unwrap();
    let scope = format!("{EXCHANGE_AUDIENCE}/.default");
    let token = azure
        .token(&[
            ("grant_type", "client_credentials"),
            ("client_id", &identity.client_id.to_string()),
            ("scope", &scope),
            ("client_assertion_type", crate::support::ASSERTION_TYPE),
            ("client_assertion", &cluster.token()),
        ])
        .await;
    let assertion = token.body["access_token"].as_str().unwrap();
    let reply = azure.exchange(client_id, assertion).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn a_change_of_credentials_reaches_the_token_endpoint_after_the_propagation_delay() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let owner = azure.owner().await;
    let path = credential_path("orders", "shop-orders");
    let exchange = || async {
        let reply = azure.exchange(identity.client_id, &cluster.token()).await;
        reply.aadsts().1
    };
    // A day: no test sees the end of it. What was written before still counts.
    azure.control.set_propagation_delay(86_400).await.unwrap();
    assert_eq!(owner.delete(&path).await.status, 200);
    assert_eq!(exchange().await, 0);
    let body = credential(&cluster.issuer, "another");
    assert_eq!(owner.put(&path, body.clone()).await.status, 201);
    assert_eq!(exchange().await, 0);
    azure.control.set_propagation_delay(0).await.unwrap();
    assert_eq!(owner.put(&path, body).await.status, 200);
    assert_eq!(exchange().await, 700_213);
    assert_eq!(owner.delete(&path).await.status, 200);
    assert_eq!(exchange().await, 70_025);
    // The first credential of an identity is seen late as well, and then is there.
    azure.control.set_propagation_delay(1).await.unwrap();
    owner.put(&path, credential(&cluster.issuer, SUBJECT)).await;
    assert_eq!(exchange().await, 70_025);
    let written = std::time::Instant::now();
    while exchange().await != 0 {
        assert!(written.elapsed().as_secs() < 10, "it never arrived");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
