//! A grant goes, and with it what it had given: not at once, and not for good.

use std::time::{Duration, Instant};

use azwib_e2e::Environment;
use azwib_e2e::environment::{Namespace, condition};
use azwib_e2e::wait::{self, PATIENCE};
use serde_json::json;

use super::{carried, enforcing, granted, options, version};

#[tokio::test]
async fn a_grant_that_is_applied_again_costs_its_bindings_nothing() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("again").await?;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    shop.revoke("it").await?;
    shop.grant_all("it").await?;
    shop.further_listings("orders", 3).await?;
    let same = shop.bindings().get("orders").await?;
    assert_eq!(version(&same), version(&binding));
    Ok(())
}

#[tokio::test]
async fn what_a_grant_gave_is_announced_first_then_taken_away_and_comes_back_with_it()
-> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("revoked").await?;
    let orders = shop.identity("orders").await?;
    shop.grant("it", json!({ "allowRetain": true })).await?;
    // Neither its policy nor that it is suspended keeps anything.
    shop.bind(
        "orders",
        &format!(
            "identity: {{resourceId: {}}}, deletionPolicy: Retain",
            orders.resource_id()
        ),
    )
    .await?;
    shop.ready("orders").await?;
    let suspended = shop.change("orders", json!({ "suspend": true })).await?;
    shop.revoke("it").await?;
    let versions = shop
        .versions_until(&suspended, "stripped", |it| {
            condition(it, "CredentialReady").is_some_and(|it| it.reason == "Revoked")
        })
        .await?;
    // First it is told, with everything in place.
    let announced = versions.iter().find(|it| granted(it).1 == "NotGranted");
    let announced = announced.unwrap();
    assert_eq!(condition(announced, "Ready").unwrap().reason, "NotGranted");
    assert_eq!(
        condition(announced, "CredentialReady").unwrap().status,
        "True"
    );
    assert!(
        granted(announced).2.contains("taken away at"),
        "{:?}",
        granted(announced)
    );
    // Then it is gone, and the account stays without its annotations.
    let stripped = versions.last().unwrap();
    assert!(stripped.status.as_ref().unwrap().credentials.is_empty());
    assert!(
        granted(stripped).2.contains("was taken away"),
        "{:?}",
        granted(stripped)
    );
    assert!(shop.credentials(&orders).await?.is_empty());
    assert_eq!(carried(&shop).await?, Some(String::new()));
    shop.change("orders", json!({ "suspend": false })).await?;
    shop.grant_all("it").await?;
    shop.ready("orders").await?;
    assert_eq!(carried(&shop).await?, Some(orders.client_id()));
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    Ok(())
}

