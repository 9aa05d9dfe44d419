//! Renewals of the leader that take long, or never end. Everything else of it goes through.

use azure_simulator::control::api::When;
use azwib_e2e::api_proxy::Slow;

use super::*;

#[tokio::test]
async fn one_renewal_that_hangs_costs_nothing() -> anyhow::Result<()> {
    let operators = Operators::behind_proxies().await?;
    let (shop, _) = settled(&operators, "renewal").await?;
    let before = operators.spec().await?;
    for when in [When::BeforeEffect, When::AfterEffect] {
        let held = operators.proxy("one").hold(&renewals(), 1, when)?;
        held.reached().await?;
        let since = operators.spec().await?.renew_time;
        until("the next renewal", PATIENCE, async || {
            let renewed = operators.spec().await?.renew_time != since;
            Ok(renewed.then_some(()))
        })
        .await?;
        assert!(held.is_abandoned(), "it is not waited for");
        assert!(operators.leads("one").await?);
    }
    let now = operators.spec().await?;
    assert_eq!(now.lease_transitions, before.lease_transitions);
    assert_eq!(now.acquire_time, before.acquire_time, "the same term");
    works(&shop, "later").await?;
    operators.end().await
}

/// All renewals of the leader are that slow.
async fn renewals_that_are(slow: Slow, purpose: &str) -> anyhow::Result<()> {
    let mut operators = Operators::behind_proxies().await?;
    let (shop, _) = settled(&operators, purpose).await?;
    let began = Instant::now();
    operators.proxy("one").slow_down(&renewals(), slow)?;
    let one = operators.of("one");
    let handed_over = async {
        one.logs("the lease was not renewed in time").await?;
        eprintln!("it stopped after {:?}", began.elapsed());
        operators.until_led_by("two").await?;
        Ok(began.elapsed())
    };
    let took = while_busy(&shop, "busy", handed_over).await?;
    eprintln!("the other led after {took:?}");
    assert!(
        took <= LEASE_DURATION + 2 * RETRY_PERIOD + SLACK,
        "{took:?}"
    );
    assert_eq!(one.exit(), None, "it waits: {}", one.log_tail());
    works(&shop, "meanwhile").await?;

    operators.proxy("one").speed_up();
    assert_eq!(operators.stop("two").await?, Exit::Code(0));
    operators.until_led_by("one").await?;
    works(&shop, "last").await?;
    operators.end().await
}

/// With a lease of 15 s this is a renewal of 12 s.
const TOO_LONG: Duration = Duration::from_millis(2400);

#[tokio::test]
async fn renewals_beyond_the_deadline_end_the_term() -> anyhow::Result<()> {
    let (by, lands) = (TOO_LONG, false);
    renewals_that_are(Slow { by, lands }, "slow-renewals").await
}

#[tokio::test]
async fn renewals_that_hang_end_the_term() -> anyhow::Result<()> {
    renewals_that_are(HANGS, "hung-renewals").await
}

/// The API server carries them out after their caller has given them up, as one does whose etcd is slow. So the Lease changes again
/// and again, and names a process that does not know that it holds it.
#[tokio::test]
async fn renewals_that_land_late_do_not_keep_the_other_from_leading() -> anyhow::Result<()> {
    let (by, lands) = (TOO_LONG, true);
    renewals_that_are(Slow { by, lands }, "late-renewals").await
}
