//! Writes whose answer is lost, and writes for bindings that have changed meanwhile: nothing is written on a guess.
//!
//! Tests that end the operator have an environment for themselves, in turns.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use azure_simulator::control::api::{Fault, FaultAction, RequestRecord, When};
use azwib_crds::CredentialOrigin;
use azwib_e2e::environment::{ManagedIdentity, Namespace, PATIENCE, condition, observed};
use azwib_e2e::{Environment, EnvironmentOptions, OperatorProcess, wait};
use k8s_openapi::jiff::Timestamp;
use kube::api::DeleteParams;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

const AUDIENCE: &str = "api://AzureADTokenExchange";

/// Much longer than an operator takes to start and to write, even on a loaded machine.
const SETTLE_TIME: Duration = Duration::from_secs(12);

/// What the operator of [`Environment::shared`] runs with.
const SHORT_SETTLE_TIME: Duration = Duration::from_secs(2);

static TURN: Mutex<()> = Mutex::const_new(());
static RESTARTED: OnceCell<Environment> = OnceCell::const_new();

/// An environment whose operator each test starts for itself, for one test at a time.
async fn restarted() -> anyhow::Result<(&'static Environment, MutexGuard<'static, ()>)> {
    let turn = TURN.lock().await;
    let options = EnvironmentOptions {
        start_operator: false,
        ..EnvironmentOptions::default()
    };
    let environment = RESTARTED
        .get_or_try_init(|| Environment::start(options))
        .await?;
    Ok((environment, turn))
}

async fn operator(env: &Environment) -> anyhow::Result<OperatorProcess> {
    let mut flags = env.operator_flags();
    flags.retain(|flag| !flag.starts_with("--write-settle-time="));
    flags.push(format!("--write-settle-time={}s", SETTLE_TIME.as_secs()));
    env.operator_with(flags, BTreeMap::new(), None).await
}

/// The connection of the next PUT to this identity breaks, before or after the write took effect.
async fn lose_next_put(shop: &Namespace<'_>, when: When) -> anyhow::Result<()> {
    let fault = Fault {
        matcher: shop.requests_to("PUT", "orders"),
        skip: 0,
        times: Some(1),
        when,
        action: FaultAction::DropConnection,
    };
    shop.environment().control().add_fault(&fault).await?;
    Ok(())
}

async fn puts(shop: &Namespace<'_>) -> anyhow::Result<Vec<RequestRecord>> {
    shop.operator_requests("PUT", "orders").await
}

fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

/// Azure carries out a write of ours that it was sent long ago.
async fn carried_out_late(shop: &Namespace<'_>, orders: &ManagedIdentity) -> anyhow::Result<()> {
    let env = shop.environment();
    let name = shop.credential_name("orders")?;
    let subject = format!("system:serviceaccount:{}:orders", shop.name());
    let (arm, id) = (env.arm().await?, orders.resource_id());
    arm.put_credential(id, &name, env.issuer(), &subject, AUDIENCE)
        .await
}

#[tokio::test]
async fn a_write_lost_after_its_effect_is_found_by_reading_and_not_sent_again() -> anyhow::Result<()>
{
    let env = Environment::shared().await?;
    let shop = env.namespace("lost-after").await?;
    let orders = shop.identity("orders").await?;
    lose_next_put(&shop, When::AfterEffect).await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    assert_eq!(
        binding.status.unwrap().credentials[0].origin,
        CredentialOrigin::Created
    );
    let puts = puts(&shop).await?;
    assert_eq!(puts.len(), 1, "{puts:?}");
    assert!(puts[0].effective);
    Ok(())
}

