//! A rolling update while bindings come and go.

use std::collections::BTreeSet;
use std::pin::pin;

use azwib_crds::WorkloadIdentityBinding;
use futures::TryStreamExt;
use kube::ResourceExt;
use kube::api::DeleteParams;
use kube::runtime::watcher::{self, Event, watcher};

use super::*;

/// Bindings on one identity: more than it takes at once.
const BINDINGS: usize = 30;

/// Of these so many go again: what is left fits.
const DELETED: usize = 12;

/// Each comes and, where it is one of the first, goes once it is Ready.
async fn load(shop: &Namespace<'_>, identity: &ManagedIdentity) -> anyhow::Result<()> {
    let come = async {
        for number in 0..BINDINGS {
            shop.bind_to(&name(number), identity).await?;
        }
        anyhow::Ok(())
    };
    let go = async {
        for number in 0..DELETED {
            let name = name(number);
            until("the binding", PATIENCE, async || {
                Ok(shop.bindings().get_opt(&name).await?.map(drop))
            })
            .await?;
            shop.ready(&name).await?;
            let how = DeleteParams::default();
            shop.bindings().delete(&name, &how).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(come, go)?;
    Ok(())
}

fn name(number: usize) -> String {
    format!("b-{number:02}")
}

/// Follows the bindings for as long as it is polled. Fails where one that was Ready is not Ready any more.
async fn stay_ready(shop: &Namespace<'_>) -> anyhow::Result<()> {
    let mut ready = BTreeSet::new();
    let mut events = pin!(watcher(shop.bindings(), watcher::Config::default()));
    let is_ready = |binding: &WorkloadIdentityBinding| {
        condition(binding, "Ready").is_some_and(|it| it.status == "True")
    };
    while let Some(event) = events.try_next().await? {
        let (Event::Apply(binding) | Event::InitApply(binding)) = event else {
            continue;
        };
        let is_going = binding.metadata.deletion_timestamp.is_some();
        if is_ready(&binding) {
            ready.insert(binding.name_any());
        } else if !is_going && ready.contains(&binding.name_any()) {
            anyhow::bail!(
                "{} was Ready: {}",
                binding.name_any(),
                json!(binding.status)
            );
        }
    }
    anyhow::bail!("the watch has ended")
}

/// Three times a new process starts, and the one that leads is told to stop once the new one is ready.
async fn roll(operators: &mut Operators) -> anyhow::Result<()> {
    let mut spare = "three";
    for _ in 0..3 {
        operators.run(spare).await?;
        let new = operators.of(spare);
        new.probe_until("/readyz", 200, "ok").await?;
        let leader = operators.until_led().await?;
        assert_eq!(operators.stop(leader).await?, Exit::Code(0));
        let began = Instant::now();
        let next = operators.until_led().await?;
        eprintln!("{next} led {:?} after {leader} had ended", began.elapsed());
        spare = leader;
    }
    Ok(())
}

#[tokio::test]
async fn bindings_that_come_and_go_see_nothing_of_a_rolling_update() -> anyhow::Result<()> {
    let mut operators = Operators::start().await?;
    let (shop, _) = settled(&operators, "rollout").await?;
    let crowded = shop.identity("crowded").await?;
    let all = async {
        tokio::try_join!(load(&shop, &crowded), roll(&mut operators))?;
        for number in 0..DELETED {
            shop.until_gone(&name(number)).await?;
        }
        for number in DELETED..BINDINGS {
            shop.ready(&name(number)).await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        failed = stay_ready(&shop) => failed?,
        done = all => done?,
    }
    let puts = shop.operator_requests("PUT", "crowded").await?;
    let names: BTreeSet<_> = puts.iter().map(|it| &it.path).collect();
    assert_eq!((puts.len(), names.len()), (BINDINGS, BINDINGS), "each once");
    // A 21st would have been refused.
    assert!(
        puts.iter()
            .all(|it| it.effective && it.status.is_none_or(|it| it < 300))
    );
    assert_eq!(deleted(&shop, "crowded").await?, DELETED);
    let left = shop.credentials(&crowded).await?.len();
    assert_eq!(left, BINDINGS - DELETED);
    operators.end().await
}
