use azure_simulator::SimulatorConfig;
use azure_simulator::Tunables;
use serde_json::json;

use crate::support::cluster::ClusterKey;
use crate::support::{ARM_SCOPE, Azure, OWNER, Reply, TENANT, config, identities_path};

#[tokio::test]
async fn a_request_without_a_token_is_told_where_to_sign_in() {
    let azure = Azure::start().await;
    let reply = azure.arm("").get(&identities_path()).await;
    assert_eq!(reply.error(), (401, "AuthenticationFailed"));
    assert_eq!(
        reply.message(),
        "Authentication failed. The 'Authorization' header is missing."
    );
    let expected = format!(
        "Bearer authorization_uri=\"{}/{TENANT}\", error=\"invalid_token\"",
        azure.simulator.entra_url()
    );
    let challenge = reply.header("www-authenticate");
    assert!(challenge.starts_with(&expected), "{challenge}");
}

#[tokio::test]
async fn an_authorization_header_that_is_no_bearer_token_is_refused() {
    let azure = Azure::start().await;
    let url = format!(
        "{}/subscriptions?api-version=2022-12-01",
        azure.simulator.arm_url()
    );
    let request = azure.http.get(url).basic_auth("user", Some("password"));
    let reply = Reply::of(request.send().await.unwrap()).await;
    assert_eq!(reply.error(), (401, "AuthenticationFailedInvalidHeader"));
}

#[tokio::test]
async fn a_token_for_another_audience_is_refused() {
    let azure = Azure::start().await;
    let token = azure.owner_token("https://vault.azure.net/.default").await;
    let reply = azure.arm(token).get(&identities_path()).await;
    assert_eq!(reply.error(), (401, "InvalidAuthenticationTokenAudience"));
    assert!(reply.message().contains("'https://vault.azure.net'"));
    assert!(!reply.header("www-authenticate").is_empty());
}

#[tokio::test]
async fn both_audiences_of_resource_manager_and_its_own_url_are_accepted() {
    let azure = Azure::start().await;
    let own = format!("{}/.default", azure.simulator.arm_url());
    for scope in [
        ARM_SCOPE,
        "https://management.azure.com//.default",
        "https://management.core.windows.net//.default",
        "https://management.core.windows.net/.default",
        &own,
    ] {
        let token = azure.owner_token(scope).await;
        let reply = azure.arm(token).get(&identities_path()).await;
        assert_eq!(reply.status, 200, "{scope}");
    }
}

#[tokio::test]
async fn a_token_that_entra_did_not_sign_is_refused() {
    let azure = Azure::start().await;
    let now = jiff::Timestamp::now().as_second();
    let forged = ClusterKey::shared().sign(&json!({
        "aud": "https://management.azure.com", "tid": TENANT, "oid": OWNER, "appid": OWNER,
        "nbf": now, "exp": now + 600,
    }));
    for token in [forged.as_str(), "not-a-token", "a.b.c"] {
        let reply = azure.arm(token).get(&identities_path()).await;
        assert_eq!(
            reply.error(),
            (401, "InvalidAuthenticationToken"),
            "{token}"
        );
    }
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let azure = Azure::start_with(SimulatorConfig {
        tunables: Tunables {
            access_token_seconds: 0,
            ..Tunables::default()
        },
        ..config()
    })
    .await;
    let reply = azure.owner().await.get(&identities_path()).await;
    assert_eq!(reply.error(), (401, "ExpiredAuthenticationToken"));
}
