//! The operator's own sign-in to Azure: refused, out of reach, and healed.
//!
//! The tests share an environment whose operator each of them starts for itself, in turns.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use azure_simulator::control::api::{FaultAction, Matcher, Service, Tunables};
use azwib_e2e::environment::interference::service_unavailable;
use azwib_e2e::environment::{Namespace, condition};
use azwib_e2e::{Environment, EnvironmentOptions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use tokio::sync::{Mutex, MutexGuard, OnceCell};
use uuid::Uuid;

static TURN: Mutex<()> = Mutex::const_new(());
static ENVIRONMENT: OnceCell<Environment> = OnceCell::const_new();

/// The environment without an operator, for one test at a time.
async fn environment() -> anyhow::Result<(&'static Environment, MutexGuard<'static, ()>)> {
    let turn = TURN.lock().await;
    let options = EnvironmentOptions {
        start_operator: false,
        ..EnvironmentOptions::default()
    };
    let start = || Environment::start(options);
    let environment = ENVIRONMENT.get_or_try_init(start).await?;
    // What an earlier test has left, if that failed.
    let _ = environment.kill_operator().await;
    Ok((environment, turn))
}

/// A binding that waits for the operator's sign-in, for this reason.
async fn waits(shop: &Namespace<'_>, reason: &str) -> anyhow::Result<Condition> {
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let failing = shop.failing("orders", "IdentityResolved", reason).await?;
    let binding = shop.bindings().get("orders").await?;
    assert_eq!(condition(&binding, "Reconciling").unwrap().reason, reason);
    assert!(condition(&binding, "Stalled").is_none());
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(failing)
}

#[tokio::test]
async fn a_sign_in_endpoint_that_is_down_is_waited_for() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    for (purpose, action) in [
        ("entra-answers-503", service_unavailable()),
        ("entra-hangs-up", FaultAction::DropConnection),
    ] {
        let entra = Matcher {
            service: Some(Service::Entra),
            method: Some("POST".to_owned()),
            path: Some(format!("/{}/**", env.simulator.tenant())),
            ..Matcher::default()
        };
        let shop = env.namespace(purpose).await?;
        let orders = shop.identity("orders").await?;
        let outage = env.outage(entra, action).await?;
        env.start_operator().await?;
        shop.bind_to("orders", &orders).await?;
        shop.failing("orders", "IdentityResolved", "AzureUnavailable")
            .await?;
        outage.end().await?;
        shop.ready("orders").await?;
        env.kill_operator().await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_operator_that_azure_does_not_trust_says_so_until_its_credential_is_created()
-> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    env.distrust_operator().await?;
    env.start_operator().await?;
    let shop = env.namespace("untrusted").await?;
    let refused = waits(&shop, "AzureAuthenticationFailed").await?;
    assert!(
        refused.message.contains("AADSTS70")
            && refused.message.contains("the operator's own identity"),
        "{}",
        refused.message
    );
    env.trust_operator().await?;
    shop.ready("orders").await?;
    env.kill_operator().await
}

#[tokio::test]
async fn a_client_id_that_nobody_has_is_named_in_the_status() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    let mut flags = env.operator_flags();
    flags.retain(|flag| !flag.starts_with("--azure-client-id="));
    flags.push(format!("--azure-client-id={}", Uuid::new_v4()));
    let operator = env.operator_with(flags, Default::default(), None).await?;
    let shop = env.namespace("wrong-client-id").await?;
    let refused = waits(&shop, "AzureAuthenticationFailed").await?;
    assert!(
        refused.message.contains("AADSTS700016"),
        "{}",
        refused.message
    );
    operator.kill().await?;
    env.start_operator().await?;
    shop.ready("orders").await?;
    env.kill_operator().await
}

#[tokio::test]
async fn a_ready_binding_stays_ready_when_the_operator_can_no_longer_sign_in() -> anyhow::Result<()>
{
    let (env, _turn) = environment().await?;
    // The operator needs a new token every other second.
    let short_lived = Tunables {
        managed_identity_token_seconds: 4,
        ..Tunables::default()
    };
    env.control().set_tunables(&short_lived).await?;
    env.start_operator().await?;
    let shop = env.namespace("untrusted-later").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let before = shop.ready("orders").await?;
    env.distrust_operator().await?;
    let note = shop.event("AzureAuthenticationFailed").await?;
    assert!(note.contains("AADSTS70"), "{note}");
    let during = shop.bindings().get("orders").await?;
    assert_eq!(during.resource_version(), before.resource_version());

    env.trust_operator().await?;
    shop.further_listings("orders", 2).await?;
    let after = shop.bindings().get("orders").await?;
    assert_eq!(after.resource_version(), before.resource_version());
    env.control().set_tunables(&Tunables::default()).await?;
    env.kill_operator().await
}
