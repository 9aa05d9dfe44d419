//! Whatever a tenant changes of its binding around a revocation, its policy, its audience or that it is suspended, nothing is
//! written for it any more, and all that it had is taken away.

use anyhow::Context;
use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::{ManagedIdentity, condition};
use futures::future::try_join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::{Tenant, enforcing, stripped};

/// A tenant whose Ready binding has just lost its grant, which allowed `Retain`.
async fn revoked(purpose: &str) -> anyhow::Result<(Tenant<'static>, ManagedIdentity)> {
    let tenant = Tenant::new(enforcing().await?, purpose).await?;
    let orders = tenant.shop.identity("orders").await?;
    let retainable = json!({ "allowRetain": true });
    tenant.shop.grant("it", retainable).await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    tenant.shop.ready("orders").await?;
    assert!(tenant.acts_as("orders", &orders).await?);
    tenant.shop.revoke("it").await?;
    Ok((tenant, orders))
}

/// Nothing is left, and nothing was written but the first credential.
async fn assert_taken(tenant: &Tenant<'_>, orders: &ManagedIdentity) -> anyhow::Result<()> {
    tenant.assert_powerless("orders", orders).await?;
    assert!(tenant.shop.credentials(orders).await?.is_empty());
    let puts = tenant.shop.operator_requests("PUT", "orders").await?;
    assert_eq!(puts.len(), 1, "only the first one: {puts:?}");
    Ok(())
}

/// Since when the binding is as it is with its grant.
fn since(binding: &WorkloadIdentityBinding) -> Time {
    let granted = condition(binding, "Granted").unwrap();
    granted.last_transition_time.clone()
}

/// What a tenant may change while its grant goes.
fn flips() -> [(&'static str, Value); 6] {
    [
        ("suspend", json!({ "suspend": true })),
        ("retain", json!({ "deletionPolicy": "Retain" })),
        (
            "audience",
            json!({ "credential": { "audience": "api://mine" } }),
        ),
        (
            "lifetime",
            json!({ "serviceAccount": { "tokenExpirationSeconds": 7200 } }),
        ),
        ("adoption", json!({ "credential": { "adoption": "Never" } })),
        (
            "role",
            json!({ "serviceAccount": { "role": "Additional" } }),
        ),
    ]
}

/// One of these changes, before or after the revocation is announced.
async fn flip(what: &str, spec: Value, is_announced: bool) -> anyhow::Result<()> {
    let (tenant, orders) = revoked(what).await?;
    if is_announced {
        tenant.is_refused("orders").await?;
    }
    tenant.change("orders", spec).await?;
    stripped(&tenant.shop, "orders").await?;
    assert_taken(&tenant, &orders).await
}

#[tokio::test]
async fn what_is_changed_before_anything_is_said_saves_nothing() -> anyhow::Result<()> {
    let all = flips().map(|(what, spec)| async move {
        let outcome = flip(what, spec, false).await;
        outcome.with_context(|| what.to_owned())
    });
    try_join_all(all).await?;
    Ok(())
}

#[tokio::test]
async fn what_is_changed_during_the_grace_saves_nothing() -> anyhow::Result<()> {
    let all = flips().map(|(what, spec)| async move {
        let outcome = flip(what, spec, true).await;
        outcome.with_context(|| what.to_owned())
    });
    try_join_all(all).await?;
    Ok(())
}

#[tokio::test]
async fn a_binding_that_is_deleted_with_retain_in_the_moment_of_the_revocation_leaves_nothing()
-> anyhow::Result<()> {
    let (tenant, orders) = revoked("retain").await?;
    tenant
        .change("orders", json!({ "deletionPolicy": "Retain" }))
        .await?;
    tenant.unbind("orders").await?;
    assert_taken(&tenant, &orders).await?;

    let (tenant, orders) = revoked("retain-late").await?;
    tenant.is_refused("orders").await?;
    tenant
        .change(
            "orders",
            json!({ "deletionPolicy": "Retain", "suspend": true }),
        )
        .await?;
    tenant.unbind("orders").await?;
    assert_taken(&tenant, &orders).await
}

#[tokio::test]
async fn flipping_to_and_fro_does_not_put_the_end_off() -> anyhow::Result<()> {
    let (tenant, orders) = revoked("to-and-fro").await?;
    let shop = &tenant.shop;
    tenant.is_refused("orders").await?;
    let announced = tenant.bindings().get("orders").await?;
    let began = since(&announced);
    let mut suspend = false;
    loop {
        suspend = !suspend;
        let changed = tenant
            .change("orders", json!({ "suspend": suspend }))
            .await?;
        let seen = shop
            .until("orders", "seen", |it| {
                let status = it.status.as_ref().unwrap();
                Some(status.observed_generation) >= changed.metadata.generation
            })
            .await?;
        assert_eq!(since(&seen), began);
        let is_over = condition(&seen, "CredentialReady").is_some_and(|it| it.reason == "Revoked");
        if is_over {
            break;
        }
    }
    assert_taken(&tenant, &orders).await
}

/// Grants are asked before that: a tenant that is told nothing would wait for the wrong thing.
#[tokio::test]
async fn a_binding_that_is_made_suspended_is_refused_before_and_after() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "asleep").await?;
    let orders = tenant.shop.identity("orders").await?;
    let identity = json!({ "resourceId": orders.resource_id() });
    tenant
        .bind("orders", json!({ "identity": identity, "suspend": true }))
        .await?;
    tenant.is_refused("orders").await?;
    for suspend in [false, true, false] {
        tenant
            .change("orders", json!({ "suspend": suspend }))
            .await?;
        tenant.is_refused("orders").await?;
    }
    tenant.assert_powerless("orders", &orders).await?;
    super::assert_unasked(&tenant.shop, "orders").await
}

#[tokio::test]
async fn another_spelling_of_the_identity_saves_nothing() -> anyhow::Result<()> {
    let (tenant, orders) = revoked("spelling").await?;
    let upper = orders.resource_id().to_uppercase();
    tenant
        .change("orders", json!({ "identity": { "resourceId": upper } }))
        .await?;
    tenant.is_refused("orders").await?;
    let lower = orders.resource_id().to_lowercase();
    tenant
        .change("orders", json!({ "identity": { "resourceId": lower } }))
        .await?;
    stripped(&tenant.shop, "orders").await?;
    assert_taken(&tenant, &orders).await
}
