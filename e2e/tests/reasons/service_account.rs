//! The API server refuses the ServiceAccount.

use azwib_e2e::environment::rule::{Rule, create};
use azwib_e2e::environment::{Namespace, PATIENCE, condition};
use azwib_e2e::{Environment, wait};
use k8s_openapi::api::core::v1 as k8s;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::says;

/// Waits until a dry run of the operator's own write is refused.
async fn until_accounts_are_refused(shop: &Namespace<'_>, says: &str) -> anyhow::Result<()> {
    let account = json!({ "metadata": { "name": "probe" } });
    let account: k8s::ServiceAccount = serde_json::from_value(account)?;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    wait::until("the rule to be in force", PATIENCE, async || {
        let refused = shop.service_accounts().create(&dry, &account).await;
        Ok(refused
            .is_err_and(|it| it.to_string().contains(says))
            .then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_quota_without_room_for_an_account_is_named() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("quota").await?;
    let orders = shop.identity("orders").await?;
    let quotas: Api<k8s::ResourceQuota> = Api::namespaced(shop.client().clone(), shop.name());
    // The namespace's `default` account first: without it in the count the message would change.
    shop.account_until("default", "there", |account| account.is_some())
        .await?;
    let quota = json!({
        "metadata": { "name": "accounts" },
        "spec": { "hard": { "count/serviceaccounts": "1" } },
    });
    create(&quotas, quota).await?;
    until_accounts_are_refused(&shop, "used: count/serviceaccounts=1").await?;

    shop.bind_to("orders", &orders).await?;
    let message = "the API server refused to write the service account: serviceaccounts \"orders\" is forbidden: exceeded quota: \
                   accounts, requested: count/serviceaccounts=1, used: count/serviceaccounts=1, limited: \
                   count/serviceaccounts=1; have the quota or the rule that it names changed";
    let step = "ServiceAccountReady";
    let binding = says(&shop, step, "ServiceAccountRefused", "Reconciling", message).await?;
    assert_eq!(binding.status.as_ref().unwrap().credentials, []);
    assert_eq!(shop.operator_writes("orders").await?, 0);

    quotas.delete("accounts", &DeleteParams::default()).await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_rule_against_accounts_is_named() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("rule").await?;
    let orders = shop.identity("orders").await?;
    let wording = "accounts are made by the platform team";
    let rule = Rule::deny(&shop, ("", "serviceaccounts"), "CREATE", wording).await?;
    until_accounts_are_refused(&shop, wording).await?;

    shop.bind_to("orders", &orders).await?;
    let refused = shop
        .failing("orders", "ServiceAccountReady", "ServiceAccountRefused")
        .await?;
    assert!(refused.message.contains(wording), "{refused:?}");
    assert!(
        refused.message.ends_with("the rule that it names changed"),
        "{refused:?}"
    );
    assert_eq!(shop.operator_writes("orders").await?, 0);

    rule.lift().await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn an_account_that_goes_with_its_namespace_is_not_made_again() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("ending").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    // The namespace goes while its binding, which somebody protects, does not.
    let protected = ("azwib.dev", "workloadidentitybindings");
    let rule = Rule::deny(&shop, protected, "DELETE", "bindings are protected").await?;
    let dry = DeleteParams {
        dry_run: true,
        ..DeleteParams::default()
    };
    wait::until("the rule to be in force", PATIENCE, async || {
        let refused = shop.bindings().delete("orders", &dry).await;
        Ok(refused.is_err().then_some(()))
    })
    .await?;
    let namespaces: Api<k8s::Namespace> = Api::all(shop.client().clone());
    namespaces
        .delete(shop.name(), &DeleteParams::default())
        .await?;

    let message = "the namespace is being deleted, and no service account is made in it any more";
    let step = "ServiceAccountReady";
    let binding = says(&shop, step, "NamespaceTerminating", "Reconciling", message).await?;
    assert_eq!(
        condition(&binding, "CredentialReady").unwrap().status,
        "True"
    );
    assert_eq!(shop.credentials(&orders).await?.len(), 1);

    rule.lift().await?;
    shop.until_gone("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}
