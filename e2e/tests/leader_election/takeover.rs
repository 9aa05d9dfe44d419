//! The leader ends, or stands still, and the other one takes over.

use azure_simulator::control::api::When;

use super::*;

/// What a leader that has crashed leaves: its last renewal is up to a retry period old, and the other one tries up to one later.
fn after_a_crash() -> Duration {
    LEASE_DURATION + 2 * RETRY_PERIOD
}

#[tokio::test]
async fn one_that_waits_is_ready_and_asks_azure_nothing() -> anyhow::Result<()> {
    let operators = Operators::start().await?;
    let (shop, _) = settled(&operators, "waits").await?;
    assert!(operators.leads("one").await?);
    assert!(!operators.leads("two").await?);
    let scrape = operators.of("two").metrics().await?;
    for absent in ["azwib_bindings{", "controller_runtime_", "azure_"] {
        assert!(!scrape.contains(absent), "{absent} in {scrape}");
    }
    assert!(
        operators
            .of("one")
            .metrics()
            .await?
            .contains("azwib_bindings{")
    );
    assert_eq!(shop.operator_writes("orders").await?, 1);
    operators.end().await
}

#[tokio::test]
async fn after_a_crash_of_the_leader_the_other_takes_over() -> anyhow::Result<()> {
    let mut operators = Operators::start().await?;
    let (shop, _) = settled(&operators, "crash").await?;
    let transitions = operators.spec().await?.lease_transitions;
    operators.kill("one").await?;
    let took = operators.until_led_by("two").await?;
    eprintln!("takeover after a crash: {took:?}");
    assert!(took <= after_a_crash() + SLACK, "{took:?}");
    works(&shop, "later").await?;
    let now = operators.spec().await?.lease_transitions;
    assert_eq!(now, transitions.map(|it| it.saturating_add(1)));
    operators.end().await
}

#[tokio::test]
async fn a_leader_that_is_told_to_stop_gives_the_lease_back() -> anyhow::Result<()> {
    let mut operators = Operators::start().await?;
    let (shop, _) = settled(&operators, "stop").await?;
    assert_eq!(operators.stop("one").await?, Exit::Code(0));
    let took = operators.until_led_by("two").await?;
    eprintln!("takeover after a clean stop: {took:?}");
    assert!(took <= SLACK, "{took:?}");
    works(&shop, "later").await?;
    operators.end().await
}

#[tokio::test]
async fn a_leader_that_stood_still_for_a_lease_writes_nothing_and_waits() -> anyhow::Result<()> {
    let mut operators = Operators::start().await?;
    let (shop, _) = settled(&operators, "frozen").await?;
    signal(operators.of("one"), Signal::STOP)?;
    operators.until_led_by("two").await?;
    works(&shop, "meanwhile").await?;
    let frozen = operators.of("one");
    signal(frozen, Signal::CONT)?;
    frozen.logs("this process does not lead any more").await?;
    works(&shop, "later").await?;
    assert_eq!(frozen.exit(), None, "it goes back to waiting");
    // And it can lead again.
    assert_eq!(operators.stop("two").await?, Exit::Code(0));
    operators.until_led_by("one").await?;
    works(&shop, "last").await?;
    operators.end().await
}

#[tokio::test]
async fn a_second_signal_ends_at_once() -> anyhow::Result<()> {
    let mut operators = Operators::start().await?;
    let (shop, _) = settled(&operators, "signals").await?;
    let (put, identity) = (
        shop.hold("PUT", "held", When::BeforeEffect).await?,
        shop.identity("held").await?,
    );
    shop.bind_to("held", &identity).await?;
    put.reached().await?;
    let one = operators.of("one");
    signal(one, Signal::TERM)?;
    one.logs("finishing what is under way").await?;
    signal(one, Signal::TERM)?;
    let exit = one.wait_exit().await?;
    assert_eq!(exit, Exit::Code(1), "{}", one.log_tail());
    operators.running.remove("one");
    // Nobody waits for its answer any more.
    drop(put);
    operators.until_led_by("two").await?;
    shop.ready("held").await?;
    operators.end().await
}
