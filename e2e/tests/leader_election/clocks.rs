//! The Lease is held by a process whose wall clock is an hour away.
//!
//! A process with another wall clock cannot be made without tools that a machine need not have. So the test writes the Lease as such
//! a holder would. Clocks that jump are in the unit tests of the operator, on moved clocks.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::interval;

use super::*;

/// How long the other holder renews.
const TERM: Duration = Duration::from_secs(7);

/// Somebody holds the Lease and renews it for a while, by a clock that is so far ahead. Nobody else leads before it has stood
/// unchanged for a lease.
async fn held_by_a_clock(operators: &Operators, ahead: SignedDuration) -> anyhow::Result<()> {
    let by_its_clock = || MicroTime(Timestamp::now() + ahead);
    let acquired = by_its_clock();
    let mut ticks = interval(RETRY_PERIOD);
    let began = Instant::now();
    while began.elapsed() < TERM {
        ticks.tick().await;
        let spec = json!({
            "holderIdentity": "elsewhere", "leaseDurationSeconds": LEASE_DURATION.as_secs(), "leaseTransitions": 7,
            "acquireTime": acquired, "renewTime": by_its_clock(),
        });
        operators.patch(spec).await?;
        for name in ["one", "two"] {
            // Who led before learns of it at its next renewal.
            let is_over = began.elapsed() > RENEW_DEADLINE + SLACK;
            assert!(!(is_over && operators.leads(name).await?), "{name} leads");
        }
    }
    let last = Instant::now();
    let leader = operators.until_led().await?;
    let took = last.elapsed();
    eprintln!("{leader} led {took:?} after the last renewal by a clock {ahead:#} ahead");
    assert!(took >= LEASE_DURATION - RETRY_PERIOD, "{took:?}");
    assert!(
        took <= LEASE_DURATION + 2 * RETRY_PERIOD + SLACK,
        "{took:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_holder_whose_clock_is_an_hour_away_is_believed_as_long_as_it_renews()
-> anyhow::Result<()> {
    let operators = Operators::start().await?;
    let (shop, _) = settled(&operators, "clocks").await?;
    for hours in [1, -1] {
        held_by_a_clock(&operators, SignedDuration::from_hours(hours)).await?;
        works(&shop, &format!("after-{}", hours + 1)).await?;
    }
    operators.end().await
}
