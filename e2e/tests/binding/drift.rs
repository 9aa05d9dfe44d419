//! What others change is put back, and where nothing differs nothing is written.

use azwib_crds::ServiceAccountOrigin;
use azwib_e2e::Environment;
use azwib_e2e::environment::{ManagedIdentity, Namespace, PATIENCE, annotation};
use azwib_e2e::wait;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::{AUDIENCE, CLIENT_ID, EXPIRATION, TENANT_ID, apply_account, origin, subject};

/// An edit by hand: an update, not an apply.
async fn edit_annotations(shop: &Namespace<'_>, annotations: Value) -> anyhow::Result<()> {
    let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
    let by_hand = PatchParams {
        field_manager: Some("kubectl-edit".to_owned()),
        ..PatchParams::default()
    };
    let accounts = shop.service_accounts();
    accounts.patch("orders", &by_hand, &patch).await?;
    Ok(())
}

async fn until_annotated(
    shop: &Namespace<'_>,
    orders: &ManagedIdentity,
) -> anyhow::Result<ServiceAccount> {
    let tenant = shop.environment().simulator.tenant().to_string();
    let wanted = [
        (CLIENT_ID, orders.client_id()),
        (TENANT_ID, tenant),
        (EXPIRATION, "3600".to_owned()),
    ];
    let account = shop
        .account_until("orders", "annotated", |account| {
            account.is_some_and(|account| {
                wanted
                    .iter()
                    .all(|(key, value)| annotation(account, key) == Some(value))
            })
        })
        .await?;
    Ok(account.unwrap())
}

#[tokio::test]
async fn edits_of_a_created_account_are_put_back() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("drift").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let made = until_annotated(&shop, &orders).await?;

    for edit in [
        json!({ CLIENT_ID: null }),
        json!({ CLIENT_ID: "11111111-2222-3333-4444-555555555555" }),
        json!({ TENANT_ID: "elsewhere", EXPIRATION: null }),
    ] {
        edit_annotations(&shop, edit).await?;
        until_annotated(&shop, &orders).await?;
    }
    let binding = shop.ready("orders").await?;
    assert_eq!(origin(&binding), Some(ServiceAccountOrigin::Created));
    let mended = shop.service_accounts().get("orders").await?;
    assert_eq!(mended.uid(), made.uid());
    assert_eq!(mended.labels(), made.labels());
    Ok(())
}

#[tokio::test]
async fn an_account_that_was_deleted_is_created_again() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("account-gone").await?;
    let orders = shop.identity("orders").await?;
    apply_account(&shop, "orders", "platform", Value::Null).await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;

    shop.service_accounts()
        .delete("orders", &DeleteParams::default())
        .await?;
    until_annotated(&shop, &orders).await?;
    shop.until("orders", "of a created account", |binding| {
        origin(binding) == Some(ServiceAccountOrigin::Created)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_credential_that_was_removed_is_restored() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("credential-gone").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let before = shop.credentials(&orders).await?;

    let (arm, name) = (env.arm().await?, &before[0].name);
    let id = orders.resource_id();
    arm.delete(&format!("{id}/federatedIdentityCredentials/{name}"))
        .await?;
    until_credentials_are(&shop, &orders, &before).await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_credential_that_was_changed_is_put_back() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("credential-changed").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let before = shop.credentials(&orders).await?;

    let (arm, name) = (env.arm().await?, &before[0].name);
    let (issuer, subject) = (env.issuer(), subject(&shop, "orders"));
    for (issuer, subject, audience) in [
        ("https://issuer.example/", subject.as_str(), AUDIENCE),
        (issuer, "system:serviceaccount:elsewhere:orders", AUDIENCE),
        (issuer, subject.as_str(), "api://elsewhere"),
    ] {
        arm.put_credential(orders.resource_id(), name, issuer, subject, audience)
            .await?;
        until_credentials_are(&shop, &orders, &before).await?;
        shop.ready("orders").await?;
    }
    Ok(())
}

async fn until_credentials_are(
    shop: &Namespace<'_>,
    orders: &ManagedIdentity,
    wanted: &[azwib_e2e::environment::arm::ArmCredential],
) -> anyhow::Result<()> {
    wait::until("the credential to be as it was", PATIENCE, async || {
        Ok((shop.credentials(orders).await? == wanted).then_some(()))
    })
    .await
}

#[tokio::test]
async fn where_nothing_differs_nothing_is_written() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("steady").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    let account = shop.service_accounts().get("orders").await?;
    let writes = shop.operator_writes("orders").await?;
    assert_eq!(writes, 1, "the one that made the credential");

    shop.further_listings("orders", 3).await?;
    let after = shop.bindings().get("orders").await?;
    assert_eq!(after.resource_version(), binding.resource_version());
    let after = shop.service_accounts().get("orders").await?;
    assert_eq!(after.resource_version(), account.resource_version());
    assert_eq!(shop.operator_writes("orders").await?, writes);
    Ok(())
}
