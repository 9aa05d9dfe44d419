//! ServiceAccounts that somebody else keeps.

use std::time::Duration;

use azwib_crds::ServiceAccountOrigin;
use azwib_e2e::Environment;
use azwib_e2e::environment::{annotation, condition};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{CLIENT_ID, EXPIRATION, TENANT_ID, apply_account, is_labelled_as_ours, origin, owners};

#[tokio::test]
async fn an_account_that_was_there_gets_annotations_and_keeps_everything_else() -> anyhow::Result<()>
{
    let env = Environment::shared().await?;
    let shop = env.namespace("adopted").await?;
    let orders = shop.identity("orders").await?;
    apply_account(&shop, "orders", "platform", json!({ "team": "shop" })).await?;

    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    assert_eq!(origin(&binding), Some(ServiceAccountOrigin::Adopted));
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(
        annotation(&account, CLIENT_ID),
        Some(orders.client_id().as_str())
    );
    assert!(!is_labelled_as_ours(&account));
    assert_eq!(owners(&account), Vec::<&str>::new());

    shop.unbind("orders").await?;
    let left = shop.service_accounts().get("orders").await?;
    let annotations = left.metadata.annotations.unwrap();
    assert_eq!(annotations, [("team".to_owned(), "shop".to_owned())].into());
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}

#[tokio::test]
async fn an_account_of_kubectl_apply_is_adopted_and_stays_when_it_is_applied_again()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("kubectl").await?;
    let orders = shop.identity("orders").await?;
    let manifest = format!(
        "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: orders, namespace: {}}}}}",
        shop.name()
    );
    env.control_plane.apply(&manifest).await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    assert_eq!(origin(&binding), Some(ServiceAccountOrigin::Adopted));

    env.control_plane.apply(&manifest).await?;
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(
        annotation(&account, CLIENT_ID),
        Some(orders.client_id().as_str())
    );
    shop.unbind("orders").await?;
    let left = shop.service_accounts().get("orders").await?;
    for ours in [CLIENT_ID, TENANT_ID, EXPIRATION] {
        assert_eq!(annotation(&left, ours), None, "{ours}");
    }
    Ok(())
}

#[tokio::test]
async fn an_account_that_moves_into_git_is_no_longer_ours() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("into-git").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    assert_eq!(origin(&binding), Some(ServiceAccountOrigin::Created));

    let manifest = format!(
        "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: orders, namespace: {}}}}}",
        shop.name()
    );
    env.control_plane.apply(&manifest).await?;
    shop.until("orders", "of an adopted account", |binding| {
        origin(binding) == Some(ServiceAccountOrigin::Adopted)
    })
    .await?;
    let account = shop.service_accounts().get("orders").await?;
    assert!(!is_labelled_as_ours(&account));
    assert_eq!(owners(&account), Vec::<&str>::new());
    shop.unbind("orders").await?;
    shop.service_accounts().get("orders").await?;
    Ok(())
}

#[tokio::test]
async fn an_empty_map_of_annotations_in_git_is_no_conflict() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("empty-map").await?;
    let orders = shop.identity("orders").await?;
    // As charts render it that have no annotations to give.
    apply_account(&shop, "orders", "platform", json!({})).await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    assert_eq!(origin(&binding), Some(ServiceAccountOrigin::Adopted));

    let account = apply_account(&shop, "orders", "platform", json!({})).await?;
    assert_eq!(
        annotation(&account, CLIENT_ID),
        Some(orders.client_id().as_str())
    );
    shop.unbind("orders").await?;
    let left = shop.service_accounts().get("orders").await?;
    assert_eq!(annotation(&left, CLIENT_ID), None);
    Ok(())
}

#[tokio::test]
async fn another_managers_client_id_is_a_conflict_that_names_it_and_heals_when_it_goes()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("conflict").await?;
    let orders = shop.identity("orders").await?;
    let other = "11111111-2222-3333-4444-555555555555";
    apply_account(&shop, "orders", "platform", json!({ CLIENT_ID: other })).await?;

    shop.bind_to("orders", &orders).await?;
    let conflict = shop
        .failing("orders", "ServiceAccountReady", "ServiceAccountConflict")
        .await?;
    assert!(conflict.message.contains("\"platform\""), "{conflict:?}");
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(annotation(&account, CLIENT_ID), Some(other));
    assert_eq!(annotation(&account, TENANT_ID), None);
    assert_eq!(shop.operator_writes("orders").await?, 0);
    let binding = shop
        .until("orders", "without a record", |binding| {
            binding.status.as_ref().unwrap().credentials.is_empty()
        })
        .await?;
    let credential = condition(&binding, "CredentialReady").unwrap();
    assert!(
        !credential.message.contains("about to be"),
        "{credential:?}"
    );

    apply_account(&shop, "orders", "platform", Value::Null).await?;
    // The next try of its own would come ten seconds after the first: the change wakes the binding before.
    let binding = timeout(Duration::from_secs(8), shop.ready("orders")).await??;
    assert_eq!(origin(&binding), Some(ServiceAccountOrigin::Adopted));
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(
        annotation(&account, CLIENT_ID),
        Some(orders.client_id().as_str())
    );
    Ok(())
}

#[tokio::test]
async fn a_binding_in_conflict_is_deleted_and_leaves_the_account_as_it_is() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("conflict-end").await?;
    let orders = shop.identity("orders").await?;
    let other = json!({ CLIENT_ID: "11111111-2222-3333-4444-555555555555" });
    let before = apply_account(&shop, "orders", "platform", other).await?;
    shop.bind_to("orders", &orders).await?;
    shop.failing("orders", "ServiceAccountReady", "ServiceAccountConflict")
        .await?;

    shop.unbind("orders").await?;
    let left = shop.service_accounts().get("orders").await?;
    assert_eq!(left.metadata.annotations, before.metadata.annotations);
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}

#[tokio::test]
async fn another_managers_token_expiration_is_left_and_mentioned() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("foreign-expiry").await?;
    let orders = shop.identity("orders").await?;
    apply_account(&shop, "orders", "platform", json!({ EXPIRATION: "7200" })).await?;

    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    let message = &condition(&binding, "ServiceAccountReady").unwrap().message;
    assert!(message.contains("7200"), "{message}");
    assert!(message.contains("\"platform\""), "{message}");
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(annotation(&account, EXPIRATION), Some("7200"));
    assert_eq!(
        annotation(&account, CLIENT_ID),
        Some(orders.client_id().as_str())
    );

    shop.unbind("orders").await?;
    let left = shop.service_accounts().get("orders").await?;
    assert_eq!(annotation(&left, EXPIRATION), Some("7200"));
    assert_eq!(annotation(&left, CLIENT_ID), None);
    Ok(())
}
