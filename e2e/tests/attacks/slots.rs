//! Bindings that no grant covers take no slot of an identity, have no place in its line, and hold up nobody who is granted.

use azwib_e2e::environment::{ManagedIdentity, condition};
use kube::ResourceExt;
use serde_json::json;

use super::{Tenant, assert_unasked, enforcing};

/// How many federated identity credentials Azure allows on an identity.
const SLOTS: usize = 20;

/// So many bindings of the tenant to this identity, each for an account of its own.
async fn bind_many(
    tenant: &Tenant<'_>,
    prefix: &str,
    count: usize,
    identity: &ManagedIdentity,
) -> anyhow::Result<Vec<String>> {
    let names: Vec<_> = (0..count).map(|it| format!("{prefix}-{it}")).collect();
    for name in &names {
        tenant.bind_to(name, identity.resource_id()).await?;
    }
    Ok(names)
}

/// Others' credentials on the identity, so many.
async fn fill(tenant: &Tenant<'_>, identity: &ManagedIdentity, count: usize) -> anyhow::Result<()> {
    let arm = tenant.env().arm().await?;
    for at in 0..count {
        let (name, id) = (format!("other-{at}"), identity.resource_id());
        let issuer = "https://issuer.example/";
        arm.put_credential(id, &name, issuer, &name, "api://AzureADTokenExchange")
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn more_bindings_than_slots_take_none_of_an_identity_that_is_not_granted()
-> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "fill").await?;
    let orders = tenant.shop.identity("orders").await?;
    let names = bind_many(&tenant, "many", SLOTS + 5, &orders).await?;
    for name in &names {
        tenant.is_refused(name).await?;
    }
    assert_unasked(&tenant.shop, "orders").await?;
    assert!(tenant.shop.credentials(&orders).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn older_bindings_without_a_grant_do_not_hold_up_a_granted_one() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let owner = Tenant::new(env, "owner").await?;
    let crowd = Tenant::new(env, "crowd").await?;
    let orders = owner.shop.identity("orders").await?;
    owner.shop.grant_all("it").await?;
    // One slot is left, and all of the crowd is older.
    fill(&owner, &orders, SLOTS - 1).await?;
    let names = bind_many(&crowd, "many", SLOTS + 5, &orders).await?;
    owner.bind_to("orders", orders.resource_id()).await?;
    let ready = owner.shop.ready("orders").await?;
    for name in &names {
        let older = crowd.bindings().get(name).await?;
        assert!(older.creation_timestamp() <= ready.creation_timestamp());
        crowd.is_refused(name).await?;
    }
    assert!(owner.acts_as("orders", &orders).await?);
    crowd.assert_powerless(&names[0], &orders).await
}

#[tokio::test]
async fn a_slot_that_comes_free_goes_to_the_granted_one_that_waits() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let owner = Tenant::new(env, "waits").await?;
    let crowd = Tenant::new(env, "presses").await?;
    let orders = owner.shop.identity("orders").await?;
    owner.shop.grant_all("it").await?;
    fill(&owner, &orders, SLOTS).await?;
    let names = bind_many(&crowd, "many", 5, &orders).await?;
    for name in &names {
        crowd.is_refused(name).await?;
    }
    owner.bind_to("orders", orders.resource_id()).await?;
    owner
        .shop
        .failing("orders", "CredentialReady", "CredentialLimitReached")
        .await?;
    let other = format!(
        "{}/federatedIdentityCredentials/other-0",
        orders.resource_id()
    );
    env.arm().await?.delete(&other).await?;
    owner.shop.ready("orders").await?;
    let puts = owner.shop.operator_requests("PUT", "orders").await?;
    let theirs = owner.shop.credential_name("orders")?;
    assert!(puts.iter().all(|it| it.path.ends_with(&theirs)), "{puts:?}");
    Ok(())
}

#[tokio::test]
async fn a_crowd_whose_grant_goes_gives_its_slots_back() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let owner = Tenant::new(env, "heir").await?;
    let crowd = Tenant::new(env, "leaves").await?;
    let orders = owner.shop.identity("orders").await?;
    owner.shop.grant_all("it").await?;
    let theirs = json!({ "namespaces": { "names": [crowd.shop.name()] } });
    owner.shop.grant("crowd", theirs).await?;
    fill(&owner, &orders, SLOTS - 3).await?;
    let names = bind_many(&crowd, "many", 3, &orders).await?;
    for name in &names {
        crowd.shop.ready(name).await?;
    }
    owner.bind_to("orders", orders.resource_id()).await?;
    owner
        .shop
        .failing("orders", "CredentialReady", "CredentialLimitReached")
        .await?;
    owner.shop.revoke("crowd").await?;
    owner.shop.ready("orders").await?;
    for name in &names {
        let told = crowd
            .shop
            .until(name, "stripped", |it| {
                condition(it, "CredentialReady").is_some_and(|it| it.reason == "Revoked")
            })
            .await?;
        assert!(told.status.unwrap().credentials.is_empty(), "{name}");
        assert!(!crowd.acts_as(name, &orders).await?, "{name}");
    }
    Ok(())
}
