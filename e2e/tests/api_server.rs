//! The API server out of reach, and a CustomResourceDefinition that is not installed yet.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use anyhow::Context;
use azwib_e2e::environment::repository;
use azwib_e2e::wait::{self, PATIENCE};
use azwib_e2e::{Environment, EnvironmentOptions, OperatorProcess};
use kube::ResourceExt;
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// Environments that stop their API server: one at a time, since each loads the machine.
static TURN: Mutex<()> = Mutex::const_new(());

async fn environment(install_crd: bool) -> anyhow::Result<Environment> {
    Environment::start(EnvironmentOptions {
        start_operator: false,
        install_crd,
        ..EnvironmentOptions::default()
    })
    .await
}

async fn operator(env: &Environment) -> anyhow::Result<OperatorProcess> {
    env.operator_with(env.operator_flags(), BTreeMap::new(), None)
        .await
}

#[tokio::test]
async fn an_operator_outlives_an_outage_of_the_api_server() -> anyhow::Result<()> {
    let _turn = TURN.lock().await;
    let env = environment(true).await?;
    let operator = operator(&env).await?;
    let shop = env.namespace("api-server-down").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let before = shop.ready("orders").await?;

    env.control_plane.stop_api_server().await?;
    operator.logs("a watch was interrupted").await?;
    assert_eq!(operator.probe("/healthz").await?.0, 200);
    env.control_plane.start_api_server().await?;

    let stock = shop.identity("stock").await?;
    shop.bind_to("stock", &stock).await?;
    let ready = shop.ready("stock").await;
    ready.with_context(|| operator.log_tail())?;
    assert_eq!(operator.exit(), None, "{}", operator.log_tail());
    let after = shop.bindings().get("orders").await?;
    assert_eq!(after.resource_version(), before.resource_version());
    Ok(())
}

#[tokio::test]
async fn an_operator_started_before_the_api_server_waits_for_it_and_says_so() -> anyhow::Result<()>
{
    let _turn = TURN.lock().await;
    let env = environment(true).await?;
    let shop = env.namespace("api-server-late").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let access = env.operator_access().await?;
    env.control_plane.stop_api_server().await?;
    let operator = env
        .operator_with_access(access, env.operator_flags(), BTreeMap::new(), None)
        .await?;
    operator
        .logs("the API server does not answer as it should")
        .await?;
    operator
        .probe_until("/readyz", 503, "waiting for the API server")
        .await?;
    assert_eq!(operator.probe("/healthz").await?.0, 200);

    env.control_plane.start_api_server().await?;
    operator.probe_until("/readyz", 200, "ok").await?;
    shop.ready("orders").await?;
    assert_eq!(operator.exit(), None, "{}", operator.log_tail());
    Ok(())
}

#[tokio::test]
async fn an_operator_waits_for_its_custom_resource_definition() -> anyhow::Result<()> {
    let _turn = TURN.lock().await;
    let env = environment(false).await?;
    let operator = operator(&env).await?;
    operator
        .probe_until(
            "/readyz",
            503,
            "waiting for the CustomResourceDefinition workloadidentitybindings.azwib.dev",
        )
        .await?;
    assert_eq!(operator.probe("/healthz").await?.0, 200);
    operator.logs("kubectl apply -k config/crd").await?;

    let crd = repository().join("config/crd");
    env.control_plane
        .kubectl(&["apply", "-k", &crd.to_string_lossy()])
        .await?;
    operator.probe_until("/readyz", 200, "ok").await?;
    let shop = env.namespace("crd-late").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    assert_eq!(operator.exit(), None, "{}", operator.log_tail());
    Ok(())
}

#[tokio::test]
async fn an_operator_says_which_fields_an_older_definition_drops() -> anyhow::Result<()> {
    let _turn = TURN.lock().await;
    let env = environment(true).await?;
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/credentials/items/properties/id";
    let patch = json!([{ "op": "remove", "path": path }]).to_string();
    env.control_plane
        .kubectl(&[
            "patch",
            "crd",
            "workloadidentitybindings.azwib.dev",
            "--type=json",
            "-p",
            &patch,
        ])
        .await?;
    wait::until("the API server to tell of the old schema", PATIENCE, async || {
        let served = env
            .control_plane
            .kubectl(&["get", "--raw", "/openapi/v3/apis/azwib.dev/v1alpha1"])
            .await?;
        let served: Value = serde_json::from_str(&served)?;
        let path = "/components/schemas/dev.azwib.v1alpha1.WorkloadIdentityBinding/properties/status/properties/credentials/items/properties";
        let fields = served.pointer(path);
        Ok(fields.filter(|it| it["id"].is_null()).map(|_| ()))
    })
    .await?;
    let operator = operator(&env).await?;
    operator
        .logs("the CustomResourceDefinition is older than this operator")
        .await?;
    operator.logs("fields=\"status.credentials[].id\"").await?;
    operator.probe_until("/readyz", 200, "ok").await?;
    Ok(())
}

#[tokio::test]
async fn an_operator_says_that_objects_are_stored_in_a_version_that_it_does_not_know()
-> anyhow::Result<()> {
    let _turn = TURN.lock().await;
    let env = environment(true).await?;
    let name = "identitygrants.azwib.dev";
    let crd = ["get", "crd", name, "--output=json"];
    let crd: Value = serde_json::from_str(&env.control_plane.kubectl(&crd).await?)?;
    let mut newer = crd["spec"]["versions"][0].clone();
    newer["name"] = "v1beta1".into();
    let patch = json!([
        { "op": "replace", "path": "/spec/versions/0/storage", "value": false },
        { "op": "add", "path": "/spec/versions/-", "value": newer },
    ]);
    let patch = format!("--patch={patch}");
    let before = discovered(&env).await?;
    env.control_plane
        .kubectl(&["patch", "crd", name, "--type=json", &patch])
        .await?;
    wait::until(
        "discovery to tell of the new version",
        PATIENCE,
        async || {
            let now = discovered(&env).await?;
            Ok((now != before && now.is_string()).then_some(()))
        },
    )
    .await?;
    let operator = operator(&env).await?;
    operator
        .logs("the API server stores objects of this kind in another version")
        .await?;
    operator.logs("kind=\"IdentityGrant\"").await?;
    operator.probe_until("/readyz", 200, "ok").await?;
    // Of the kind that is stored as ever, nothing is said.
    let said = operator.log()?;
    let mut of_versions = said.lines().filter(|it| it.contains("in another version"));
    assert!(of_versions.all(|it| !it.contains("kind=\"WorkloadIdentityBinding\"")));
    Ok(())
}

/// What discovery says of the version in which grants are stored.
async fn discovered(env: &Environment) -> anyhow::Result<Value> {
    let served = ["get", "--raw", "/apis/azwib.dev/v1alpha1"];
    let served: Value = serde_json::from_str(&env.control_plane.kubectl(&served).await?)?;
    let mut resources = served["resources"].as_array().unwrap().iter();
    let grants = resources.find(|it| it["name"] == "identitygrants").unwrap();
    Ok(grants["storageVersionHash"].clone())
}
