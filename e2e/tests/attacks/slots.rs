//! Bindings that no grant covers take no slot of an identity and hold up nobody who is granted; and nobody gets more credentials than
//! the quota of its grant.

use std::collections::BTreeSet;

use azure_simulator::control::api::When;
use azwib_e2e::environment::{ManagedIdentity, PATIENCE, condition};
use azwib_e2e::wait;
use futures::future::try_join_all;
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

/// A tenant whose grant allows so many credentials of an identity.
async fn limited(
    purpose: &str,
    quota: usize,
) -> anyhow::Result<(Tenant<'static>, ManagedIdentity)> {
    let tenant = Tenant::new(enforcing().await?, purpose).await?;
    let orders = tenant.shop.identity("orders").await?;
    let spec = json!({ "maxCredentialsPerIdentity": quota, "allowRetain": true });
    tenant.shop.grant("it", spec).await?;
    Ok((tenant, orders))
}

async fn is_over_quota(tenant: &Tenant<'_>, binding: &str) -> anyhow::Result<()> {
    let shop = &tenant.shop;
    shop.failing(binding, "Granted", "GrantQuotaReached")
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_burst_of_bindings_gets_no_more_than_the_quota() -> anyhow::Result<()> {
    let (tenant, orders) = limited("burst", 3).await?;
    let all: Vec<_> = (0..12).map(|it| format!("many-{it}")).collect();
    let made = all
        .iter()
        .map(|name| tenant.bind_to(name, orders.resource_id()));
    try_join_all(made).await?;
    let is_told = |binding: &_| {
        let is = |type_, reason| condition(binding, type_).is_some_and(|it| it.reason == reason);
        is("Ready", "Succeeded") || is("Granted", "GrantQuotaReached")
    };
    let mut served = 0;
    for name in &all {
        let told = tenant.shop.until(name, "told", is_told).await?;
        served += usize::from(condition(&told, "Ready").unwrap().status == "True");
    }
    assert_eq!(served, 3);
    assert_eq!(tenant.shop.credentials(&orders).await?.len(), 3);
    let puts = tenant.shop.operator_requests("PUT", "orders").await?;
    let paths: BTreeSet<_> = puts.iter().map(|it| &it.path).collect();
    assert_eq!(paths.len(), 3, "{paths:?}");
    Ok(())
}

#[tokio::test]
async fn one_that_goes_counts_until_its_credential_is_gone() -> anyhow::Result<()> {
    let (tenant, orders) = limited("going", 1).await?;
    let shop = &tenant.shop;
    tenant.bind_to("orders", orders.resource_id()).await?;
    shop.ready("orders").await?;
    let held = shop.hold("DELETE", "orders", When::BeforeEffect).await?;
    tenant.delete("orders").await?;
    held.reached().await?;
    tenant.bind_to("next", orders.resource_id()).await?;
    is_over_quota(&tenant, "next").await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    held.release().await?;
    shop.ready("next").await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    tenant.assert_powerless("orders", &orders).await
}

#[tokio::test]
async fn no_other_way_of_asking_gets_around_a_quota() -> anyhow::Result<()> {
    let (tenant, orders) = limited("around", 1).await?;
    let id = orders.resource_id();
    tenant.bind_to("orders", id).await?;
    tenant.shop.ready("orders").await?;
    let rows = [
        (
            "spelling",
            json!({ "identity": { "resourceId": id.to_uppercase() } }),
        ),
        (
            "name",
            json!({ "identity": { "name": "orders", "resourceGroup": tenant.shop.name() } }),
        ),
        (
            "role",
            json!({ "identity": { "resourceId": id }, "serviceAccount": { "role": "Additional" } }),
        ),
        (
            "audience",
            json!({ "identity": { "resourceId": id }, "credential": { "audience": "api://other" } }),
        ),
        (
            "retain",
            json!({ "identity": { "resourceId": id }, "deletionPolicy": "Retain" }),
        ),
    ];
    for (name, spec) in rows {
        tenant.bind(name, spec).await?;
        is_over_quota(&tenant, name).await?;
        tenant.assert_powerless(name, &orders).await?;
    }
    // Nor does it help to leave one's credential behind.
    let retain = json!({ "deletionPolicy": "Retain" });
    let changed = tenant.change("orders", retain).await?;
    tenant
        .shop
        .until("orders", "seen", |it| {
            let seen = it.status.as_ref().map(|it| it.observed_generation);
            seen >= changed.metadata.generation
        })
        .await?;
    tenant.unbind("orders").await?;
    tenant.bind_to("after", id).await?;
    is_over_quota(&tenant, "after").await?;
    assert_eq!(tenant.shop.credentials(&orders).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_quota_that_others_have_used_up_takes_nothing_from_who_has_a_grant_of_its_own()
-> anyhow::Result<()> {
    let env = enforcing().await?;
    let greedy = Tenant::new(env, "greedy").await?;
    let modest = Tenant::new(env, "modest").await?;
    let orders = greedy.shop.identity("orders").await?;
    let both = json!({ "names": [greedy.shop.name(), modest.shop.name()] });
    let shared = json!({ "namespaces": both, "maxCredentialsPerIdentity": 2 });
    greedy.shop.grant("shared", shared).await?;
    let own = json!({ "names": [modest.shop.name()] });
    let own = json!({ "namespaces": own, "maxCredentialsPerIdentity": 1 });
    greedy.shop.grant("own", own).await?;
    bind_many(&greedy, "many", 5, &orders).await?;
    let served = wait::until("both places to be taken", PATIENCE, async || {
        let all = greedy.shop.credentials(&orders).await?;
        Ok((all.len() == 2).then_some(all))
    })
    .await?;
    modest.bind_to("orders", orders.resource_id()).await?;
    modest.shop.ready("orders").await?;
    let all = greedy.shop.credentials(&orders).await?;
    assert_eq!(all.len(), 3);
    assert!(served.iter().all(|it| all.contains(it)));
    modest.bind_to("more", orders.resource_id()).await?;
    is_over_quota(&modest, "more").await
}
