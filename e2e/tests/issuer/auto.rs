//! `--issuer=auto`, the default, from the API server to a workload's sign-in.

use std::collections::BTreeMap;

use azwib_e2e::ProjectedToken;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::{auto, bind, environment, fresh_token, issuer_ready, put, start};

const SCOPE: &str = "https://vault.azure.net/.default";

#[tokio::test]
async fn a_workload_signs_in_by_the_issuer_that_the_api_server_says() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    let _webhook = env.start_webhook().await?;
    let shop = env.namespace("auto").await?;
    start(env, &auto(&fresh_token(env).await?)).await?;
    bind(&shop, "orders").await?;
    let binding = shop.ready("orders").await?;
    let told = &issuer_ready(&binding).message;
    assert!(told.ends_with(env.issuer()), "{told}");

    let pod = json!({
        "metadata": { "name": "orders", "labels": { "azure.workload.identity/use": "true" } },
        "spec": { "serviceAccountName": "orders", "containers": [{ "name": "app", "image": "app" }] },
    });
    let pods: Api<Pod> = Api::namespaced(shop.client().clone(), shop.name());
    let pod = serde_json::from_value(pod)?;
    let pod = pods.create(&PostParams::default(), &pod).await?;
    let token = ProjectedToken::of_pod(shop.client(), &pod).await?;
    token.exchange(SCOPE, env.ca()).await?.granted()?;
    env.kill_operator().await
}

#[tokio::test]
async fn it_is_what_azwib_goes_by_where_nothing_is_given() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    let shop = env.namespace("default").await?;
    let token = fresh_token(env).await?;
    let mut flags = env.operator_flags_with(&auto(&token));
    flags.retain(|flag| !flag.starts_with("--issuer="));
    env.start_operator_as(flags, BTreeMap::new()).await?;
    bind(&shop, "orders").await?;
    let binding = shop.ready("orders").await?;
    let told = &issuer_ready(&binding).message;
    assert!(told.ends_with(env.issuer()), "{told}");
    env.kill_operator().await
}

#[tokio::test]
async fn without_a_token_that_says_an_issuer_it_does_not_start() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    let folder = env.control_plane.directory();
    for (file, text, why) in [
        ("missing.token", None, "it cannot be read"),
        ("empty.token", Some(""), "it is empty"),
        (
            "other.token",
            Some("a secret of another kind"),
            "it is no JSON Web Token",
        ),
    ] {
        let file = folder.join(file);
        if let Some(text) = text {
            put(&file, text)?;
        }
        let operator = env.operator_with_other(&auto(&file)).await?;
        let exit = operator.wait_exit().await?;
        let log = operator.log_tail();
        assert!(!exit.is_success(), "{log}");
        let path = file.display().to_string();
        for said in [&path, why, "--service-account-token-file", "--issuer"] {
            assert!(log.contains(said), "{said}: {log}");
        }
        assert!(!log.contains("a secret of"), "{log}");
    }
    Ok(())
}
