//! Accounts of azwib's that others write to as well, or take over.

use azwib_crds::ServiceAccountOrigin;
use azwib_e2e::Environment;
use azwib_e2e::environment::{Namespace, annotation, condition};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::{CLIENT_ID, EXPIRATION, TENANT_ID, apply_account, is_labelled_as_ours, origin, owners};

/// A binding that is Ready, with an account that azwib has made.
async fn made(shop: &Namespace<'_>) -> anyhow::Result<String> {
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    assert_eq!(origin(&binding), Some(ServiceAccountOrigin::Created));
    Ok(orders.client_id())
}

async fn until_given_up(shop: &Namespace<'_>) -> anyhow::Result<ServiceAccount> {
    let account = shop
        .account_until("orders", "neither labelled nor owned", |account| {
            account
                .is_some_and(|account| !is_labelled_as_ours(account) && owners(account).is_empty())
        })
        .await?;
    Ok(account.unwrap())
}

#[tokio::test]
async fn an_account_that_another_manager_applies_with_its_mark_is_adopted() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("tracked").await?;
    let own = made(&shop).await?;
    let mark = json!({ "argocd.argoproj.io/tracking-id": "shop:/ServiceAccount:shop/orders" });
    apply_account(&shop, "orders", "argocd-controller", mark.clone()).await?;
    let account = until_given_up(&shop).await?;
    assert_eq!(annotation(&account, CLIENT_ID), Some(own.as_str()));
    shop.until("orders", "of an adopted account", |binding| {
        origin(binding) == Some(ServiceAccountOrigin::Adopted)
    })
    .await?;

    shop.bindings()
        .delete("orders", &DeleteParams::foreground())
        .await?;
    shop.until_gone("orders").await?;
    let left = shop.service_accounts().get("orders").await?;
    assert_eq!(left.uid(), account.uid());
    assert_eq!(json!(left.annotations()), mark);
    Ok(())
}

#[tokio::test]
async fn an_account_whose_client_id_another_manager_applies_too_is_adopted() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("co-owned").await?;
    let own = made(&shop).await?;
    apply_account(&shop, "orders", "platform", json!({ CLIENT_ID: own })).await?;
    until_given_up(&shop).await?;
    shop.ready("orders").await?;

    shop.unbind("orders").await?;
    let left = shop.service_accounts().get("orders").await?;
    assert_eq!(annotation(&left, CLIENT_ID), Some(own.as_str()));
    assert_eq!(annotation(&left, TENANT_ID), None);
    Ok(())
}

#[tokio::test]
async fn an_account_that_another_manager_takes_over_is_given_up_and_taken_back_when_it_lets_go()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("taken-over").await?;
    let own = made(&shop).await?;
    let other = "11111111-2222-3333-4444-555555555555";
    apply_account(&shop, "orders", "platform", json!({ CLIENT_ID: other })).await?;
    let conflict = shop
        .failing("orders", "ServiceAccountReady", "ServiceAccountConflict")
        .await?;
    assert!(conflict.message.contains("\"platform\""), "{conflict:?}");
    assert!(
        conflict.message.contains("remove the annotation there"),
        "{conflict:?}"
    );
    // Or the end of the binding would take an account along that somebody else keeps.
    let account = until_given_up(&shop).await?;
    assert_eq!(annotation(&account, CLIENT_ID), Some(other));

    apply_account(&shop, "orders", "platform", Value::Null).await?;
    let binding = shop.ready("orders").await?;
    assert_eq!(origin(&binding), Some(ServiceAccountOrigin::Adopted));
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(annotation(&account, CLIENT_ID), Some(own.as_str()));
    Ok(())
}

#[tokio::test]
async fn secrets_that_openshift_writes_to_the_account_stay_and_disturb_nobody() -> anyhow::Result<()>
{
    let env = Environment::shared().await?;
    let shop = env.namespace("openshift").await?;
    let own = made(&shop).await?;
    let secrets = json!({
        "metadata": { "annotations": { "openshift.io/internal-registry-pull-secret-ref": "orders-dockercfg" } },
        "secrets": [{ "name": "orders-dockercfg" }],
        "imagePullSecrets": [{ "name": "orders-dockercfg" }],
    });
    let controller = PatchParams {
        field_manager: Some("openshift-controller-manager".to_owned()),
        ..PatchParams::default()
    };
    shop.service_accounts()
        .patch("orders", &controller, &Patch::Merge(secrets))
        .await?;
    // As one of these controllers replaces the whole object.
    let mut account = shop.service_accounts().get("orders").await?;
    account.automount_service_account_token = Some(false);
    let replacing = PostParams {
        field_manager: Some("openshift-controller-manager".to_owned()),
        ..PostParams::default()
    };
    shop.service_accounts()
        .replace("orders", &replacing, &account)
        .await?;

    let lifetime = json!({ "serviceAccount": { "tokenExpirationSeconds": 7200 } });
    shop.change("orders", lifetime).await?;
    let binding = shop.ready("orders").await?;
    assert_eq!(origin(&binding), Some(ServiceAccountOrigin::Created));
    assert_eq!(condition(&binding, "Ready").unwrap().reason, "Succeeded");
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(annotation(&account, CLIENT_ID), Some(own.as_str()));
    assert_eq!(annotation(&account, EXPIRATION), Some("7200"));
    assert_eq!(owners(&account), ["orders"]);
    assert_eq!(
        account.secrets.unwrap()[0].name.as_deref(),
        Some("orders-dockercfg")
    );
    assert_eq!(
        account.image_pull_secrets.unwrap()[0].name,
        "orders-dockercfg"
    );
    assert_eq!(account.automount_service_account_token, Some(false));
    Ok(())
}