/// While no operator runs, the time that was announced goes on.
#[tokio::test]
async fn a_restart_does_not_prolong_the_grace() -> anyhow::Result<()> {
    const GRACE: Duration = Duration::from_secs(20);
    let mut options = options(Some("enforce"));
    let flags = &mut options.operator_flags;
    flags.retain(|it| !it.starts_with("--revocation-grace"));
    flags.push(format!("--revocation-grace={}s", GRACE.as_secs()));
    let env = Environment::start(options).await?;
    let shop = env.namespace("restarted").await?;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    shop.revoke("it").await?;
    let told = shop
        .until("orders", "told", |it| granted(it).1 == "NotGranted")
        .await?;
    env.stop_operator().await?;
    tokio::time::sleep(GRACE * 3 / 4).await;
    let restarted = Instant::now();
    env.start_operator().await?;
    let stripped = shop
        .until("orders", "stripped", |it| {
            condition(it, "CredentialReady").is_some_and(|it| it.reason == "Revoked")
        })
        .await?;
    assert!(restarted.elapsed() < GRACE);
    let since = |it| {
        condition(it, "Granted")
            .unwrap()
            .last_transition_time
            .clone()
    };
    assert_eq!(since(&stripped), since(&told));
    assert!(shop.credentials(&orders).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn nothing_is_repaired_for_a_binding_whose_grant_is_gone() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("unrepaired").await?;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    shop.revoke("it").await?;
    // Within the seconds in which nothing is said yet.
    let arm = env.arm().await?;
    let name = shop.credential_name("orders")?;
    let id = orders.resource_id();
    arm.delete(&format!("{id}/federatedIdentityCredentials/{name}"))
        .await?;
    shop.failing("orders", "Ready", "NotGranted").await?;
    stripped(&shop).await?;
    let writes = shop.operator_requests("PUT", "orders").await?;
    assert_eq!(writes.len(), 1, "only the first one: {writes:?}");
    Ok(())
}

#[tokio::test]
async fn whoever_competes_for_the_account_of_a_revoked_binding_waits_for_the_end_of_its_grace()
-> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("competing").await?;
    let (orders, rival) = (
        shop.identity("orders").await?,
        shop.identity("rival").await?,
    );
    for (name, identity) in [("orders", &orders), ("rival", &rival)] {
        let scope = json!([{ "scope": identity.resource_id() }]);
        shop.grant(name, json!({ "identities": scope })).await?;
        let id = identity.resource_id();
        let spec = format!("identity: {{resourceId: {id}}}, serviceAccount: {{name: orders}}");
        shop.bind(name, &spec).await?;
        if name == "orders" {
            shop.ready(name).await?;
        }
    }
    shop.failing("rival", "Ready", "ServiceAccountConflict")
        .await?;
    shop.revoke("orders").await?;
    shop.until("orders", "told", |it| granted(it).1 == "NotGranted")
        .await?;
    assert_eq!(carried(&shop).await?, Some(orders.client_id()));
    let rivals = shop.bindings().get("rival").await?;
    let why = condition(&rivals, "Ready").unwrap().reason.clone();
    assert_eq!(why, "ServiceAccountConflict");
    shop.until("orders", "stripped", |it| {
        condition(it, "ServiceAccountReady").is_some_and(|it| it.reason == "Revoked")
    })
    .await?;
    shop.ready("rival").await?;
    assert_eq!(carried(&shop).await?, Some(rival.client_id()));
    assert!(shop.credentials(&orders).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn two_equal_bindings_that_are_revoked_together_pass_nothing_on() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("equal").await?;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    for name in ["orders", "orders-too"] {
        let id = orders.resource_id();
        let spec = format!("identity: {{resourceId: {id}}}, serviceAccount: {{name: orders}}");
        shop.bind(name, &spec).await?;
        shop.ready(name).await?;
    }
    shop.revoke("it").await?;
    for name in ["orders", "orders-too"] {
        shop.until(name, "stripped", |it| {
            condition(it, "CredentialReady").is_some_and(|it| it.reason == "Revoked")
        })
        .await?;
    }
    stripped(&shop).await?;
    assert!(shop.credentials(&orders).await?.is_empty());
    // One goes, and the other gets nothing of it.
    shop.unbind("orders").await?;
    shop.failing("orders-too", "Ready", "NotGranted").await?;
    assert!(shop.credentials(&orders).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_adopted_credential_is_left_and_how_to_end_its_access_is_told() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("adopted").await?;
    let orders = shop.identity("orders").await?;
    let subject = format!("system:serviceaccount:{}:orders", shop.name());
    let arm = env.arm().await?;
    arm.put_credential(
        orders.resource_id(),
        "by-terraform",
        env.issuer(),
        &subject,
        "api://AzureADTokenExchange",
    )
    .await?;
    shop.grant_all("it").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    shop.revoke("it").await?;
    let left = shop
        .until("orders", "stripped", |it| {
            condition(it, "ServiceAccountReady").is_some_and(|it| it.reason == "Revoked")
        })
        .await?;
    let told = granted(&left).2;
    assert!(
        told.contains("az identity federated-credential delete"),
        "{told}"
    );
    assert!(told.contains("by-terraform"), "{told}");
    let event = shop.event("AccessRemains").await?;
    let names_both =
        event.contains("by-terraform") && event.contains("az identity federated-credential delete");
    assert!(names_both, "{event}");
    env.until_metric("azwib_bindings_with_access_without_grant", |it| it >= 1.0)
        .await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    assert_eq!(carried(&shop).await?, Some(String::new()));
    Ok(())
}

/// Waits until the account carries nothing of ours.
async fn stripped(shop: &Namespace<'_>) -> anyhow::Result<()> {
    wait::until(
        "the account to be without annotations",
        PATIENCE,
        async || Ok((carried(shop).await? == Some(String::new())).then_some(())),
    )
    .await
}
