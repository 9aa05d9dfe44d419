//! The API server is away: nobody can renew the Lease, and nobody can take it.

use tokio::time::sleep;

use super::operators::LONG;
use super::*;

/// What was under way and what waits is done by whoever leads afterwards, and no process has ended.
async fn recovered(operators: Operators, shop: &Namespace<'_>) -> anyhow::Result<()> {
    let began = Instant::now();
    let leader = operators.until_led().await?;
    eprintln!("{leader} led after {:?}", began.elapsed());
    for name in BOTH {
        shop.until_gone(name).await?;
    }
    assert_eq!(deleted(shop, "orders").await?, 2);
    works_beside(shop, "later", shop.operator_writes("orders").await?).await?;
    for (name, operator) in &operators.running {
        assert_eq!(operator.exit(), None, "{name}: {}", operator.log_tail());
    }
    operators.end().await
}

#[tokio::test]
async fn while_the_api_server_is_down_nobody_writes() -> anyhow::Result<()> {
    let operators = Operators::with_requests(LONG).await?;
    let (shop, _, delete) = with_a_deletion_under_way(&operators, "down", &BOTH).await?;
    let control_plane = &operators.env.control_plane;
    control_plane.stop_api_server().await?;
    let one = operators.of("one");
    one.logs("the lease was not renewed in time").await?;
    delete.release().await?;
    one.logs("this process does not lead any more").await?;
    let before = shop.operator_writes("orders").await?;
    // The length of the outage is what is tested: nothing may happen in it, so there is nothing to wait for. Four leases are a
    // minute in production.
    sleep(4 * LEASE_DURATION).await;
    assert_eq!(shop.operator_writes("orders").await?, before);
    for name in ["one", "two"] {
        assert!(!operators.leads(name).await?);
        assert_eq!(operators.of(name).probe("/healthz").await?.0, 200);
    }
    control_plane.start_api_server().await?;
    recovered(operators, &shop).await
}

#[tokio::test]
async fn after_a_restart_of_the_api_server_one_leads() -> anyhow::Result<()> {
    let operators = Operators::with_requests(LONG).await?;
    let (shop, _, delete) = with_a_deletion_under_way(&operators, "restarted", &BOTH).await?;
    let control_plane = &operators.env.control_plane;
    control_plane.stop_api_server().await?;
    control_plane.start_api_server().await?;
    // Where the request was given up meanwhile there is nothing to let go.
    let _ = delete.release().await;
    recovered(operators, &shop).await
}
