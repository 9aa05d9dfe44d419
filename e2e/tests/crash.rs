//! The operator ends in the middle of its work, by SIGKILL or by SIGTERM, and is started again.
//!
//! The tests share an environment and take turns with its operator.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use azure_simulator::control::api::When;
use azwib_crds::CredentialOrigin;
use azwib_e2e::environment::{ManagedIdentity, Namespace, annotation, condition};
use azwib_e2e::supervisor::Exit;
use azwib_e2e::{Environment, OperatorProcess, wait};
use kube::api::{DeleteParams, ListParams};
use tokio::sync::{Mutex, MutexGuard};

const PATIENCE: Duration = Duration::from_secs(30);

static TURN: Mutex<()> = Mutex::const_new(());

/// The environment, for one test at a time.
async fn environment() -> anyhow::Result<(&'static Environment, MutexGuard<'static, ()>)> {
    let turn = TURN.lock().await;
    let environment = Environment::shared().await?;
    // A test that failed may have left none.
    if environment.check_operator().await.is_err() {
        environment.start_operator().await?;
    }
    Ok((environment, turn))
}

/// The binding is Ready: with one credential, one account, and nothing besides.
async fn is_whole(shop: &Namespace<'_>, orders: &ManagedIdentity) -> anyhow::Result<()> {
    let binding = shop.ready("orders").await?;
    let credentials = shop.credentials(orders).await?;
    let names: Vec<_> = credentials.iter().map(|it| it.name.clone()).collect();
    assert_eq!(names, [shop.credential_name("orders")?]);
    let recorded = binding.status.unwrap().credentials;
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].origin, CredentialOrigin::Created);
    let accounts = shop.service_accounts().list(&ListParams::default()).await?;
    let ours: Vec<_> = accounts
        .iter()
        .filter_map(|account| annotation(account, "azure.workload.identity/client-id"))
        .collect();
    assert_eq!(ours, [orders.client_id()]);
    Ok(())
}

/// What the operator does is done: the binding is gone, and with it the credential.
async fn is_cleaned_up(shop: &Namespace<'_>, orders: &ManagedIdentity) -> anyhow::Result<()> {
    shop.until_gone("orders").await?;
    assert_eq!(shop.credentials(orders).await?, []);
    Ok(())
}

/// The account follows its binding, by the cluster's garbage collector, for which the operator is not needed.
async fn account_is_gone(shop: &Namespace<'_>) -> anyhow::Result<()> {
    shop.account_until("orders", "gone", |account| account.is_none())
        .await
        .map(drop)
}

/// How many PUTs were sent, and how many of them took effect.
async fn puts(shop: &Namespace<'_>) -> anyhow::Result<(usize, usize)> {
    let puts = shop.operator_requests("PUT", "orders").await?;
    let effective = puts.iter().filter(|put| put.effective).count();
    Ok((puts.len(), effective))
}

#[tokio::test]
async fn an_operator_killed_while_it_signs_in_signs_in_again() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    for (purpose, when) in [
        ("killed-before-sign-in", When::BeforeEffect),
        ("killed-after-sign-in", When::AfterEffect),
    ] {
        let shop = env.namespace(purpose).await?;
        let orders = shop.identity("orders").await?;
        killed_while_it_signs_in(env, when, async || shop.bind_to("orders", &orders).await).await?;
        is_whole(&shop, &orders).await?;
        killed_while_it_signs_in(env, when, async || {
            let parameters = DeleteParams::default();
            shop.bindings().delete("orders", &parameters).await?;
            Ok(())
        })
        .await?;
        is_cleaned_up(&shop, &orders).await?;
    }
    Ok(())
}

/// Starts an operator that finds this done, kills it while it signs in, and starts another.
async fn killed_while_it_signs_in(
    env: &Environment,
    when: When,
    done: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    env.kill_operator().await?;
    done().await?;
    let sign_in = env.hold_sign_in(when).await?;
    env.start_operator().await?;
    sign_in.reached().await?;
    env.kill_operator().await?;
    env.start_operator().await
}

#[tokio::test]
async fn an_operator_killed_before_its_write_took_effect_writes_again() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    let shop = env.namespace("killed-before-put").await?;
    let orders = shop.identity("orders").await?;
    let put = shop.hold("PUT", "orders", When::BeforeEffect).await?;
    shop.bind_to("orders", &orders).await?;
    put.reached().await?;
    env.kill_operator().await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    env.start_operator().await?;
    is_whole(&shop, &orders).await?;
    assert_eq!(puts(&shop).await?, (2, 1));
    Ok(())
}

