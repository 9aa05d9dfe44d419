//! How a status moves: Ready goes on two reads only, Stalled comes with time and outlives a restart, and events tell of
//! transitions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::interference::service_unavailable;
use azwib_e2e::environment::{Namespace, PATIENCE, condition, ready_reasons};
use azwib_e2e::{Environment, EnvironmentOptions, wait};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

const STALLED_AFTER: Duration = Duration::from_secs(6);

static TURN: Mutex<()> = Mutex::const_new(());
static ENVIRONMENT: OnceCell<Environment> = OnceCell::const_new();

/// An environment whose operator is soon out of patience, for one test at a time.
async fn impatient() -> anyhow::Result<(&'static Environment, MutexGuard<'static, ()>)> {
    let turn = TURN.lock().await;
    let start = || {
        let mut options = EnvironmentOptions::default();
        let flag = format!("--stalled-after={}s", STALLED_AFTER.as_secs());
        options.operator_flags.push(flag);
        Environment::start(options)
    };
    Ok((ENVIRONMENT.get_or_try_init(start).await?, turn))
}

fn is_stalled(binding: &WorkloadIdentityBinding) -> bool {
    condition(binding, "Stalled").is_some()
}

async fn bind_to_nothing(shop: &Namespace<'_>) -> anyhow::Result<()> {
    let id = shop.identity_id("orders");
    shop.bind("orders", &format!("identity: {{resourceId: {id}}}"))
        .await
}

/// The reasons of the events about the binding, in the order in which they began.
async fn event_reasons(shop: &Namespace<'_>) -> anyhow::Result<Vec<String>> {
    let events: Api<Event> = Api::namespaced(shop.client().clone(), shop.name());
    let mut events = events.list(&ListParams::default()).await?.items;
    events.retain(|event| {
        let about = event.regarding.as_ref();
        about.is_some_and(|about| about.kind.as_deref() == Some("WorkloadIdentityBinding"))
    });
    for event in &events {
        assert_eq!(
            event.series.as_ref().map(|series| series.count),
            None,
            "told again: {event:?}"
        );
    }
    events.sort_by_key(|event| event.event_time.clone().map(|time| time.0));
    Ok(events
        .into_iter()
        .filter_map(|event| event.reason)
        .collect())
}

#[tokio::test]
async fn ready_goes_only_after_a_second_look_at_the_credential_and_at_the_identity()
-> anyhow::Result<()> {
    let (env, _turn) = impatient().await?;
    let shop = env.namespace("two-reads").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let ready = shop.ready("orders").await?;
    let name = shop.credential_name("orders")?;
    let removed = Timestamp::now();
    let path = format!(
        "{}/federatedIdentityCredentials/{name}",
        orders.resource_id()
    );
    env.arm().await?.delete(&path).await?;
    let versions = shop
        .versions_until(&ready, "Ready again", |binding| {
            condition(binding, "Ready").unwrap().status == "True"
        })
        .await?;
    assert_eq!(
        ready_reasons(&versions),
        ["Creating", "Propagating", "Succeeded"]
    );

    // What the operator asked from the first listing that lacks the credential to the PUT that restores it.
    let put = shop
        .operator_requests("PUT", "orders")
        .await?
        .pop()
        .unwrap();
    let reads = shop.operator_requests("GET", "orders").await?;
    let reads: Vec<_> = reads
        .iter()
        .filter(|read| read.started > removed && read.started < put.started)
        .map(|read| read.operation.as_str())
        .collect();
    let list = "FederatedIdentityCredentials_List";
    let first = reads.iter().position(|read| *read == list).unwrap();
    assert_eq!(reads[first..], [list, "UserAssignedIdentities_Get", list]);
    Ok(())
}

#[tokio::test]
async fn a_reason_that_something_else_can_cure_is_stalled_after_its_time_and_not_before()
-> anyhow::Result<()> {
    let (env, _turn) = impatient().await?;
    let shop = env.namespace("stalls").await?;
    bind_to_nothing(&shop).await?;
    let first = shop.until("orders", "not found", |binding| {
        condition(binding, "Ready").is_some_and(|ready| ready.reason == "IdentityNotFound")
    });
    let first = first.await?;
    assert_eq!(
        condition(&first, "Reconciling").unwrap().reason,
        "IdentityNotFound"
    );
    let stalled = shop.until("orders", "stalled", is_stalled).await?;
    let ready = condition(&stalled, "Ready").unwrap();
    let stalled = condition(&stalled, "Stalled").unwrap();
    assert_eq!(
        (&stalled.reason, &stalled.message),
        (&ready.reason, &ready.message)
    );
    // Times in a status are whole seconds.
    let since = stalled
        .last_transition_time
        .0
        .duration_since(ready.last_transition_time.0);
    let since = Duration::try_from(since)?;
    assert!(since + Duration::from_secs(1) >= STALLED_AFTER, "{since:?}");

    shop.identity("orders").await?;
    let cured = shop.ready("orders").await?;
    assert!(!is_stalled(&cured));
    Ok(())
}

/// Which of the two a version says, and of which generation it speaks.
fn conduct(binding: &WorkloadIdentityBinding) -> &'static str {
    match (is_stalled(binding), condition(binding, "Reconciling")) {
        (true, None) => "Stalled",
        (false, Some(_)) => "Reconciling",
        _ => "neither",
    }
}

