//! How many credentials of one identity the bindings under a grant may use.

use azwib_e2e::environment::condition;
use serde_json::json;

use super::{enforcing, granted};

#[tokio::test]
async fn a_quota_refuses_new_ones_and_lets_the_next_one_in_when_one_goes() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("quota").await?;
    let orders = shop.identity("orders").await?;
    shop.grant("two", json!({ "maxCredentialsPerIdentity": 2 }))
        .await?;
    for name in ["a", "b"] {
        shop.bind_to(name, &orders).await?;
        shop.ready(name).await?;
    }
    shop.bind_to("c", &orders).await?;
    let told = shop.failing("c", "Granted", "GrantQuotaReached").await?;
    assert!(told.message.contains("2 of the 2"), "{}", told.message);
    assert!(
        told.message.contains(&shop.grant_name("two")),
        "{}",
        told.message
    );
    assert!(shop.service_accounts().get_opt("c").await?.is_none());
    // The same account once more takes no more room.
    let id = orders.resource_id();
    shop.bind(
        "a-too",
        &format!("identity: {{resourceId: {id}}}, serviceAccount: {{name: a}}"),
    )
    .await?;
    shop.ready("a-too").await?;
    // Lowered, it takes nothing away, and the grant says that it is above.
    shop.grant("two", json!({ "maxCredentialsPerIdentity": 1 }))
        .await?;
    above_its_quota(&shop, "two", 4).await?;
    for name in ["a", "b"] {
        shop.ready(name).await?;
    }
    shop.grant("two", json!({ "maxCredentialsPerIdentity": 2 }))
        .await?;
    // Who has waited longer gets the room that another leaves.
    shop.bind_to("d", &orders).await?;
    shop.failing("d", "Granted", "GrantQuotaReached").await?;
    shop.unbind("b").await?;
    shop.ready("c").await?;
    shop.failing("d", "Granted", "GrantQuotaReached").await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_grant_for_one_account_makes_room_for_another_that_waits() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("quota-room").await?;
    let orders = shop.identity("orders").await?;
    shop.grant("one", json!({ "maxCredentialsPerIdentity": 1 }))
        .await?;
    shop.bind_to("a", &orders).await?;
    shop.ready("a").await?;
    shop.bind_to("b", &orders).await?;
    shop.failing("b", "Granted", "GrantQuotaReached").await?;
    // From now on the account counts there, and leaves the room of the first grant to the other one.
    let of_a = json!({ "serviceAccounts": { "names": ["a"] } });
    shop.grant("only-a", of_a).await?;
    shop.ready("b").await?;
    shop.ready("a").await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn what_was_left_behind_counts_towards_the_quota() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("quota-left").await?;
    let orders = shop.identity("orders").await?;
    let one = json!({ "maxCredentialsPerIdentity": 1, "allowRetain": true });
    shop.grant("one", one.clone()).await?;
    let id = orders.resource_id();
    shop.bind(
        "a",
        &format!("identity: {{resourceId: {id}}}, deletionPolicy: Retain"),
    )
    .await?;
    shop.ready("a").await?;
    shop.unbind("a").await?;
    shop.bind_to("b", &orders).await?;
    shop.failing("b", "Granted", "GrantQuotaReached").await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    // The grant tells of it as well, where it is above its limit by that.
    let two = json!({ "maxCredentialsPerIdentity": 2, "allowRetain": true });
    shop.grant("one", two).await?;
    shop.ready("b").await?;
    shop.grant("one", one).await?;
    above_its_quota(&shop, "one", 1).await?;
    shop.bind_to("c", &orders).await?;
    shop.failing("c", "Granted", "GrantQuotaReached").await?;
    // Another grant without a quota unites with it.
    shop.grant("all", json!({})).await?;
    let binding = shop.ready("c").await?;
    assert_eq!(granted(&binding).0, "True");
    Ok(())
}

#[tokio::test]
async fn the_operators_own_identity_and_namespace_are_never_bound() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("reserved").await?;
    let subscription = format!("/subscriptions/{}", env.simulator.subscription());
    shop.grant("all", json!({ "identities": [{ "scope": subscription }] }))
        .await?;
    let own = env.operator_identity_id();
    env.grant_operator(own).await?;
    shop.bind("orders", &format!("identity: {{resourceId: {own}}}"))
        .await?;
    let told = shop.failing("orders", "Granted", "Reserved").await?;
    assert!(told.message.contains("operator's own"), "{}", told.message);
    let binding = shop.bindings().get("orders").await?;
    assert!(condition(&binding, "Stalled").is_some());
    assert!(shop.service_accounts().get_opt("orders").await?.is_none());
    let writes = env.control().requests().await?;
    let written = writes.iter().any(|it| {
        it.method == "PUT"
            && it
                .path
                .to_ascii_lowercase()
                .starts_with(&own.to_ascii_lowercase())
            && it.caller == Some(env.operator_client_id())
    });
    assert!(!written);
    // Its namespace, with an identity that is granted to all of it.
    let system = env.existing_namespace("azwib-system").await?;
    let orders = shop.identity("orders").await?;
    let spec = json!({ "namespaces": { "names": [system.name()] } });
    shop.grant("system", spec).await?;
    system.bind_to("orders", &orders).await?;
    let told = system.failing("orders", "Granted", "Reserved").await?;
    assert!(told.message.contains("azwib-system"), "{}", told.message);
    assert_eq!(shop.asked_of_azure("orders").await?, Vec::<String>::new());
    system.unbind("orders").await?;
    Ok(())
}

/// Waits until the grant says that more is used than it allows.
async fn above_its_quota(
    shop: &azwib_e2e::environment::Namespace<'_>,
    purpose: &str,
    bindings: i32,
) -> anyhow::Result<()> {
    shop.grant_until(purpose, "above its quota", |status| {
        let ready = &status.conditions[0];
        ready.status == "False" && ready.reason == "AboveQuota" && status.bindings == Some(bindings)
    })
    .await
}
