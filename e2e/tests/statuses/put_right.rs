//! A status that somebody else has written over that of a good binding: it is put right, and the binding stays Ready.

use std::time::{Duration, Instant};

use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::Environment;
use azwib_e2e::environment::condition;
use azwib_e2e::environment::interference::service_unavailable;
use kube::ResourceExt;
use serde_json::json;

use super::{a_good_one, never_resyncing, of_other_cluster, put_status, ready, wrong_statuses};

#[tokio::test]
async fn a_status_that_somebody_else_has_written_is_put_right_at_once() -> anyhow::Result<()> {
    let env = never_resyncing().await?;
    let shop = env.namespace("foreign-status").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    let good = json!(binding.status);
    let credentials = json!(binding.status.unwrap().credentials);
    for (what, status) in wrong_statuses(&good) {
        put_status(&shop, status).await?;
        shop.until("orders", what, |binding| {
            ready(binding)
                && binding
                    .status
                    .as_ref()
                    .is_some_and(|it| json!(it.credentials) == credentials)
        })
        .await?;
    }
    assert_eq!(
        shop.operator_writes("orders").await?,
        1,
        "nothing was written to Azure"
    );
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}

#[tokio::test]
async fn a_time_that_is_ahead_takes_ready_from_no_good_binding() -> anyhow::Result<()> {
    let env = never_resyncing().await?;
    let shop = env.namespace("clock-ahead").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let mut status = json!(shop.ready("orders").await?.status);
    let ahead = "2999-01-02T03:04:05Z";
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastTransitionTime"] = json!(ahead);
    }
    put_status(&shop, status).await?;
    let judged = shop
        .until("orders", "with times that can be", |binding| {
            let conditions = binding.status.iter().flat_map(|it| &it.conditions);
            conditions
                .into_iter()
                .all(|it| !json!(it.last_transition_time).to_string().contains("2999"))
        })
        .await?;
    assert!(ready(&judged), "{judged:?}");
    Ok(())
}

#[tokio::test]
async fn an_older_object_that_kubectl_puts_over_the_status_gets_its_record_back_at_once()
-> anyhow::Result<()> {
    let env = never_resyncing().await?;
    let (shop, orders, good) = a_good_one(env, "replaced").await?;
    let mut older = json!(good);
    older["metadata"] = json!({ "name": "orders", "namespace": shop.name() });
    older["status"] = json!({
        "observedGeneration": 1,
        "conditions": [{
            "type": "Ready", "status": "False", "reason": "Creating", "message": "as it was once",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }],
    });
    let file = std::env::temp_dir().join(format!("{}.json", shop.name()));
    std::fs::write(&file, older.to_string())?;
    let path = file.display().to_string();
    let replace = ["replace", "--subresource=status", "-f", path.as_str()];
    env.control_plane.kubectl(&replace).await?;
    std::fs::remove_file(&file)?;
    let uid = good.uid().unwrap();
    env.records
        .note_foreign_status(&uid, older["status"].clone())?;
    let records = |binding: &WorkloadIdentityBinding| json!(binding.status)["credentials"].clone();
    shop.until("orders", "as before", |binding| {
        ready(binding) && records(binding) == records(&good)
    })
    .await?;
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}

#[tokio::test]
async fn who_fights_over_a_status_is_answered_every_quarter_of_a_minute() -> anyhow::Result<()> {
    let env = never_resyncing().await?;
    let (shop, _, good) = a_good_one(env, "fought-over").await?;
    let records = |binding: &WorkloadIdentityBinding| json!(binding.status)["credentials"].clone();
    let began = Instant::now();
    for _ in 0..7 {
        put_status(&shop, json!({ "observedGeneration": -1 })).await?;
        shop.until("orders", "put right", |binding| {
            records(binding) == records(&good)
        })
        .await?;
    }
    // Five answers go at once.
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(25), "{took:?}");
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_foreign_status_takes_ready_from_no_good_binding_while_azure_cannot_be_looked_at()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let (shop, orders, good) = a_good_one(env, "unseen").await?;
    let outage = shop.outage(service_unavailable()).await?;
    shop.event("AzureUnavailable").await?;
    let (_, of_other_issuer) = of_other_cluster(&good, &shop)?;
    let is_own = |binding: &WorkloadIdentityBinding| {
        json!(binding.status)["credentials"] == json!(good.status)["credentials"]
    };
    let mut foreign = wrong_statuses(&json!(good.status));
    foreign.truncate(3);
    foreign.push(("of another issuer", of_other_issuer));
    for (what, status) in foreign {
        let before = shop.bindings().get("orders").await?;
        put_status(&shop, status.clone()).await?;
        let again = |binding: &WorkloadIdentityBinding| ready(binding) && is_own(binding);
        let versions = shop.versions_until(&before, what, again).await?;
        for version in versions {
            // None where it was emptied.
            let reason = condition(&version, "Ready").map_or("", |it| &it.reason);
            assert!(["", "Succeeded"].contains(&reason), "{what}: {reason}");
        }
    }
    outage.end().await?;
    shop.ready("orders").await?;
    assert_eq!(shop.operator_writes("orders").await?, 1);
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}

#[tokio::test]
async fn conditions_of_others_that_fill_the_list_keep_no_binding_from_its_own() -> anyhow::Result<()>
{
    // As many as the schema takes.
    const ALL: usize = 32;
    let env = Environment::without_operator().await?;
    let shop = env.namespace("crowded").await?;
    let orders = shop.identity("orders").await?;
    let of_others: Vec<_> = (0..ALL)
        .map(|number| {
            json!({
                "type": format!("example.com/Other{number}"), "status": "True", "reason": "Seen", "message": "by others",
                "lastTransitionTime": "2026-01-02T03:04:05Z",
            })
        })
        .collect();
    let full =
        |generation: i64| json!({ "observedGeneration": generation, "conditions": of_others });
    shop.bind_to("orders", &orders).await?;
    put_status(&shop, full(-1)).await?;
    let _operator = env.operator_with_other(&[]).await?;
    let stand_first = |binding: &WorkloadIdentityBinding| {
        let conditions = json!(binding.status)["conditions"].clone();
        let others: Vec<_> = conditions
            .as_array()
            .into_iter()
            .flatten()
            .filter(|it| it["type"].as_str().is_some_and(|it| it.contains('/')))
            .cloned()
            .collect();
        assert!(others.len() >= ALL - 8, "{conditions}");
        assert_eq!(others, of_others[..others.len()]);
    };
    stand_first(&shop.ready("orders").await?);
    // Over a status of ours as well.
    put_status(&shop, full(1)).await?;
    stand_first(&shop.ready("orders").await?);
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}
