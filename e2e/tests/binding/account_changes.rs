//! A change of a ServiceAccount reaches the bindings that name it. The operator of these tests has no resync to speak of:
//! only the change itself can wake it.

use azwib_crds::ServiceAccountOrigin;
use azwib_e2e::environment::{ManagedIdentity, Namespace, annotation};
use azwib_e2e::{Environment, EnvironmentOptions};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{CLIENT_ID, EXPIRATION, TENANT_ID, apply_account, is_labelled_as_ours, origin, owners};

async fn without_resync() -> anyhow::Result<&'static Environment> {
    static ENVIRONMENT: OnceCell<Environment> = OnceCell::const_new();
    let flags = ["--resync-period=1h", "--propagation-delay=1s"];
    let options = EnvironmentOptions {
        operator_flags: flags.map(str::to_owned).to_vec(),
        ..EnvironmentOptions::default()
    };
    ENVIRONMENT
        .get_or_try_init(|| Environment::start(options))
        .await
}

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
    let env = without_resync().await?;
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
    let env = without_resync().await?;
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
async fn a_created_account_that_was_deleted_is_created_again_as_it_was() -> anyhow::Result<()> {
    let env = without_resync().await?;
    let shop = env.namespace("created-gone").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let made = until_annotated(&shop, &orders).await?;

    shop.service_accounts()
        .delete("orders", &DeleteParams::default())
        .await?;
    let again = until_annotated(&shop, &orders).await?;
    assert_ne!(again.uid(), made.uid());
    assert!(is_labelled_as_ours(&again), "{:?}", again.labels());
    assert_eq!(again.labels(), made.labels());
    assert_eq!(again.annotations(), made.annotations());
    assert_eq!(owners(&again), ["orders"]);
    assert_eq!(again.owner_references(), made.owner_references());
    let binding = shop.ready("orders").await?;
    assert_eq!(origin(&binding), Some(ServiceAccountOrigin::Created));
    Ok(())
}
