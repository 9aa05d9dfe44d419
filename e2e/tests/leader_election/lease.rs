//! Somebody changes the Lease by hand.

use azwib_e2e::OperatorOptions;
use kube::api::{DeleteParams, PostParams};

use super::*;

#[tokio::test]
async fn a_lease_that_is_deleted_is_taken_back_by_the_leader() -> anyhow::Result<()> {
    let operators = Operators::start().await?;
    let (shop, _) = settled(&operators, "deleted").await?;
    let before = operators.spec().await?.acquire_time;
    let how = DeleteParams::default();
    operators.leases().delete(LEASE, &how).await?;
    let took = operators.until_led_by("one").await?;
    eprintln!("taken back after {took:?}");
    assert_eq!(
        operators.spec().await?.acquire_time,
        before,
        "the same term"
    );
    works(&shop, "later").await?;
    operators.end().await
}

#[tokio::test]
async fn who_is_not_the_holder_any_more_stops_and_one_of_them_takes_it_later() -> anyhow::Result<()>
{
    let operators = Operators::start().await?;
    let (shop, _) = settled(&operators, "by-hand").await?;
    let foreign =
        json!({ "holderIdentity": "somebody", "renewTime": "2020-01-01T00:00:00.000000Z" });
    operators.patch(foreign).await?;
    let one = operators.of("one");
    one.logs("this process does not lead any more").await?;
    let began = Instant::now();
    let holder = until("somebody to lead", PATIENCE, async || {
        let (one, two) = (operators.leads("one").await?, operators.leads("two").await?);
        assert!(!(one && two), "both lead");
        Ok((one || two).then_some(()))
    });
    holder.await?;
    let took = began.elapsed();
    eprintln!("led again after {took:?}");
    assert!(
        took <= LEASE_DURATION + 2 * RETRY_PERIOD + SLACK,
        "{took:?}"
    );
    works(&shop, "later").await?;
    assert_eq!(one.exit(), None);
    operators.end().await
}

#[tokio::test]
async fn garbage_in_the_lease_keeps_nobody_from_leading() -> anyhow::Result<()> {
    let operators = Operators::start().await?;
    let (shop, _) = settled(&operators, "garbage").await?;
    for (number, garbage) in [
        json!({ "holderIdentity": "", "leaseDurationSeconds": 15 }),
        json!({ "holderIdentity": null, "leaseDurationSeconds": null, "renewTime": null, "acquireTime": null }),
        json!({ "holderIdentity": "x", "leaseTransitions": i32::MAX, "renewTime": "2200-01-01T00:00:00.000000Z" }),
        json!(null),
    ]
    .into_iter()
    .enumerate()
    {
        operators.patch(garbage.clone()).await?;
        let what = format!("somebody to hold the lease after {garbage}");
        until(&what, PATIENCE, async || {
            let holder = operators.spec().await?.holder_identity.unwrap_or_default();
            let is_ours = ["one_", "two_"].iter().any(|it| holder.starts_with(it));
            Ok(is_ours.then_some(()))
        })
        .await?;
        works(&shop, &format!("later-{number}")).await?;
    }
    operators.end().await
}

#[tokio::test]
async fn another_installation_is_told_of_at_the_start() -> anyhow::Result<()> {
    let mut operators = Operators::start().await?;
    settled(&operators, "beside-another").await?;
    let elsewhere = operators.env.namespace("another-azwib").await?;
    let leases: Api<Lease> = Api::namespaced(operators.client.clone(), elsewhere.name());
    let lease = serde_json::from_value(json!({
        "metadata": { "name": LEASE }, "spec": { "holderIdentity": "azwib-operator-of-others" },
    }))?;
    leases.create(&PostParams::default(), &lease).await?;
    operators.kill("two").await?;
    operators.run("two").await?;
    let two = operators.of("two");
    two.logs("another azwib is installed in this cluster")
        .await?;
    two.logs("azwib-operator-of-others").await?;
    operators.end().await
}

/// Somebody turns leader election off while others have it.
#[tokio::test]
async fn one_that_takes_no_part_waits_until_nobody_leads() -> anyhow::Result<()> {
    let mut operators = Operators::start().await?;
    let (shop, _) = settled(&operators, "takes-no-part").await?;
    let env = operators.env;
    let access = env.operator_access().await?;
    operators.leaves_out(&access)?;
    let mut args = env.operator_flags();
    args.extend([
        "--leader-elect=false".to_owned(),
        "--leader-election-namespace=azwib-system".to_owned(),
        "--request-timeout=2s".to_owned(),
    ]);
    let options = OperatorOptions {
        access: Some(access),
        args,
        log_file: Some(env.control_plane.directory().join("takes-no-part.log")),
        ..OperatorOptions::default()
    };
    let alone = OperatorProcess::start(&env.control_plane, options).await?;
    alone
        .logs("this process takes no part in the election")
        .await?;
    works(&shop, "meanwhile").await?;
    let (_, metrics) = (
        alone.probe_until("/readyz", 200, "ok").await?,
        alone.metrics().await?,
    );
    assert!(!metrics.contains("azwib_bindings{"), "it makes no passes");
    operators.kill("two").await?;
    assert_eq!(operators.stop("one").await?, Exit::Code(0));
    works(&shop, "later").await?;
    assert!(alone.metrics().await?.contains("azwib_bindings{"));
    assert_eq!(alone.terminate().await?, Exit::Code(0));
    operators.end().await
}
