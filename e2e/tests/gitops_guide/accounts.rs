//! Accounts that azwib made, beside the tools.

use azwib_crds::ServiceAccountOrigin;
use azwib_e2e::Environment;
use azwib_e2e::environment::{annotation, condition};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::{
    ARGO_CD, CLIENT_ID, EXPIRATION, HELM, TENANT_ID, account_in_git, binding_in_git, sync_account,
    sync_binding,
};

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

#[tokio::test]
async fn an_account_carries_none_of_the_marks_of_its_binding() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("marks").await?;
    let orders = shop.identity("orders").await?;
    let mut binding = binding_in_git(&shop, "orders", orders.resource_id());
    binding["metadata"]["labels"] = json!({
        "app.kubernetes.io/instance": "shop",
        "kustomize.toolkit.fluxcd.io/name": "shop",
        "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
    });
    binding["metadata"]["annotations"] = json!({
        "argocd.argoproj.io/tracking-id": "shop:azwib.dev/WorkloadIdentityBinding:shop/orders",
        "meta.helm.sh/release-name": "shop",
    });
    sync_binding(&shop, ARGO_CD, &binding).await?;
    shop.ready("orders").await?;
    let account = shop.service_accounts().get("orders").await?;
    let labels: Vec<_> = account.labels().keys().map(String::as_str).collect();
    assert_eq!(labels, [MANAGED_BY, "azwib.dev/origin"]);
    let annotations: Vec<_> = account.annotations().keys().map(String::as_str).collect();
    assert_eq!(annotations, [CLIENT_ID, EXPIRATION, TENANT_ID]);
    Ok(())
}

#[tokio::test]
async fn a_chart_takes_an_account_that_azwib_made_by_force_only() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("chart").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let mut account = account_in_git();
    account["metadata"]["labels"][MANAGED_BY] = json!("Helm");
    account["metadata"]["annotations"] = json!({ "meta.helm.sh/release-name": "shop" });

    let accounts = shop.service_accounts();
    let gently = PatchParams::apply(HELM);
    let refused = accounts
        .patch("orders", &gently, &Patch::Apply(&account))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("azwib") && refused.contains(MANAGED_BY),
        "{refused}"
    );

    sync_account(&shop, HELM, &account).await?;
    let adopted = shop
        .until("orders", "Ready with an adopted account", |binding| {
            let origin = binding
                .status
                .as_ref()
                .and_then(|status| Some(status.service_account.as_ref()?.origin));
            origin == Some(ServiceAccountOrigin::Adopted)
        })
        .await?;
    assert_eq!(condition(&adopted, "Ready").unwrap().status, "True");
    let account = accounts.get("orders").await?;
    assert_eq!(account.labels()[MANAGED_BY], "Helm");
    assert_eq!(account.owner_references(), []);
    let own = orders.client_id();
    assert_eq!(annotation(&account, CLIENT_ID), Some(own.as_str()));
    Ok(())
}
