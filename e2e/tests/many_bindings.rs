//! Fifty Ready bindings through outages in which the operator starts anew: none of them loses Ready, and nothing is written.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use azure_simulator::control::api::{Matcher, Service};
use azwib_e2e::environment::interference::service_unavailable;
use azwib_e2e::environment::{Namespace, PATIENCE, condition};
use azwib_e2e::{Environment, OperatorProcess, wait};
use futures::future::try_join_all;
use kube::ResourceExt;
use kube::api::ListParams;

const IDENTITIES: usize = 5;
const BINDINGS_OF_EACH: usize = 10;

/// What must not change: the version of every binding and every account, and the writes that Azure has seen.
#[derive(Debug, PartialEq, Eq)]
struct State {
    versions: BTreeMap<String, String>,
    azure_writes: usize,
}

async fn state(shop: &Namespace<'_>) -> anyhow::Result<State> {
    let mut versions = BTreeMap::new();
    let mut note = |kind: &str, name: String, version: Option<String>| {
        versions.insert(format!("{kind} {name}"), version.unwrap_or_default());
    };
    let all = ListParams::default();
    for binding in shop.bindings().list(&all).await? {
        note("binding", binding.name_any(), binding.resource_version());
    }
    for account in shop.service_accounts().list(&all).await? {
        note("account", account.name_any(), account.resource_version());
    }
    let mut azure_writes = 0;
    for number in 0..IDENTITIES {
        azure_writes += shop.operator_writes(&format!("identity-{number}")).await?;
    }
    Ok(State {
        versions,
        azure_writes,
    })
}

/// Fifty Ready bindings on five identities, and what is to stay as it is.
async fn fifty_ready(shop: &Namespace<'_>) -> anyhow::Result<State> {
    let mut manifest = String::new();
    for number in 0..IDENTITIES {
        let identity = shop.identity(&format!("identity-{number}")).await?;
        for letter in ('a'..).take(BINDINGS_OF_EACH) {
            writeln!(
                manifest,
                "---\n{{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {{name: b-{number}{letter}, \
                 namespace: {}}}, spec: {{identity: {{resourceId: {}}}}}}}",
                shop.name(),
                identity.resource_id()
            )?;
        }
    }
    shop.environment().control_plane.apply(&manifest).await?;
    wait::until("all bindings to be Ready", 2 * PATIENCE, async || {
        let bindings = shop.bindings().list(&ListParams::default()).await?;
        let ready = bindings
            .iter()
            .filter(|it| condition(it, "Ready").is_some_and(|ready| ready.status == "True"))
            .count();
        Ok((ready == IDENTITIES * BINDINGS_OF_EACH).then_some(()))
    })
    .await?;
    // A few more passes, so that what the last writes woke has come to rest.
    further_passes(shop).await?;
    let state = state(shop).await?;
    assert_eq!(
        state.azure_writes,
        IDENTITIES * BINDINGS_OF_EACH,
        "one PUT each"
    );
    Ok(state)
}

/// Waits until the operator has looked at every identity twice.
async fn further_passes(shop: &Namespace<'_>) -> anyhow::Result<()> {
    let listed = async |number| {
        let identity = format!("identity-{number}");
        shop.further_listings(&identity, 2).await
    };
    try_join_all((0..IDENTITIES).map(listed)).await.map(drop)
}

async fn operator(env: &Environment) -> anyhow::Result<OperatorProcess> {
    env.operator_with(env.operator_flags(), BTreeMap::new(), None)
        .await
}

/// Waits until this operator has looked at every binding and could not.
async fn has_looked_in_vain(
    operator: &OperatorProcess,
    shop: &Namespace<'_>,
) -> anyhow::Result<()> {
    let bindings = shop.bindings().list(&ListParams::default()).await?;
    let names: BTreeSet<_> = bindings.iter().map(ResourceExt::name_any).collect();
    wait::until("a failed pass over every binding", PATIENCE, async || {
        let log = operator.log()?;
        let failed = |line: &&str| line.contains("the pass over the binding failed");
        let lines: Vec<_> = log.lines().filter(failed).collect();
        let of = |name: &String| lines.iter().any(|line| line.contains(name.as_str()));
        Ok(names.iter().all(of).then_some(()))
    })
    .await
}

async fn azure_is_down(
    shop: &Namespace<'_>,
    first: OperatorProcess,
) -> anyhow::Result<OperatorProcess> {
    let outage = shop.outage(service_unavailable()).await?;
    first.kill().await?;
    let second = operator(shop.environment()).await?;
    has_looked_in_vain(&second, shop).await?;
    outage.end().await?;
    Ok(second)
}

async fn sign_in_is_down(
    shop: &Namespace<'_>,
    first: OperatorProcess,
) -> anyhow::Result<OperatorProcess> {
    first.kill().await?;
    let entra = Matcher {
        service: Some(Service::Entra),
        method: Some("POST".to_owned()),
        ..Matcher::default()
    };
    let env = shop.environment();
    let outage = env.outage(entra, service_unavailable()).await?;
    let second = operator(env).await?;
    has_looked_in_vain(&second, shop).await?;
    outage.end().await?;
    Ok(second)
}

async fn api_server_is_down(
    shop: &Namespace<'_>,
    first: OperatorProcess,
) -> anyhow::Result<OperatorProcess> {
    let env = shop.environment();
    let access = env.operator_access().await?;
    env.control_plane.stop_api_server().await?;
    first.logs("a watch was interrupted").await?;
    first.kill().await?;
    let flags = env.operator_flags();
    let second = env
        .operator_with_access(access, flags, BTreeMap::new(), None)
        .await?;
    second
        .logs("the API server does not answer as it should")
        .await?;
    env.control_plane.start_api_server().await?;
    second.probe_until("/readyz", 200, "ok").await?;
    Ok(second)
}

/// One outage after the other, over the same bindings: none of them may leave a trace.
#[tokio::test]
async fn an_outage_over_a_restart_takes_ready_from_none_and_writes_nothing() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let first = operator(&env).await?;
    let shop = env.namespace("many").await?;
    let before = fifty_ready(&shop).await?;
    let unchanged = async |after: &str, operator: &OperatorProcess| {
        assert_eq!(state(&shop).await?, before, "{after}");
        further_passes(&shop).await?;
        assert_eq!(state(&shop).await?, before, "further passes after {after}");
        assert_eq!(operator.exit(), None, "{}", operator.log_tail());
        anyhow::Ok(())
    };

    let second = azure_is_down(&shop, first).await?;
    unchanged("an outage of Azure", &second).await?;
    let third = sign_in_is_down(&shop, second).await?;
    unchanged("an outage of the sign-in", &third).await?;
    let fourth = api_server_is_down(&shop, third).await?;
    unchanged("an outage of the API server", &fourth).await
}
