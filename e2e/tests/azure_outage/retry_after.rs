//! Azure says when it wants to be asked again, and not every answer can be taken at its word.

use azure_simulator::control::api::FaultAction;
use azwib_e2e::environment::PATIENCE;
use azwib_e2e::{Environment, wait};
use futures::future::try_join_all;
use k8s_openapi::jiff::civil::DateTime;
use k8s_openapi::jiff::tz::TimeZone;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::answer;

#[tokio::test]
async fn azure_asking_to_be_asked_again_at_once_is_not_asked_without_a_pause() -> anyhow::Result<()>
{
    let env = Environment::shared().await?;
    let cases = [
        ("retry-after-zero", "0"),
        ("retry-after-past", "Wed, 21 Oct 2015 07:28:00 GMT"),
        ("retry-after-negative", "-1"),
        ("retry-after-word", "soon"),
    ];
    let each = cases.map(async |(purpose, retry_after)| {
        let shop = env.namespace(purpose).await?;
        let orders = shop.identity("orders").await?;
        let outage = shop
            .outage(FaultAction::Respond {
                status: 429,
                code: "TooManyRequests".to_owned(),
                message: "Slow down.".to_owned(),
                headers: vec![("Retry-After".to_owned(), retry_after.to_owned())],
                body: None,
            })
            .await?;
        shop.bind_to("orders", &orders).await?;
        shop.failing("orders", "IdentityResolved", "Throttled")
            .await?;
        let tries = wait::until("four tries", PATIENCE, async || {
            let tries = shop.operator_requests("GET", "orders").await?;
            Ok((tries.len() >= 4).then_some(tries))
        })
        .await?;
        for pair in tries.windows(2) {
            let apart = pair[1].started.duration_since(pair[0].started);
            assert!(apart >= SignedDuration::from_millis(900), "{apart:?}");
        }
        outage.end().await?;
        // After so many failures the next try may be a minute away: somebody asks for one.
        let asks =
            json!({ "metadata": { "annotations": { "azwib.dev/reconcile-requested-at": "now" } } });
        let bindings = shop.bindings();
        bindings
            .patch("orders", &PatchParams::default(), &Patch::Merge(asks))
            .await?;
        shop.ready("orders").await
    });
    try_join_all(each).await?;
    Ok(())
}

#[tokio::test]
async fn a_wait_of_years_is_told_with_the_time_of_the_next_try() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    for (purpose, retry_after) in [
        ("retry-after-years", "315360000"),
        ("retry-after-2-to-64", "18446744073709551615"),
        ("retry-after-year-9999", "Fri, 31 Dec 9999 23:59:59 GMT"),
    ] {
        let shop = env.namespace(purpose).await?;
        let orders = shop.identity("orders").await?;
        let headers = [("Retry-After", retry_after)];
        let action = answer(429, "TooManyRequests", &headers);
        let outage = shop.outage(action).await?;
        let asked = Timestamp::now();
        shop.bind_to("orders", &orders).await?;
        let first = shop
            .failing("orders", "IdentityResolved", "Throttled")
            .await?;
        let (_, at) = first.message.split_once("is asked again at ").unwrap();
        let at: Timestamp = at[..16]
            .parse::<DateTime>()?
            .to_zoned(TimeZone::UTC)?
            .timestamp();
        let wait = at.duration_since(asked);
        assert!(
            (SignedDuration::from_mins(14)..SignedDuration::from_mins(18)).contains(&wait),
            "{wait:?}: {}",
            first.message
        );
        assert!(
            first.message.contains("Azure's own words"),
            "{}",
            first.message
        );
        // Whoever comes later reads the same.
        shop.bind_to("later", &orders).await?;
        let later = shop
            .failing("later", "IdentityResolved", "Throttled")
            .await?;
        assert!(later.message.contains(" at 2"), "{}", later.message);
        outage.end().await?;
    }
    Ok(())
}
