//! The leader alone does not reach the API server. Azure it does reach.

use azure_simulator::control::api::When;
use azwib_e2e::api_proxy::Cut;

use super::operators::LONG;
use super::*;

/// While a PUT is under way the network of the leader goes, and another binding of the same identity waits for its turn. Whoever
/// is left alone writes nothing more, and the other leads.
async fn without_the_api_server(how: Cut, purpose: &str) -> anyhow::Result<()> {
    let operators = Operators::behind_proxies().await?;
    let (shop, orders) = settled(&operators, purpose).await?;
    let put = shop.hold("PUT", "orders", When::BeforeEffect).await?;
    shop.bind_to("first", &orders).await?;
    put.reached().await?;
    shop.bind_to("second", &orders).await?;
    let began = Instant::now();
    operators.proxy("one").cut(how);
    put.release().await?;
    let one = operators.of("one");
    one.logs("this process does not lead any more").await?;
    eprintln!("it stopped after {:?}", began.elapsed());
    operators.until_led_by("two").await?;
    eprintln!("the other led after {:?}", began.elapsed());
    for name in ["first", "second"] {
        shop.ready(name).await?;
    }
    assert_eq!(shop.operator_writes("orders").await?, 3);
    works_beside(&shop, "meanwhile", 3).await?;
    assert_eq!(one.exit(), None, "it waits: {}", one.log_tail());

    // It sees the Lease again, and leaves it to the other.
    let before = operators.spec().await?.lease_transitions;
    operators.proxy("one").mend();
    one.probe_until("/readyz", 200, "ok").await?;
    works_beside(&shop, "mended", 3).await?;
    assert!(!operators.leads("one").await?);
    assert_eq!(operators.spec().await?.lease_transitions, before);
    let mut operators = operators;
    assert_eq!(operators.stop("two").await?, Exit::Code(0));
    operators.until_led_by("one").await?;
    works_beside(&shop, "last", 3).await?;
    operators.end().await
}

#[tokio::test]
async fn a_leader_whose_connections_end_stops_and_the_other_leads() -> anyhow::Result<()> {
    without_the_api_server(Cut::Refused, "refused").await
}

#[tokio::test]
async fn a_leader_whose_connections_fall_silent_stops_and_the_other_leads() -> anyhow::Result<()> {
    without_the_api_server(Cut::Silent, "silent").await
}

/// A DELETE needs nothing of the API server: no record goes before it. So nothing but the claim keeps this one back.
#[tokio::test]
async fn a_deletion_whose_turn_comes_after_the_claim_is_left_to_the_other() -> anyhow::Result<()> {
    let operators = Operators::start_with(Options {
        proxies: true,
        requests: Some(LONG),
        ..Options::default()
    })
    .await?;
    let (shop, orders, delete) = with_a_deletion_under_way(&operators, "deletions", &BOTH).await?;
    operators.proxy("one").cut(Cut::Silent);
    let one = operators.of("one");
    one.logs("the lease was not renewed in time").await?;
    delete.release().await?;
    operators.until_led_by("two").await?;
    for name in BOTH {
        shop.until_gone(name).await?;
    }
    assert_eq!(deleted(&shop, "orders").await?, 2);
    let of_one = operators.writes_of("one", &shop, "orders").await?;
    assert_eq!(of_one.len(), 4, "three PUTs and the first DELETE");
    let credentials = shop.credentials(&orders).await?;
    assert_eq!(credentials.len(), 1, "that of `orders` itself");
    operators.proxy("one").mend();
    one.logs("this process does not lead any more").await?;
    assert_eq!(one.exit(), None, "{}", one.log_tail());
    operators.end().await
}
