//! Changes of a spec: they are made in place.

use azwib_e2e::Environment;
use azwib_e2e::environment::{annotation, condition, observed, ready_reasons};
use serde_json::json;

use crate::EXPIRATION;

#[tokio::test]
async fn another_token_expiration_changes_the_annotation_and_nothing_in_azure() -> anyhow::Result<()>
{
    let env = Environment::shared().await?;
    let shop = env.namespace("expiration").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let writes = shop.operator_writes("orders").await?;

    let changed = shop
        .change(
            "orders",
            json!({ "serviceAccount": { "tokenExpirationSeconds": 7200 } }),
        )
        .await?;
    let versions = shop.versions_until(&changed, "observed", observed).await?;
    assert_eq!(ready_reasons(&versions), ["Succeeded"]);
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(annotation(&account, EXPIRATION), Some("7200"));
    assert_eq!(shop.operator_writes("orders").await?, writes);
    Ok(())
}

#[tokio::test]
async fn another_audience_updates_the_credential_in_place_and_propagates_anew() -> anyhow::Result<()>
{
    let env = Environment::shared().await?;
    let shop = env.namespace("audience").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;

    let changed = shop
        .change(
            "orders",
            json!({ "credential": { "audience": "api://orders" } }),
        )
        .await?;
    let versions = shop
        .versions_until(&changed, "Ready in its new generation", |binding| {
            observed(binding) && condition(binding, "Ready").unwrap().status == "True"
        })
        .await?;
    assert_eq!(
        ready_reasons(&versions),
        ["Creating", "Propagating", "Succeeded"]
    );

    let credentials = shop.credentials(&orders).await?;
    assert_eq!(credentials.len(), 1);
    assert_eq!(credentials[0].name, shop.credential_name("orders")?);
    assert_eq!(credentials[0].properties.audiences, ["api://orders"]);
    let recorded = &versions
        .last()
        .unwrap()
        .status
        .as_ref()
        .unwrap()
        .credentials;
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].audience, "api://orders");
    assert!(
        shop.operator_requests("DELETE", "orders").await?.is_empty(),
        "the credential was never away"
    );
    Ok(())
}
