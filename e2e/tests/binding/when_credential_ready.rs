//! `spec.serviceAccount.creation: WhenCredentialReady`.

use azure_simulator::control::api::When;
use azwib_e2e::Environment;
use azwib_e2e::environment::interference::service_unavailable;
use azwib_e2e::environment::{ManagedIdentity, annotation, condition, observed};
use k8s_openapi::jiff::SignedDuration;
use serde_json::Value;

use crate::{CLIENT_ID, apply_account};

fn spec(identity: &ManagedIdentity) -> String {
    let id = identity.resource_id();
    format!("identity: {{resourceId: {id}}}, serviceAccount: {{creation: WhenCredentialReady}}")
}

#[tokio::test]
async fn the_account_is_made_once_the_credential_had_its_propagation_time() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("when-ready").await?;
    let orders = shop.identity("orders").await?;
    let put = shop.hold("PUT", "orders", When::BeforeEffect).await?;
    shop.bind("orders", &spec(&orders)).await?;
    put.reached().await?;
    assert!(shop.service_accounts().get_opt("orders").await?.is_none());
    let recorded = shop.bindings().get("orders").await?;
    put.release().await?;

    let versions = shop
        .versions_until(&recorded, "Ready", |binding| {
            observed(binding) && condition(binding, "Ready").unwrap().status == "True"
        })
        .await?;
    let waiting = versions.iter().find_map(|version| {
        condition(version, "Ready").filter(|ready| ready.reason == "WaitingForCredential")
    });
    assert_eq!(
        waiting.unwrap().message,
        "the service account is made once its credential works"
    );
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(
        annotation(&account, CLIENT_ID),
        Some(orders.client_id().as_str())
    );
    let credential = condition(versions.last().unwrap(), "CredentialReady").unwrap();
    let made = account.metadata.creation_timestamp.unwrap().0;
    let waited = made.duration_since(credential.last_transition_time.0);
    // Both in whole seconds; the operator of these tests gives it one.
    assert!(waited >= SignedDuration::from_secs(1), "{waited}");
    Ok(())
}

#[tokio::test]
async fn an_account_that_is_there_is_annotated_at_once_and_never_stripped() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("there-already").await?;
    let orders = shop.identity("orders").await?;
    apply_account(&shop, "orders", "platform", Value::Null).await?;
    let put = shop.hold("PUT", "orders", When::BeforeEffect).await?;
    shop.bind("orders", &spec(&orders)).await?;
    put.reached().await?;
    let own = orders.client_id();
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(annotation(&account, CLIENT_ID), Some(own.as_str()));
    put.release().await?;
    shop.ready("orders").await?;

    let outage = env
        .outage(shop.requests_to("PUT", "orders"), service_unavailable())
        .await?;
    let credential = shop.credential_name("orders")?;
    let id = orders.resource_id();
    env.arm()
        .await?
        .delete(&format!("{id}/federatedIdentityCredentials/{credential}"))
        .await?;
    shop.failing("orders", "CredentialReady", "AzureUnavailable")
        .await?;
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(annotation(&account, CLIENT_ID), Some(own.as_str()));
    outage.end().await?;
    shop.ready("orders").await?;
    Ok(())
}
