//! What is deleted and made again under the same name, a namespace, a binding, an account or a grant, has nothing of the old
//! one's power without a grant of its own.

use azure_simulator::control::api::When;
use azwib_e2e::environment::{Namespace, PATIENCE};
use azwib_e2e::wait;
use k8s_openapi::api::core::v1::Namespace as KubernetesNamespace;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::{Tenant, enforcing, stripped};

/// Deletes the namespace and makes it again under its name, as somebody else's.
async fn made_again(shop: &Namespace<'_>) -> anyhow::Result<()> {
    let namespaces: Api<KubernetesNamespace> = Api::all(shop.client().clone());
    let name = shop.name();
    namespaces.delete(name, &DeleteParams::default()).await?;
    wait::until("the end of the namespace", PATIENCE, async || {
        Ok(namespaces.get_opt(name).await?.is_none().then_some(()))
    })
    .await?;
    let again = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
    namespaces.create(&PostParams::default(), &again).await?;
    Ok(())
}

#[tokio::test]
async fn a_namespace_that_is_made_again_has_lost_what_its_labels_gave() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "ns-again").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    let selector = json!({ "selector": { "matchLabels": { "team": shop.name() } } });
    shop.grant("label", json!({ "namespaces": selector }))
        .await?;
    shop.label(json!({ "team": shop.name() })).await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    shop.ready("orders").await?;
    assert!(tenant.acts_as("orders", &orders).await?);

    made_again(shop).await?;
    assert!(shop.credentials(&orders).await?.is_empty());
    let heir = Tenant::of(shop.clone()).await?;
    heir.bind_to("orders", orders.resource_id()).await?;
    heir.is_refused("orders").await?;
    heir.assert_powerless("orders", &orders).await?;
    assert!(shop.credentials(&orders).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_binding_that_is_made_again_after_a_revocation_gets_nothing_and_keeps_nothing()
-> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "again").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    shop.ready("orders").await?;
    shop.revoke("it").await?;
    // Within the time in which nothing is said of the old one yet, and all of it works on.
    assert!(tenant.acts_as("orders", &orders).await?);
    tenant.unbind("orders").await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    tenant.is_refused("orders").await?;
    tenant.assert_powerless("orders", &orders).await?;
    let writes = shop.operator_requests("PUT", "orders").await?;
    assert_eq!(writes.len(), 1, "only the first one's: {writes:?}");
    Ok(())
}

#[tokio::test]
async fn a_twin_that_is_made_while_the_old_binding_goes_inherits_nothing() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "twin").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    shop.ready("orders").await?;
    shop.revoke("it").await?;
    let held = shop.hold("DELETE", "orders", When::BeforeEffect).await?;
    tenant.delete("orders").await?;
    held.reached().await?;
    // The name is taken until the old one is gone; another name for the same account is not.
    let same = tenant.bind_to("orders", orders.resource_id()).await;
    assert!(matches!(same, Err(kube::Error::Api(it)) if it.code == 409));
    let twin = json!({
        "identity": { "resourceId": orders.resource_id() }, "serviceAccount": { "name": "orders" },
    });
    tenant.bind("twin", twin).await?;
    tenant.is_refused("twin").await?;
    held.release().await?;
    shop.until_gone("orders").await?;
    tenant.is_refused("twin").await?;
    tenant.assert_powerless("orders", &orders).await?;
    assert!(shop.credentials(&orders).await?.is_empty());
    let writes = shop.operator_requests("PUT", "orders").await?;
    assert_eq!(writes.len(), 1, "only the first one's: {writes:?}");
    Ok(())
}

#[tokio::test]
async fn an_account_that_is_made_again_after_a_revocation_is_not_annotated() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "account").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    tenant.account("orders", json!({})).await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    shop.ready("orders").await?;
    shop.revoke("it").await?;
    let accounts = tenant.service_accounts();
    accounts.delete("orders", &DeleteParams::default()).await?;
    let new = tenant.account("orders", json!({})).await?;
    stripped(shop, "orders").await?;
    tenant.assert_powerless("orders", &orders).await?;
    let same = accounts.get("orders").await?;
    assert_eq!(same.resource_version(), new.resource_version());
    Ok(())
}

#[tokio::test]
async fn a_grant_that_is_made_again_under_its_name_gives_what_it_says_now() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "regranted").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    let payments = shop.identity("payments").await?;
    let only = |id: &str| json!({ "identities": [{ "scope": id }] });
    shop.grant("it", only(orders.resource_id())).await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    tenant.bind_to("payments", payments.resource_id()).await?;
    shop.ready("orders").await?;
    tenant.is_refused("payments").await?;
    shop.revoke("it").await?;
    shop.grant("it", only(payments.resource_id())).await?;
    shop.ready("payments").await?;
    stripped(shop, "orders").await?;
    tenant.assert_powerless("orders", &orders).await?;
    tenant.assert_powerless("orders", &payments).await?;
    assert!(tenant.acts_as("payments", &payments).await?);
    Ok(())
}

#[tokio::test]
async fn a_grant_that_is_being_deleted_gives_nothing_new() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "dying").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    shop.ready("orders").await?;
    let (grants, name) = (shop.grants(), shop.grant_name("it"));
    let by_hand = PatchParams::default();
    let finalizers = |list| Patch::Merge(json!({ "metadata": { "finalizers": list } }));
    let held = finalizers(json!(["example.com/held"]));
    grants.patch(&name, &by_hand, &held).await?;
    grants.delete(&name, &DeleteParams::default()).await?;
    tenant.bind_to("late", orders.resource_id()).await?;
    tenant.is_refused("late").await?;
    stripped(shop, "orders").await?;
    tenant.assert_powerless("orders", &orders).await?;
    tenant.assert_powerless("late", &orders).await?;
    let released = finalizers(json!([]));
    grants.patch(&name, &by_hand, &released).await?;
    Ok(())
}
