//! What stays and what goes when a binding is deleted.

use azure_simulator::control::api::{CredentialFixture, FederatedCredential};
use azwib_crds::{DeletionPolicy, WorkloadIdentityBinding};
use azwib_e2e::Environment;
use azwib_e2e::environment::interference::service_unavailable;
use azwib_e2e::environment::{ManagedIdentity, Namespace, PATIENCE, annotation};
use azwib_e2e::wait;
use k8s_openapi::api::core::v1 as k8s;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::{AUDIENCE, CLIENT_ID, owners, subject};

async fn bind(
    shop: &Namespace<'_>,
    orders: &ManagedIdentity,
    policy: &str,
) -> anyhow::Result<WorkloadIdentityBinding> {
    let id = orders.resource_id();
    let spec = format!("identity: {{resourceId: {id}}}, deletionPolicy: {policy}");
    shop.bind("orders", &spec).await?;
    shop.ready("orders").await
}

async fn until_account_is_gone(shop: &Namespace<'_>) -> anyhow::Result<()> {
    let gone = shop.account_until("orders", "gone", |account| account.is_none());
    gone.await.map(drop)
}

#[tokio::test]
async fn delete_takes_the_credential_and_the_created_account_along() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("delete").await?;
    let orders = shop.identity("orders").await?;
    bind(&shop, &orders, "Delete").await?;

    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    until_account_is_gone(&shop).await
}

#[tokio::test]
async fn retain_leaves_everything_and_a_new_binding_takes_it_over_without_a_write()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("retain").await?;
    let orders = shop.identity("orders").await?;
    bind(&shop, &orders, "Retain").await?;
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(owners(&account), Vec::<&str>::new());
    let credentials = shop.credentials(&orders).await?;
    let writes = shop.operator_writes("orders").await?;

    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, credentials);
    let left = shop.service_accounts().get("orders").await?;
    assert_eq!(left.metadata.annotations, account.metadata.annotations);
    assert_eq!(left.metadata.uid, account.metadata.uid);

    bind(&shop, &orders, "Retain").await?;
    assert_eq!(shop.credentials(&orders).await?, credentials);
    assert_eq!(shop.operator_writes("orders").await?, writes);
    Ok(())
}

#[tokio::test]
async fn a_change_to_retain_frees_the_account_before_the_deletion() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("to-retain").await?;
    let orders = shop.identity("orders").await?;
    bind(&shop, &orders, "Delete").await?;
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(owners(&account), ["orders"]);

    shop.change("orders", json!({ "deletionPolicy": "Retain" }))
        .await?;
    let binding = shop.ready("orders").await?;
    assert_eq!(binding.spec.deletion_policy, DeletionPolicy::Retain);
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(owners(&account), Vec::<&str>::new());

    // In the foreground, as Argo CD prunes: dependents would go before the finalizer runs.
    shop.bindings()
        .delete("orders", &DeleteParams::foreground())
        .await?;
    shop.until_gone("orders").await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    let left = shop.service_accounts().get("orders").await?;
    assert_eq!(
        annotation(&left, CLIENT_ID),
        Some(orders.client_id().as_str())
    );
    Ok(())
}

#[tokio::test]
async fn a_change_to_delete_ties_the_account_to_the_binding() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("to-delete").await?;
    let orders = shop.identity("orders").await?;
    bind(&shop, &orders, "Retain").await?;

    shop.change("orders", json!({ "deletionPolicy": "Delete" }))
        .await?;
    shop.ready("orders").await?;
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(owners(&account), ["orders"]);

    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    until_account_is_gone(&shop).await
}

#[tokio::test]
async fn a_credential_that_somebody_has_changed_is_left_with_an_event() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("foreign").await?;
    let orders = shop.identity("orders").await?;
    bind(&shop, &orders, "Delete").await?;
    let name = shop.credential_name("orders")?;

    // Otherwise the operator may put it back before the binding is deleted.
    let outage = env
        .outage(shop.requests_to("PUT", "orders"), service_unavailable())
        .await?;
    let changed_to = "https://issuer.example/";
    let changed = FederatedCredential {
        name: name.clone(),
        issuer: changed_to.to_owned(),
        subject: Some(subject(&shop, "orders")),
        claims_matching_expression: None,
        audiences: vec![AUDIENCE.to_owned()],
    };
    env.control()
        .put_credential(&CredentialFixture {
            subscription_id: None,
            resource_group: shop.name().to_owned(),
            identity: "orders".to_owned(),
            credential: changed,
        })
        .await?;

    shop.unbind("orders").await?;
    outage.end().await?;
    let left = shop.credentials(&orders).await?;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].name, name);
    assert_eq!(left[0].properties.issuer, changed_to);
    let deletes = shop.operator_requests("DELETE", "orders").await?;
    assert!(deletes.is_empty(), "{deletes:?}");
    let note = shop.event("CredentialLeft").await?;
    assert!(note.contains(&name), "{note}");
    Ok(())
}

#[tokio::test]
async fn a_binding_whose_identity_is_gone_is_deleted_all_the_same() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("identity-gone").await?;
    let orders = shop.identity("orders").await?;
    bind(&shop, &orders, "Delete").await?;

    env.arm().await?.delete(orders.resource_id()).await?;
    shop.unbind("orders").await?;
    until_account_is_gone(&shop).await
}

#[tokio::test]
async fn a_namespace_ends_with_its_bindings_and_their_credentials() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("whole").await?;
    let orders = shop.identity("orders").await?;
    bind(&shop, &orders, "Delete").await?;

    let namespaces: Api<k8s::Namespace> = Api::all(shop.client().clone());
    namespaces
        .delete(shop.name(), &DeleteParams::default())
        .await?;
    wait::until("the end of the namespace", PATIENCE, async || {
        let left = namespaces.get_opt(shop.name()).await?;
        Ok(left.is_none().then_some(()))
    })
    .await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}

/// What the cleanup relies on where its view of the account is out of date.
#[tokio::test]
async fn an_apply_to_an_account_that_is_gone_is_refused_and_makes_none() -> anyhow::Result<()> {
    let shop = Environment::shared().await?.namespace("gone").await?;
    let account = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": "orders", "uid": "00000000-0000-0000-0000-000000000001" },
    });
    let refused = shop
        .service_accounts()
        .patch_metadata(
            "orders",
            &PatchParams::apply("azwib"),
            &Patch::Apply(&account),
        )
        .await;
    assert!(
        matches!(&refused, Err(kube::Error::Api(answer)) if answer.code == 409),
        "{refused:?}"
    );
    assert!(shop.service_accounts().get_opt("orders").await?.is_none());
    Ok(())
}