#[tokio::test]
async fn an_operator_killed_after_its_write_took_effect_finds_what_it_wrote() -> anyhow::Result<()>
{
    let (env, _turn) = environment().await?;
    let shop = env.namespace("killed-after-put").await?;
    let orders = shop.identity("orders").await?;
    let put = shop.hold("PUT", "orders", When::AfterEffect).await?;
    shop.bind_to("orders", &orders).await?;
    put.reached().await?;
    env.kill_operator().await?;
    let binding = shop.bindings().get("orders").await?;
    let recorded = binding.status.unwrap().credentials;
    assert_eq!(recorded[0].origin, CredentialOrigin::Pending);
    env.start_operator().await?;
    is_whole(&shop, &orders).await?;
    assert_eq!(puts(&shop).await?, (1, 1));
    Ok(())
}

#[tokio::test]
async fn an_operator_killed_while_it_deletes_a_credential_finishes_the_deletion()
-> anyhow::Result<()> {
    let (env, turn) = environment().await?;
    let mut shops = Vec::new();
    for (purpose, when, left) in [
        ("killed-before-delete", When::BeforeEffect, 1),
        ("killed-after-delete", When::AfterEffect, 0),
    ] {
        let shop = env.namespace(purpose).await?;
        let orders = shop.identity("orders").await?;
        shop.bind_to("orders", &orders).await?;
        shop.ready("orders").await?;
        let delete = shop.hold("DELETE", "orders", when).await?;
        shop.bindings()
            .delete("orders", &DeleteParams::default())
            .await?;
        delete.reached().await?;
        env.kill_operator().await?;
        assert_eq!(shop.credentials(&orders).await?.len(), left, "{purpose}");
        assert!(shop.bindings().get_opt("orders").await?.is_some());
        env.start_operator().await?;
        is_cleaned_up(&shop, &orders).await?;
        shops.push(shop);
    }
    drop(turn);
    for shop in &shops {
        account_is_gone(shop).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_binding_deleted_while_the_operator_is_down_leaves_nothing_behind() -> anyhow::Result<()>
{
    let (env, turn) = environment().await?;
    let shop = env.namespace("deleted-while-down").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    env.kill_operator().await?;
    shop.bindings()
        .delete("orders", &DeleteParams::default())
        .await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    env.start_operator().await?;
    is_cleaned_up(&shop, &orders).await?;
    drop(turn);
    account_is_gone(&shop).await
}

/// Asks the operator to stop, and gives how it ended once `meanwhile` is done.
async fn stop(
    operator: &OperatorProcess,
    meanwhile: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Exit> {
    let stopped = async { tokio::time::timeout(PATIENCE, operator.terminate()).await? };
    let (exit, ()) = tokio::try_join!(stopped, meanwhile)?;
    Ok(exit)
}

#[tokio::test]
async fn a_stopping_operator_finishes_the_write_that_is_under_way() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    env.kill_operator().await?;
    let operator = env
        .operator_with(env.operator_flags(), BTreeMap::new(), None)
        .await?;
    let shop = env.namespace("stopped-in-put").await?;
    let orders = shop.identity("orders").await?;
    let put = shop.hold("PUT", "orders", When::BeforeEffect).await?;
    shop.bind_to("orders", &orders).await?;
    put.reached().await?;
    let exit = stop(&operator, async {
        operator.logs("received SIGTERM").await?;
        assert_eq!(operator.exit(), None);
        put.release().await
    })
    .await?;
    assert_eq!(exit, Exit::Code(0), "{}", operator.log_tail());

    // What Azure acknowledged last is in the status already.
    let binding = shop.bindings().get("orders").await?;
    assert_eq!(
        condition(&binding, "CredentialReady").unwrap().reason,
        "InPlace"
    );
    let recorded = binding.status.unwrap().credentials;
    assert_eq!(recorded[0].origin, CredentialOrigin::Created);
    env.start_operator().await?;
    is_whole(&shop, &orders).await?;
    assert_eq!(puts(&shop).await?, (1, 1));
    Ok(())
}

#[tokio::test]
async fn an_operator_without_work_stops_at_once() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    env.kill_operator().await?;
    let operator = env
        .operator_with(env.operator_flags(), BTreeMap::new(), None)
        .await?;
    let shop = env.namespace("stopped-idle").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    wait::until("the operator to be ready", PATIENCE, async || {
        Ok((operator.probe("/readyz").await?.0 == 200).then_some(()))
    })
    .await?;
    let asked = Instant::now();
    let exit = stop(&operator, async { Ok(()) }).await?;
    assert_eq!(exit, Exit::Code(0), "{}", operator.log_tail());
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    env.start_operator().await
}