#[tokio::test]
async fn a_write_lost_before_its_effect_is_not_sent_again_before_the_settle_time()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("lost-before").await?;
    let orders = shop.identity("orders").await?;
    lose_next_put(&shop, When::BeforeEffect).await?;
    shop.bind_to("orders", &orders).await?;
    let waiting = shop
        .failing("orders", "CredentialReady", "WaitingForTurn")
        .await?;
    assert_eq!(
        waiting.message,
        "Azure did not answer an earlier write on the identity: nothing is written until a read shows what became of it, \
         or --write-settle-time has passed"
    );
    let recorded = shop
        .bindings()
        .get("orders")
        .await?
        .status
        .unwrap()
        .credentials;
    assert_eq!(
        recorded[0].origin,
        CredentialOrigin::Pending,
        "it may still take effect"
    );

    shop.ready("orders").await?;
    let puts = puts(&shop).await?;
    assert_eq!(puts.len(), 2, "{puts:?}");
    let apart = between(puts[0].started, puts[1].started);
    assert!(apart >= SHORT_SETTLE_TIME, "{apart:?}");
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_lost_write_keeps_the_other_bindings_of_its_identity_waiting() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("lost-neighbour").await?;
    let orders = shop.identity("orders").await?;
    lose_next_put(&shop, When::BeforeEffect).await?;
    shop.bind_to("first", &orders).await?;
    wait::until("the first PUT to be lost", PATIENCE, async || {
        Ok(puts(&shop)
            .await?
            .iter()
            .any(|put| put.ended.is_some())
            .then_some(()))
    })
    .await?;
    shop.bind_to("second", &orders).await?;
    shop.ready("first").await?;
    shop.ready("second").await?;
    let puts = puts(&shop).await?;
    assert_eq!(puts.len(), 3, "{puts:?}");
    for later in &puts[1..] {
        let apart = between(puts[0].started, later.started);
        assert!(apart >= SHORT_SETTLE_TIME, "{apart:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_binding_that_changes_while_it_is_looked_at_is_not_written_for() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("fence").await?;
    let orders = shop.identity("orders").await?;
    // The pass goes on with what it read before the deletion: its record must be refused.
    let list = shop.hold("GET", "orders", When::AfterEffect).await?;
    shop.bind_to("orders", &orders).await?;
    list.reached().await?;
    let at_once = DeleteParams::default();
    shop.bindings().delete("orders", &at_once).await?;
    assert!(
        shop.bindings().get_opt("orders").await?.is_some(),
        "its finalizer stands"
    );
    list.release().await?;

    shop.until_gone("orders").await?;
    assert_eq!(
        shop.operator_writes("orders").await?,
        0,
        "no PUT, and without a record no DELETE"
    );
    assert!(shop.service_accounts().get_opt("orders").await?.is_none());
    Ok(())
}

/// Ends the operator in the middle of a PUT that Azure has not carried out.
async fn killed_in_put(env: &Environment, shop: &Namespace<'_>) -> anyhow::Result<ManagedIdentity> {
    let operator = operator(env).await?;
    let orders = shop.identity("orders").await?;
    let put = shop.hold("PUT", "orders", When::BeforeEffect).await?;
    shop.bind_to("orders", &orders).await?;
    put.reached().await?;
    operator.kill().await?;
    let recorded = shop
        .bindings()
        .get("orders")
        .await?
        .status
        .unwrap()
        .credentials;
    assert_eq!(recorded[0].origin, CredentialOrigin::Pending);
    Ok(orders)
}

#[tokio::test]
async fn a_new_process_waits_for_what_the_last_one_may_have_sent() -> anyhow::Result<()> {
    let (env, _turn) = restarted().await?;
    let shop = env.namespace("restart").await?;
    let orders = killed_in_put(env, &shop).await?;
    let restart = Timestamp::now();
    let operator = operator(env).await?;
    shop.ready("orders").await?;
    let puts = puts(&shop).await?;
    assert_eq!(puts.len(), 2, "{puts:?}");
    let waited = between(restart, puts[1].started);
    assert!(waited >= SETTLE_TIME, "{waited:?}");
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    operator.kill().await?;
    Ok(())
}

#[tokio::test]
async fn a_binding_deleted_after_a_lost_write_leaves_no_credential_however_late_azure_writes_it()
-> anyhow::Result<()> {
    let (env, _turn) = restarted().await?;
    let shop = env.namespace("restart-late").await?;
    let orders = killed_in_put(env, &shop).await?;
    let at_once = DeleteParams::default();
    shop.bindings().delete("orders", &at_once).await?;
    let operator = operator(env).await?;
    let waits = shop.until("orders", "waiting for the lost write", |binding| {
        observed(binding)
            && condition(binding, "CredentialReady").unwrap().reason == "WaitingForTurn"
    });
    waits.await?;
    carried_out_late(&shop, &orders).await?;
    shop.until_gone("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    let sent = puts(&shop).await?;
    assert_eq!(sent.len(), 1, "{sent:?}");
    operator.kill().await?;
    Ok(())
}

#[tokio::test]
async fn a_binding_deleted_after_a_lost_write_that_never_took_effect_goes_after_the_settle_time()
-> anyhow::Result<()> {
    let (env, _turn) = restarted().await?;
    let shop = env.namespace("restart-never").await?;
    let orders = killed_in_put(env, &shop).await?;
    let at_once = DeleteParams::default();
    shop.bindings().delete("orders", &at_once).await?;
    let restart = Timestamp::now();
    let operator = operator(env).await?;
    shop.until_gone("orders").await?;
    let gone_after = between(restart, Timestamp::now());
    assert!(gone_after >= SETTLE_TIME, "{gone_after:?}");
    assert_eq!(shop.credentials(&orders).await?, []);
    assert_eq!(puts(&shop).await?.len(), 1);
    assert_eq!(shop.operator_requests("DELETE", "orders").await?.len(), 1);
    operator.kill().await?;
    Ok(())
}
