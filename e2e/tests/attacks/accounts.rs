//! What a tenant writes on its own accounts by hand, annotations, owners, labels or field managers, is no power, and makes azwib
//! neither ask Azure nor touch what is another's.

use azwib_e2e::environment::{ManagedIdentity, Namespace};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{Tenant, assert_unasked, enforcing};

fn client_id(identity: &ManagedIdentity) -> Value {
    json!({ "azure.workload.identity/client-id": identity.client_id() })
}

/// An owner as azwib writes it.
fn owner(name: &str, uid: &str) -> Value {
    json!([{ "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding", "name": name, "uid": uid }])
}

/// The marks that azwib writes on an account that it made.
fn marks() -> Value {
    json!({ "azwib.dev/origin": "Created", "app.kubernetes.io/managed-by": "azwib" })
}

/// A tenant beside whom another one is Ready; its identity is what the attacks are after.
async fn beside_a_victim(
    purpose: &str,
) -> anyhow::Result<(Tenant<'static>, Namespace<'static>, ManagedIdentity)> {
    let env = enforcing().await?;
    let victim = env.namespace(&format!("{purpose}-victim")).await?;
    let identity = victim.identity("payments").await?;
    victim.grant_all("it").await?;
    victim.bind_to("payments", &identity).await?;
    victim.ready("payments").await?;
    Ok((Tenant::new(env, purpose).await?, victim, identity))
}

async fn account(tenant: &Tenant<'_>, name: &str) -> anyhow::Result<ServiceAccount> {
    Ok(tenant.shop.service_accounts().get(name).await?)
}

#[tokio::test]
async fn a_client_id_that_is_written_by_hand_is_no_power() -> anyhow::Result<()> {
    let (tenant, victim, payments) = beside_a_victim("by-hand").await?;
    let unused = victim.identity("unused").await?;
    for (name, identity) in [("bound", &payments), ("unbound", &unused)] {
        tenant
            .account(name, json!({ "annotations": client_id(identity) }))
            .await?;
        assert_eq!(tenant.carried(name).await?, Some(identity.client_id()));
        assert!(!tenant.acts_as(name, identity).await?, "{name}");
    }
    // With a binding that is not granted it is no more.
    tenant.bind_to("bound", payments.resource_id()).await?;
    tenant.is_refused("bound").await?;
    assert!(!tenant.acts_as("bound", &payments).await?);
    assert_eq!(victim.credentials(&payments).await?.len(), 1);
    assert_unasked(&victim, "unused").await
}

#[tokio::test]
async fn a_client_id_of_another_identity_on_a_granted_account_is_no_power() -> anyhow::Result<()> {
    let (tenant, victim, payments) = beside_a_victim("swapped").await?;
    let orders = tenant.shop.identity("orders").await?;
    tenant.shop.grant_all("it").await?;
    tenant
        .account("orders", json!({ "annotations": client_id(&payments) }))
        .await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    tenant
        .shop
        .failing("orders", "ServiceAccountReady", "ServiceAccountConflict")
        .await?;
    assert!(!tenant.acts_as("orders", &payments).await?);
    assert_eq!(victim.credentials(&payments).await?.len(), 1);
    assert_eq!(victim.operator_writes("payments").await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_owner_that_is_anothers_binding_gives_nothing_and_takes_nothing() -> anyhow::Result<()> {
    let (tenant, victim, payments) = beside_a_victim("owner").await?;
    let theirs = victim.bindings().get("payments").await?.uid().unwrap();
    // Under a foreign name, and under azwib's own field manager.
    for manager in ["tenant", "azwib"] {
        let metadata = json!({
            "annotations": client_id(&payments), "labels": marks(),
            "ownerReferences": owner("payments", &theirs),
        });
        tenant.account_as(manager, manager, metadata).await?;
        tenant.bind_to(manager, payments.resource_id()).await?;
        tenant.is_refused(manager).await?;
        assert!(!tenant.acts_as(manager, &payments).await?, "{manager}");
        tenant.unbind(manager).await?;
    }
    victim.ready("payments").await?;
    assert_eq!(victim.credentials(&payments).await?.len(), 1);
    assert_eq!(victim.operator_writes("payments").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_binding_that_never_was_granted_asks_azure_nothing_when_it_goes_whatever_its_account_says()
-> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "lost").await?;
    let orders = tenant.shop.identity("orders").await?;
    for manager in ["tenant", "azwib"] {
        let binding = tenant.bind_to(manager, orders.resource_id()).await?;
        tenant.is_refused(manager).await?;
        let metadata = json!({
            "annotations": client_id(&orders), "labels": marks(),
            "ownerReferences": owner(manager, &binding.uid().unwrap()),
        });
        tenant.account_as(manager, manager, metadata).await?;
        tenant.witness().await?;
        tenant.unbind(manager).await?;
        assert_unasked(&tenant.shop, "orders").await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_marks_of_azwib_change_nothing_about_who_is_granted_what() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "marks").await?;
    let orders = tenant.shop.identity("orders").await?;
    for manager in ["tenant", "azwib"] {
        let metadata = json!({ "labels": marks(), "annotations": client_id(&orders) });
        tenant.account_as(manager, manager, metadata).await?;
        let before = account(&tenant, manager).await?.resource_version();
        tenant.bind_to(manager, orders.resource_id()).await?;
        tenant.is_refused(manager).await?;
        tenant.witness().await?;
        let after = account(&tenant, manager).await?.resource_version();
        assert_eq!(before, after, "nothing is written to it: {manager}");
        assert!(!tenant.acts_as(manager, &orders).await?, "{manager}");
    }
    assert_unasked(&tenant.shop, "orders").await
}

/// Both are the tenant's own, so this is no attack on others; but a refused binding has no claim on an account either.
#[tokio::test]
async fn an_older_binding_without_a_grant_has_no_claim_on_an_account() -> anyhow::Result<()> {
    let (tenant, victim, payments) = beside_a_victim("claim").await?;
    let orders = tenant.shop.identity("orders").await?;
    tenant.shop.grant_all("it").await?;
    let to = |identity: &ManagedIdentity| {
        json!({
            "identity": { "resourceId": identity.resource_id() }, "serviceAccount": { "name": "orders" },
        })
    };
    tenant.bind("a-older", to(&payments)).await?;
    tenant.is_refused("a-older").await?;
    tenant.bind("b-younger", to(&orders)).await?;
    tenant.shop.ready("b-younger").await?;
    assert_eq!(tenant.carried("orders").await?, Some(orders.client_id()));
    assert!(tenant.acts_as("orders", &orders).await?);
    assert!(!tenant.acts_as("orders", &payments).await?);
    // It goes, and takes nothing of the other one with it.
    tenant.unbind("a-older").await?;
    tenant.shop.further_listings("orders", 1).await?;
    assert_eq!(tenant.carried("orders").await?, Some(orders.client_id()));
    assert_eq!(victim.operator_writes("payments").await?, 1);
    Ok(())
}
