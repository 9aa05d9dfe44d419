//! What a pod runs follows from its spec, and from nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::Context;
use azwib_e2e::pods::RunningPod;
use azwib_e2e::wait::{PATIENCE, until};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::{Value, json};

use super::*;

const ACCESS: &str = "var/run/secrets/kubernetes.io/serviceaccount";

/// A file as the pod sees it.
fn seen(pod: &RunningPod, path: &str) -> anyhow::Result<String> {
    of_process(pod, &format!("root/{path}")).with_context(|| path.to_owned())
}

fn of_process(pod: &RunningPod, file: &str) -> anyhow::Result<String> {
    Ok(fs::read_to_string(format!("/proc/{}/{file}", pod.pid))?)
}

fn variables(pod: &RunningPod) -> anyhow::Result<BTreeMap<String, String>> {
    let all = of_process(pod, "environ")?;
    let all = all.split('\0').filter_map(|it| it.split_once('='));
    Ok(all
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

fn claims(token: &str) -> anyhow::Result<Value> {
    let claims = token.split('.').nth(1).context("no JWT")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?)
}

#[tokio::test]
async fn the_operator_works_in_pods_that_have_what_their_spec_says_and_no_more()
-> anyhow::Result<()> {
    let installed = Installed::start(None).await?;
    let shop = installed.with_a_binding().await?;
    let running = installed.node.running();
    assert_eq!(installed.env.ready_pods().await?.len(), 2);
    assert_eq!(running.len(), 2, "{running:?}");
    assert!(running.contains_key(&installed.env.leader().await?));

    let pods = installed.env.pods().await?;
    let config_maps: Api<ConfigMap> =
        Api::namespaced(installed.env.client().await?, "azwib-system");
    let mut addresses = Vec::new();
    for (name, process) in &running {
        let pod = pods.get(name).await?;
        let status = pod.status.unwrap();
        addresses.push(status.pod_ip.unwrap());
        let spec = pod.spec.unwrap();
        let container = &spec.containers[0];

        // The image's entry point, with no argument: the settings come as variables.
        assert_eq!(of_process(process, "cmdline")?, "/azwib-operator\0");
        let given = variables(process)?;
        assert_eq!(given["POD_NAME"], *name);
        assert_eq!(given["KUBERNETES_SERVICE_HOST"], "10.0.0.1");
        assert_eq!(given["AZWIB_ISSUER"], installed.env.issuer());
        let settings = container.env_from.as_ref().unwrap()[0]
            .config_map_ref
            .as_ref();
        let settings = config_maps
            .get(&settings.unwrap().name)
            .await?
            .data
            .unwrap();
        let declared = container.env.iter().flatten().map(|it| &*it.name);
        let of_node = [
            "HOSTNAME",
            "KUBERNETES_SERVICE_HOST",
            "KUBERNETES_SERVICE_PORT",
        ];
        let expected = settings
            .keys()
            .map(String::as_str)
            .chain(declared)
            .chain(of_node);
        let expected: BTreeSet<_> = expected.collect();
        let given_names: BTreeSet<_> = given.keys().map(String::as_str).collect();
        assert_eq!(given_names, expected);

        // The security context.
        let of_status = of_process(process, "status")?;
        for line in ["NoNewPrivs:\t1", "CapPrm:\t0000000000000000"] {
            assert!(of_status.contains(line), "{of_status}");
        }
        let user = of_process(process, "uid_map")?;
        assert_eq!(user.split_whitespace().next(), Some("65532"));
        let mounts = of_process(process, "mountinfo")?;
        let mounts: Vec<Vec<_>> = mounts.lines().map(|it| it.split(' ').collect()).collect();
        let writable = mounts.iter().filter(|it| !it[5].starts_with("ro"));
        let writable: Vec<_> = writable.map(|it| it[4]).collect();
        assert!(
            writable.iter().all(|it| it.starts_with("/dev/")),
            "{writable:?}"
        );

        // What the API server's admission and the webhook project.
        assert_eq!(
            seen(process, &format!("{ACCESS}/namespace"))?,
            "azwib-system"
        );
        assert!(seen(process, &format!("{ACCESS}/ca.crt"))?.contains("BEGIN CERTIFICATE"));
        let own = claims(&seen(process, &format!("{ACCESS}/token"))?)?;
        let azure = claims(&seen(process, &given["AZURE_FEDERATED_TOKEN_FILE"])?)?;
        assert_eq!(azure["aud"], json!(["api://AzureADTokenExchange"]));
        for token in [own, azure] {
            let of = &token["kubernetes.io"];
            assert_eq!(of["pod"]["name"], json!(name), "{token}");
            assert_eq!(of["serviceaccount"]["name"], "azwib-operator");
        }

        // The ports of its own, at an address of its own.
        assert_eq!(installed.node.get(name, 8081, "/readyz").await?.0, 200);
        let (status, metrics) = installed.node.get(name, 8443, "/metrics").await?;
        assert!(status == 200 && metrics.contains("leader_election_master_status"));
        assert!(installed.node.log(name)?.contains("azwib"));
    }
    addresses.dedup();
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    shop.unbind("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_projected_token_is_renewed_and_the_operator_goes_on_with_it() -> anyhow::Result<()> {
    let installed = Installed::start(Some(Duration::from_secs(4))).await?;
    let shop = installed.with_a_binding().await?;
    let leader = installed.env.leader().await?;
    let process = &installed.node.running()[&leader];
    let file = variables(process)?["AZURE_FEDERATED_TOKEN_FILE"].clone();
    for path in [format!("{ACCESS}/token"), file] {
        let first = seen(process, &path)?;
        let id = claims(&first)?["jti"].clone();
        let second = until("another token", PATIENCE, async || {
            let now = seen(process, &path)?;
            Ok((now != first).then_some(now))
        })
        .await?;
        assert_ne!(claims(&second)?["jti"], id);
    }
    let invoices = shop.identity("invoices").await?;
    shop.bind_to("invoices", &invoices).await?;
    shop.ready("invoices").await?;
    Ok(())
}

#[tokio::test]
async fn nothing_of_a_pod_is_left_when_its_node_is_gone() -> anyhow::Result<()> {
    let Installed { node, env, .. } = Installed::start(None).await?;
    let pids: Vec<_> = node.running().values().map(|it| it.pid).collect();
    let alive = |pid: &&u32| fs::exists(format!("/proc/{pid}")).unwrap();
    assert_eq!(pids.iter().filter(alive).count(), 2);
    drop(node);
    assert_eq!(pids.iter().filter(alive).count(), 0);
    // The API server has not been told: a node that is lost says nothing.
    assert_eq!(env.ready_pods().await?.len(), 2);
    Ok(())
}
