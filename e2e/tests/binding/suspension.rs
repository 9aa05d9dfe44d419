//! `spec.suspend`.

use azwib_e2e::environment::{PATIENCE, annotation, condition, observed};
use azwib_e2e::{Environment, wait};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::CLIENT_ID;

#[tokio::test]
async fn nothing_is_written_for_a_suspended_binding_while_its_neighbour_is_looked_after()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("suspend").await?;
    let orders = shop.identity("orders").await?;
    let stock = shop.identity("stock").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let neighbour = format!(
        "identity: {{resourceId: {}}}, serviceAccount: {{name: orders, role: Additional}}",
        stock.resource_id()
    );
    shop.bind("stock", &neighbour).await?;
    let additional = shop.ready("stock").await?;
    let account = condition(&additional, "ServiceAccountReady").unwrap();
    assert_eq!(
        account.message,
        format!(
            "service account orders is there; the workload names the client id {} itself",
            stock.client_id()
        )
    );
    let changed = shop.change("orders", json!({ "suspend": true })).await?;
    let versions = shop.versions_until(&changed, "observed", observed).await?;
    for version in &versions {
        assert_eq!(condition(version, "Ready").unwrap().status, "True");
    }
    let writes = shop.operator_writes("orders").await?;

    // What would be put back otherwise.
    let by_hand = json!({ "metadata": { "annotations": { CLIENT_ID: "by-hand" } } });
    shop.service_accounts()
        .patch("orders", &PatchParams::default(), &Patch::Merge(by_hand))
        .await?;
    let credential = shop.credential_name("orders")?;
    let arm = env.arm().await?;
    for identity in [&orders, &stock] {
        let id = identity.resource_id();
        arm.delete(&format!("{id}/federatedIdentityCredentials/{credential}"))
            .await?;
    }
    wait::until("the neighbour's credential", PATIENCE, async || {
        Ok((!shop.credentials(&stock).await?.is_empty()).then_some(()))
    })
    .await?;
    shop.further_listings("stock", 2).await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    assert_eq!(shop.operator_writes("orders").await?, writes);
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(annotation(&account, CLIENT_ID), Some("by-hand"));
    let suspended = shop.bindings().get("orders").await?;
    assert_eq!(
        condition(&suspended, "Ready").unwrap().reason,
        "Succeeded",
        "it is not looked at"
    );

    shop.change("orders", json!({ "suspend": false })).await?;
    let own = orders.client_id();
    shop.account_until("orders", "as it should be", |account| {
        account.and_then(|account| annotation(account, CLIENT_ID)) == Some(own.as_str())
    })
    .await?;
    shop.ready("orders").await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_binding_that_is_suspended_from_the_start_says_so_and_makes_nothing() -> anyhow::Result<()>
{
    let env = Environment::shared().await?;
    let shop = env.namespace("suspended").await?;
    let orders = shop.identity("orders").await?;
    let id = orders.resource_id();
    shop.bind(
        "orders",
        &format!("identity: {{resourceId: {id}}}, suspend: true"),
    )
    .await?;
    let suspended = shop.failing("orders", "Ready", "Suspended").await?;
    assert_eq!(
        suspended.message,
        "nothing is written for this binding until spec.suspend is false"
    );
    let binding = shop.bindings().get("orders").await?;
    for type_ in ["Reconciling", "Stalled"] {
        assert!(condition(&binding, type_).is_none(), "{type_}");
    }
    let event = shop.event("Suspended").await?;
    assert_eq!(event, suspended.message);
    assert!(shop.service_accounts().get_opt("orders").await?.is_none());
    assert_eq!(shop.operator_writes("orders").await?, 0);

    shop.change("orders", json!({ "suspend": false })).await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn the_deletion_of_a_suspended_binding_cleans_up() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("suspend-end").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    shop.change("orders", json!({ "suspend": true })).await?;

    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    shop.account_until("orders", "gone", |account| account.is_none())
        .await?;
    Ok(())
}
