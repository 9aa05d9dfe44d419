//! More bindings of one ServiceAccount than are served: each change of the account is looked at by all of them, which takes a core
//! for a minute. So they have an operator of their own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use azwib_e2e::Environment;

#[tokio::test]
async fn of_very_many_bindings_of_an_account_the_oldest_hundred_are_served() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("crowded-account").await?;
    let orders = shop.identity("orders").await?;
    let spec = format!(
        "identity: {{resourceId: {}}}, serviceAccount: {{name: orders}}",
        orders.resource_id()
    );
    // Of the same age they stand in the order of their names.
    let name = |number: usize| format!("b-{number:03}");
    for number in 0..102 {
        shop.bind(&name(number), &spec).await?;
    }
    shop.ready(&name(0)).await?;
    shop.ready(&name(99)).await?;
    for number in [100, 101] {
        let refused = shop
            .failing(
                &name(number),
                "ServiceAccountReady",
                "ServiceAccountLimitReached",
            )
            .await?;
        let told = ["more than 100 bindings", "orders", "delete others"];
        assert!(
            told.iter().all(|words| refused.message.contains(words)),
            "{}",
            refused.message
        );
    }
    let account = shop.service_accounts().get("orders").await?;
    let owners = account.metadata.owner_references.unwrap_or_default();
    assert_eq!(owners.len(), 100);

    // Where one of the oldest goes, the next is served, and no other.
    shop.unbind(&name(7)).await?;
    shop.ready(&name(100)).await?;
    shop.failing(
        &name(101),
        "ServiceAccountReady",
        "ServiceAccountLimitReached",
    )
    .await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    Ok(())
}
