//! Azure's pace: what is published, and what it says itself.

use azure_simulator::control::api::Throttling;
use azwib_e2e::{Environment, EnvironmentOptions};
use futures::future::try_join_all;

#[tokio::test]
async fn a_burst_on_a_throttled_identity_costs_one_429_and_ends_ready() -> anyhow::Result<()> {
    let env = Environment::start(EnvironmentOptions::default()).await?;
    let shop = env.namespace("throttled").await?;
    let orders = shop.identity("orders").await?;
    let mut tunables = env.control().tunables().await?;
    // Azure refuses what comes before its Retry-After once more: a second 429 would show it.
    tunables.throttling = Some(Throttling::published(1));
    env.control().set_tunables(&tunables).await?;
    let names: Vec<_> = ('a'..).take(4).map(String::from).collect();
    shop.bind_all_to(&names, &orders).await?;
    try_join_all(names.iter().map(|name| shop.ready(name))).await?;
    let puts = shop.operator_requests("PUT", "orders").await?;
    let refused = puts.iter().filter(|put| put.status == Some(429)).count();
    assert!(refused <= 1, "{puts:?}");
    assert_eq!(puts.len() - refused, names.len(), "{puts:?}");
    Ok(())
}