#[tokio::test]
async fn a_start_takes_stalled_off_for_its_first_look_and_says_it_again_while_the_reason_stands()
-> anyhow::Result<()> {
    let (env, _turn) = impatient().await?;
    let shop = env.namespace("stalled-restart").await?;
    bind_to_nothing(&shop).await?;
    let stalled = shop.until("orders", "stalled", is_stalled).await?;
    let looks = async || anyhow::Ok(shop.operator_requests("GET", "orders").await?.len());
    env.kill_operator().await?;
    let before = looks().await?;
    env.start_operator().await?;
    let versions = shop
        .versions_until(&stalled, "stalled again", is_stalled)
        .await?;
    let said: Vec<_> = versions.iter().map(conduct).collect();
    assert_eq!(said, ["Reconciling", "Stalled"]);
    assert_eq!(looks().await?, before + 1);
    // Its second look begins after all that followed from the first.
    wait::until("another look", PATIENCE, async || {
        Ok((looks().await? > before + 1).then_some(()))
    })
    .await?;
    let after = shop.bindings().get("orders").await?;
    let last = versions.last().unwrap();
    assert_eq!(after.resource_version(), last.resource_version());
    Ok(())
}

#[tokio::test]
async fn stalled_is_taken_off_before_a_look_that_somebody_asked_for() -> anyhow::Result<()> {
    let (env, _turn) = impatient().await?;
    let shop = env.namespace("stalled-asked").await?;
    bind_to_nothing(&shop).await?;
    shop.until("orders", "stalled", is_stalled).await?;
    shop.identity("orders").await?;
    let annotation =
        json!({"metadata": {"annotations": {"azwib.dev/reconcile-requested-at": "1"}}});
    let patch = Patch::Merge(annotation);
    let asked = shop
        .bindings()
        .patch("orders", &PatchParams::default(), &patch)
        .await?;
    let ready = |binding: &WorkloadIdentityBinding| {
        condition(binding, "Ready").is_some_and(|ready| ready.status == "True")
    };
    let versions = shop.versions_until(&asked, "Ready", ready).await?;
    assert_eq!(conduct(&versions[0]), "Reconciling");
    assert!(!versions.iter().any(is_stalled), "{versions:?}");

    // A new spec asks as well, and a reason that still stands is given its time anew.
    env.arm().await?.delete(&shop.identity_id("orders")).await?;
    shop.until("orders", "stalled", is_stalled).await?;
    let longer = json!({ "serviceAccount": { "tokenExpirationSeconds": 7200 } });
    let changed = shop.change("orders", longer).await?;
    let versions = shop
        .versions_until(&changed, "stalled again", is_stalled)
        .await?;
    assert_eq!(conduct(&versions[0]), "Reconciling");
    Ok(())
}

#[tokio::test]
async fn events_tell_of_transitions_only() -> anyhow::Result<()> {
    let (env, _turn) = impatient().await?;
    let shop = env.namespace("events").await?;
    bind_to_nothing(&shop).await?;
    // It fails again and again for the same reason.
    let looks = async || anyhow::Ok(shop.operator_requests("GET", "orders").await?.len());
    wait::until("a second look at the identity", PATIENCE, async || {
        Ok((looks().await? >= 2).then_some(()))
    })
    .await?;
    assert_eq!(event_reasons(&shop).await?, ["IdentityNotFound"]);
    shop.identity("orders").await?;
    shop.ready("orders").await?;
    let told = wait::until("the event of success", PATIENCE, async || {
        let reasons = event_reasons(&shop).await?;
        Ok(reasons.contains(&"Succeeded".to_owned()).then_some(reasons))
    })
    .await?;
    // A steady state tells nothing.
    shop.further_listings("orders", 3).await?;
    assert_eq!(event_reasons(&shop).await?, told);
    assert_eq!(told, ["IdentityNotFound", "Propagating", "Succeeded"]);
    Ok(())
}

#[tokio::test]
async fn a_full_identity_is_not_stalled_while_one_of_our_own_deletions_on_it_is_pending()
-> anyhow::Result<()> {
    let (env, _turn) = impatient().await?;
    let shop = env.namespace("pending").await?;
    let shared = shop.identity("shared").await?;
    let (arm, id) = (env.arm().await?, shared.resource_id());
    for number in 0..19 {
        let (name, subject) = (format!("foreign-{number}"), format!("repo:{number}"));
        let issuer = "https://token.actions.example";
        arm.put_credential(id, &name, issuer, &subject, "api://other")
            .await?;
    }
    shop.bind_to("leaving", &shared).await?;
    shop.ready("leaving").await?;
    let deletes = shop.requests_to("DELETE", "shared");
    let outage = env.outage(deletes, service_unavailable()).await?;
    shop.bindings()
        .delete("leaving", &DeleteParams::default())
        .await?;
    shop.bind_to("orders", &shared).await?;
    shop.failing("orders", "CredentialReady", "CredentialLimitReached")
        .await?;
    let waiting = shop.bindings().get("orders").await?;
    let since = condition(&waiting, "Ready").unwrap().last_transition_time.0;
    wait::until("twice the operator's patience", PATIENCE, async || {
        let passed = Duration::try_from(Timestamp::now().duration_since(since))?;
        Ok((passed > 2 * STALLED_AFTER).then_some(()))
    })
    .await?;
    let still = shop.bindings().get("orders").await?;
    assert_eq!(
        condition(&still, "Reconciling").unwrap().reason,
        "CredentialLimitReached"
    );
    assert!(!is_stalled(&still));
    outage.end().await?;
    shop.until_gone("leaving").await?;
    shop.ready("orders").await?;
    Ok(())
}
