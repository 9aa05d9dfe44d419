//! Whose edits of an account that is kept in Git are repaired, and whose are not.

use azwib_e2e::Environment;
use azwib_e2e::environment::{Namespace, annotation, condition};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Patch, PatchParams};
use serde_json::{Map, Value, json};

use crate::{
    ARGO_CD, CLIENT_ID, EXPIRATION, FLUX, HELM, TENANT_ID, account_in_git, kubectl,
    ready_with_account_of, run_line_of_the_guide, sync_account,
};

const OTHER: &str = "11111111-2222-3333-4444-555555555555";

/// Changes an annotation of the account with kubectl.
async fn annotate(shop: &Namespace<'_>, key: &str, value: &str) -> anyhow::Result<()> {
    let pair = format!("{key}={value}");
    kubectl(shop, &["annotate", "sa", "orders", "--overwrite", &pair]).await?;
    Ok(())
}

async fn until_carries(shop: &Namespace<'_>, key: &str, value: &str) -> anyhow::Result<()> {
    let what = format!("annotated {key}={value}");
    let carries = |account: Option<&ServiceAccount>| {
        account.is_some_and(|account| annotation(account, key) == Some(value))
    };
    shop.account_until("orders", &what, carries).await.map(drop)
}

/// Waits until the binding says whose the annotation is.
async fn until_in_conflict(shop: &Namespace<'_>, with: &str) -> anyhow::Result<()> {
    let conflict = shop
        .failing("orders", "ServiceAccountReady", "ServiceAccountConflict")
        .await?;
    let manager = format!("\"{with}\"");
    assert!(conflict.message.contains(&manager), "{}", conflict.message);
    Ok(())
}

/// What Flux does to an account: it makes what field managers named `kubectl…` own its own, and applies what is in Git, so that
/// the rest of that goes (kustomize-controller's `apply`, `PatchReplaceFieldsManagers` of fluxcd/pkg/ssa).
async fn sync_by_flux(shop: &Namespace<'_>) -> anyhow::Result<ServiceAccount> {
    let account = shop.service_accounts().get("orders").await?;
    let mut entries = serde_json::to_value(account.metadata.managed_fields.unwrap_or_default())?;
    let all = entries.as_array_mut().unwrap();
    let is_kubectl = |entry: &Value| entry["manager"].as_str().unwrap().starts_with("kubectl");
    let taken: Vec<_> = all.extract_if(.., |entry| is_kubectl(entry)).collect();
    let own = all
        .iter_mut()
        .find(|entry| entry["manager"] == FLUX && entry["operation"] == "Apply")
        .unwrap();
    for entry in taken {
        merge(own["fieldsV1"].as_object_mut().unwrap(), &entry["fieldsV1"]);
    }
    let replaced =
        json!([{ "op": "replace", "path": "/metadata/managedFields", "value": entries }]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(replaced)?);
    let accounts = shop.service_accounts();
    let as_flux = PatchParams {
        field_manager: Some(FLUX.to_owned()),
        ..PatchParams::default()
    };
    accounts.patch("orders", &as_flux, &patch).await?;
    sync_account(shop, FLUX, &account_in_git()).await
}

/// Adds the fields of one set to another.
fn merge(into: &mut Map<String, Value>, fields: &Value) {
    for (field, inner) in fields.as_object().into_iter().flatten() {
        let there = into.entry(field.clone()).or_insert_with(|| json!({}));
        merge(there.as_object_mut().unwrap(), inner);
    }
}

#[tokio::test]
async fn an_annotation_that_a_hand_removes_is_put_back() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("removed").await?;
    let orders = ready_with_account_of(&shop, ARGO_CD).await?;
    let tenant = env.simulator.tenant().to_string();
    for (key, value) in [
        (CLIENT_ID, orders.client_id()),
        (TENANT_ID, tenant),
        (EXPIRATION, "3600".to_owned()),
    ] {
        let removed = format!("{key}-");
        kubectl(&shop, &["annotate", "sa", "orders", &removed]).await?;
        until_carries(&shop, key, &value).await?;
    }
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_client_id_that_a_hand_changes_stays_until_the_line_of_the_guide_lets_go()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    for tool in [ARGO_CD, HELM] {
        let shop = env.namespace(tool).await?;
        let orders = ready_with_account_of(&shop, tool).await?;
        annotate(&shop, CLIENT_ID, OTHER).await?;
        until_in_conflict(&shop, "kubectl-annotate").await?;
        // What Git does not have is no difference to the tool.
        let synced = sync_account(&shop, tool, &account_in_git()).await?;
        assert_eq!(annotation(&synced, CLIENT_ID), Some(OTHER), "{tool}");

        run_line_of_the_guide(&shop, "kubectl annotate sa ").await?;
        until_carries(&shop, CLIENT_ID, &orders.client_id()).await?;
        shop.ready("orders").await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_account_of_kubectl_apply_keeps_what_a_hand_changes_as_well() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("by-the-client").await?;
    // Argo CD's way without ServerSideApply=true is kubectl's.
    let mut manifest = account_in_git();
    manifest["metadata"]["namespace"] = json!(shop.name());
    let manifest = manifest.to_string();
    env.control_plane.apply(&manifest).await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let tenant = env.simulator.tenant().to_string();

    annotate(&shop, TENANT_ID, OTHER).await?;
    until_in_conflict(&shop, "kubectl-annotate").await?;
    env.control_plane.apply(&manifest).await?;
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(annotation(&account, TENANT_ID), Some(OTHER));

    let removed = format!("{TENANT_ID}-");
    kubectl(&shop, &["annotate", "sa", "orders", &removed]).await?;
    until_carries(&shop, TENANT_ID, &tenant).await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn flux_repairs_what_kubectl_changed_and_nobody_elses() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("flux").await?;
    let orders = ready_with_account_of(&shop, FLUX).await?;
    annotate(&shop, CLIENT_ID, OTHER).await?;
    until_in_conflict(&shop, "kubectl-annotate").await?;
    let synced = sync_by_flux(&shop).await?;
    assert_ne!(annotation(&synced, CLIENT_ID), Some(OTHER));
    until_carries(&shop, CLIENT_ID, &orders.client_id()).await?;
    shop.ready("orders").await?;

    let dashboard = PatchParams {
        field_manager: Some("dashboard".to_owned()),
        ..PatchParams::default()
    };
    let edit = Patch::Merge(json!({ "metadata": { "annotations": { CLIENT_ID: OTHER } } }));
    shop.service_accounts()
        .patch("orders", &dashboard, &edit)
        .await?;
    until_in_conflict(&shop, "dashboard").await?;
    let synced = sync_by_flux(&shop).await?;
    assert_eq!(annotation(&synced, CLIENT_ID), Some(OTHER));

    run_line_of_the_guide(&shop, "kubectl annotate sa ").await?;
    until_carries(&shop, CLIENT_ID, &orders.client_id()).await?;
    Ok(())
}

#[tokio::test]
async fn a_lifetime_that_a_hand_changes_stays_and_is_mentioned() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("lifetime").await?;
    ready_with_account_of(&shop, ARGO_CD).await?;
    annotate(&shop, EXPIRATION, "7200").await?;
    shop.until("orders", "Ready, with the other lifetime", |binding| {
        let ready = condition(binding, "Ready").is_some_and(|it| it.status == "True");
        let account = condition(binding, "ServiceAccountReady");
        ready && account.is_some_and(|it| it.message.contains("7200"))
    })
    .await?;
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(annotation(&account, EXPIRATION), Some("7200"));
    Ok(())
}
