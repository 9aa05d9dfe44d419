//! A namespace that does its worst, and a newcomer in another one, who does not wait for it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use azure_simulator::control::api::Throttling;
use azwib_e2e::environment::slow_webhook::SlowWebhook;
use azwib_e2e::environment::{Namespace, PATIENCE, condition};
use azwib_e2e::{Environment, EnvironmentOptions, wait};
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::ListParams;

/// Makes so many bindings, each on an identity of its own that does not exist.
async fn bind_to_nobody(shop: &Namespace<'_>, count: usize) -> anyhow::Result<()> {
    let bind = async |number| {
        let identity = shop.identity_id(&format!("nobody-{number:04}"));
        let spec = format!("identity: {{resourceId: {identity}}}");
        shop.bind(&format!("b-{number:04}"), &spec).await
    };
    let bound = stream::iter((0..count).map(bind)).buffer_unordered(8);
    bound.try_collect().await
}

#[tokio::test]
async fn a_namespace_whose_writes_hang_holds_up_no_other() -> anyhow::Result<()> {
    let env = Environment::start(EnvironmentOptions::default()).await?;
    let (slow, shop) = (env.namespace("slow").await?, env.namespace("shop").await?);
    let hangs = Duration::from_secs(28);
    let webhook = SlowWebhook::start(slow.client(), slow.name(), hangs).await?;
    // More than there are workers.
    bind_to_nobody(&slow, 100).await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    // Half of the workers, and what may hang once those that hang have given theirs back.
    let held = webhook.most_held();
    assert!((1..=40).contains(&held), "{held} writes hung at once");
    drop(webhook);
    // Whoever waited comes to its end as well.
    slow.failing("b-0099", "IdentityResolved", "IdentityNotFound")
        .await?;
    Ok(())
}

#[tokio::test]
async fn repeats_of_known_failures_leave_a_newcomer_its_share_of_the_budget() -> anyhow::Result<()>
{
    const CROWD: usize = 200;
    let env = Environment::start(EnvironmentOptions::default()).await?;
    let control = env.control();
    let mut tunables = control.tunables().await?;
    tunables.throttling = Some(Throttling::published(1));
    control.set_tunables(&tunables).await?;
    let (crowd, shop) = (env.namespace("crowd").await?, env.namespace("shop").await?);
    bind_to_nobody(&crowd, CROWD).await?;
    wait::until("a crowd that fails", 3 * PATIENCE, async || {
        let bindings = crowd.bindings().list(&ListParams::default()).await?;
        let failing = bindings.iter().filter(|it| {
            condition(it, "IdentityResolved").is_some_and(|it| it.reason == "IdentityNotFound")
        });
        Ok((failing.count() == CROWD).then_some(()))
    })
    .await?;
    let orders = shop.identity("orders").await?;
    control.clear_log().await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let log = control.requests().await?;
    let reads = log.iter().filter(|it| it.method == "GET");
    let first = reads
        .clone()
        .position(|it| it.path.contains(shop.name()))
        .unwrap();
    // What was under way, and what the budget of two seconds takes.
    assert!(first <= 20, "{first} reads went before the newcomer's");
    let refused = reads.filter(|it| it.status == Some(429)).count();
    assert_eq!(refused, 0, "the crowd's repeats stay below the budget");
    Ok(())
}
