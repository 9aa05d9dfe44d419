//! Somebody who changes an account again and again.

use std::time::{Duration, Instant};

use azwib_e2e::Environment;
use azwib_e2e::environment::{Namespace, annotation, condition, observed};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tokio::time::sleep;

use crate::{CLIENT_ID, EXPIRATION};

/// How long somebody fights.
const FIGHT: Duration = Duration::from_secs(12);

/// Longer than a contest stays a contest once it is over.
const RECOVERY: Duration = Duration::from_secs(120);

/// Until the binding is Ready again, which takes longer than most things do.
async fn recovered(shop: &Namespace<'_>, name: &str) -> anyhow::Result<()> {
    let bindings = shop.bindings();
    azwib_e2e::wait::until("the binding to be Ready again", RECOVERY, async || {
        let binding = bindings.get(name).await?;
        let ready = condition(&binding, "Ready").is_some_and(|it| it.status == "True");
        Ok((ready && observed(&binding)).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_fight_over_an_annotation_slows_down_says_who_and_ends_by_itself() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("contest").await?;
    let (orders, ledger) = (
        shop.identity("orders").await?,
        shop.identity("ledger").await?,
    );
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let spec = format!(
        "identity: {{resourceId: {}}}, serviceAccount: {{name: orders, role: Additional}}",
        ledger.resource_id()
    );
    shop.bind("more", &spec).await?;
    shop.ready("more").await?;

    let accounts = shop.service_accounts();
    let by_hand = PatchParams {
        field_manager: Some("tuner".to_owned()),
        ..PatchParams::default()
    };
    let (mut edits, mut repairs) = (0, 0);
    let begin = Instant::now();
    while begin.elapsed() < FIGHT {
        let edit =
            json!({ "metadata": { "annotations": { EXPIRATION: (4000 + edits).to_string() } } });
        accounts
            .patch("orders", &by_hand, &Patch::Merge(edit))
            .await?;
        edits += 1;
        sleep(Duration::from_millis(20)).await;
        let account = accounts.get("orders").await?;
        if annotation(&account, EXPIRATION) == Some("3600") {
            repairs += 1;
        }
    }
    assert!(edits > 40, "{edits} edits");
    // How many are seen before the next edit depends on the machine's pace; that they are few does not.
    assert!(
        (1..=7).contains(&repairs),
        "{repairs} repairs of {edits} edits"
    );
    let step = "ServiceAccountReady";
    let conflict = shop
        .failing("orders", step, "ServiceAccountConflict")
        .await?;
    assert!(conflict.message.contains("\"tuner\""), "{conflict:?}");
    assert!(conflict.message.contains(EXPIRATION), "{conflict:?}");
    // An additional identity needs none of the annotations.
    let more = shop.bindings().get("more").await?;
    assert_eq!(condition(&more, "Ready").unwrap().status, "True");

    recovered(&shop, "orders").await?;
    let account = accounts.get("orders").await?;
    assert_eq!(annotation(&account, EXPIRATION), Some("3600"));
    Ok(())
}

#[tokio::test]
async fn an_account_that_is_deleted_again_and_again_is_not_made_again_each_time()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("deleted-in-a-loop").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let accounts = shop.service_accounts();
    let mut deleted = 0;
    let begin = Instant::now();
    while begin.elapsed() < FIGHT {
        if let Some(account) = accounts.get_opt("orders").await? {
            deleted += 1;
            let uid = account.uid();
            accounts.delete("orders", &DeleteParams::default()).await?;
            assert!(uid.is_some());
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!((1..=8).contains(&deleted), "made {deleted} times");
    let step = "ServiceAccountReady";
    shop.failing("orders", step, "ServiceAccountConflict")
        .await?;
    recovered(&shop, "orders").await?;
    let account = accounts.get("orders").await?;
    assert_eq!(annotation(&account, CLIENT_ID), Some(&*orders.client_id()));
    Ok(())
}

#[tokio::test]
async fn a_finalizer_that_is_taken_off_again_and_again_is_put_back_with_a_brake()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("taken-off").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let taken_off = Patch::Merge(json!({ "metadata": { "finalizers": [] } }));
    let begin = Instant::now();
    // Five times in a minute it is put on at once, the first time included, and then every quarter of a minute.
    for _ in 0..6 {
        shop.bindings()
            .patch("orders", &PatchParams::default(), &taken_off)
            .await?;
        shop.until("orders", "with its finalizer", |binding| {
            binding.finalizers() == ["azwib.dev/cleanup"]
        })
        .await?;
    }
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(25), "{took:?}");
    shop.ready("orders").await?;
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}
