use azure_simulator::control::api::{Fault, FaultAction, Matcher, NewIssuer, When};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::exchange::{put_fixture, standard};
use crate::support::cluster::ClusterKey;
use crate::support::{Azure, Cluster};

#[tokio::test]
async fn an_assertion_signed_with_another_key_is_refused() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let forger = Cluster {
        issuer: cluster.issuer.clone(),
        key: ClusterKey::other(),
    };
    let reply = azure.exchange(identity.client_id, &forger.token()).await;
    assert_eq!(reply.aadsts(), (401, 700_027));
}

#[tokio::test]
async fn a_key_that_the_issuer_does_not_publish_is_told() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let rotated = Cluster {
        issuer: cluster.issuer.clone(),
        key: cluster.key.named("new-key"),
    };
    let reply = azure.exchange(identity.client_id, &rotated.token()).await;
    assert_eq!(reply.aadsts(), (401, 7_000_272));
    let description = reply.body["error_description"].as_str().unwrap();
    assert!(description.contains("new-key") && description.contains(&cluster.issuer));
}

#[tokio::test]
async fn only_the_first_100_keys_of_an_issuer_count() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let path = cluster
        .issuer
        .strip_prefix(azure.simulator.issuer_url())
        .map(str::to_owned);
    for (others, expected) in [(99, 200), (100, 401)] {
        let mut keys: Vec<Value> = (0..others)
            .map(|number| cluster.key.named(&format!("other-{number}")).jwk())
            .collect();
        keys.push(cluster.key.jwk());
        let issuer = NewIssuer {
            path: path.clone(),
            jwks: json!({"keys": keys}),
        };
        azure.control.register_issuer_with(&issuer).await.unwrap();
        let reply = azure.exchange(identity.client_id, &cluster.token()).await;
        assert_eq!(reply.status, expected, "{others} other keys");
        if expected == 401 {
            assert_eq!(reply.aadsts(), (401, 7_000_272));
        }
    }
}

#[tokio::test]
async fn only_rs256_is_accepted() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let token = cluster.token();
    let (_, rest) = token.split_once('.').unwrap();
    for algorithm in ["RS512", "HS256", "none"] {
        let header = json!({"alg": algorithm, "kid": cluster.key.id}).to_string();
        let forged = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header));
        let reply = azure.exchange(identity.client_id, &forged).await;
        assert_eq!(reply.aadsts(), (401, 5_002_738), "{algorithm}");
    }
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_is_told() {
    let azure = Azure::start().await;
    let cluster = Cluster::register(&azure).await;
    let identity = azure.identity("orders").await;
    // Nobody listens on port 1; plain http is not asked at all; an unregistered path is a 404.
    for issuer in [
        "https://127.0.0.1:1/".to_owned(),
        "http://127.0.0.1:1/".to_owned(),
        format!("{}/nobody/", azure.simulator.issuer_url()),
    ] {
        put_fixture(&azure, standard(&issuer)).await;
        let token = cluster.token_with(json!({"iss": issuer}));
        let reply = azure.exchange(identity.client_id, &token).await;
        assert_eq!(reply.aadsts(), (400, 90_061), "{issuer}");
        assert_eq!(reply.body["error"], "invalid_request");
    }
}

#[tokio::test]
async fn the_discovery_document_must_name_the_issuer_itself() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let document = json!({
        "issuer": cluster.issuer.trim_end_matches('/'),
        "jwks_uri": format!("{}openid/v1/jwks", cluster.issuer),
    });
    azure
        .control
        .add_fault(&Fault {
            matcher: Matcher {
                operation: Some("IssuerDiscovery".into()),
                ..Matcher::default()
            },
            skip: 0,
            times: Some(1),
            when: When::BeforeEffect,
            action: FaultAction::Respond {
                status: 200,
                code: String::new(),
                message: String::new(),
                headers: vec![],
                body: Some(document),
            },
        })
        .await
        .unwrap();
    let reply = azure.exchange(identity.client_id, &cluster.token()).await;
    assert_eq!(reply.aadsts(), (400, 90_061));
    assert_eq!(
        azure
            .exchange(identity.client_id, &cluster.token())
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn an_assertion_outside_its_time_is_refused() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let now = jiff::Timestamp::now().as_second();
    // Five minutes are allowed for clocks that differ.
    for (from, until, expected) in [
        (now - 3600, now - 360, 401),
        (now - 3600, now - 240, 200),
        (now + 360, now + 3600, 401),
        (now + 240, now + 3600, 200),
    ] {
        let token = cluster.token_with(json!({"iat": from, "nbf": from, "exp": until}));
        let reply = azure.exchange(identity.client_id, &token).await;
        assert_eq!(reply.status, expected, "{} {}", from - now, until - now);
        if expected == 401 {
            assert_eq!(reply.aadsts(), (401, 700_024));
        }
    }
    let mut tunables = azure.control.tunables().await.unwrap();
    tunables.clock_skew_seconds = 0;
    azure.control.set_tunables(&tunables).await.unwrap();
    let token = cluster.token_with(json!({"exp": now - 1}));
    assert_eq!(
        azure.exchange(identity.client_id, &token).await.aadsts(),
        (401, 700_024)
    );
}
