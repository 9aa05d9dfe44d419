//! The charts on a real API server: install, upgrade, rollback, uninstall. Nothing waits for pods here; `pods.rs` does.

use std::fs;
use std::path::Path;
use std::process::Output;

use azwib_e2e::environment::repository;
use azwib_e2e::{ControlPlane, ControlPlaneOptions};
use serde_json::{Value, json};

use crate::charts_on_disk::changed;
use crate::tools::{NAMESPACE, chart, helm, output, template};

const GRANTS: &str = "identitygrants.azwib.dev";
const BINDINGS: &str = "workloadidentitybindings.azwib.dev";

/// A control plane with nothing of azwib.
struct Cluster(ControlPlane);

impl Cluster {
    async fn start() -> anyhow::Result<Self> {
        let options = ControlPlaneOptions::unpublished()?;
        Ok(Self(ControlPlane::start(options).await?))
    }

    fn helm(&self, args: &[&str]) -> Output {
        let kubeconfig = self.0.kubeconfig();
        let whole = ["--kubeconfig", kubeconfig.to_str().unwrap()];
        helm(&[args, &whole].concat(), "")
    }

    /// A release of the chart `azwib` in the namespace that `config/` has.
    fn azwib(&self, command: &[&str], chart: &Path, more: &[&str]) -> Output {
        let place = [chart.to_str().unwrap(), "--namespace", NAMESPACE];
        self.helm(&[command, &place, more].concat())
    }

    async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        self.0.kubectl(args).await
    }

    /// The names of objects of some kinds with a label, over all namespaces.
    async fn labelled(&self, label: &str) -> anyhow::Result<Vec<String>> {
        let kinds = "deployments,configmaps,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,\
            poddisruptionbudgets,validatingadmissionpolicies,validatingadmissionpolicybindings,\
            customresourcedefinitions,networkpolicies";
        let args = [
            "get",
            kinds,
            "--all-namespaces",
            "--output=name",
            "-l",
            label,
        ];
        let names = self.kubectl(&args).await?;
        Ok(names.lines().map(str::to_owned).collect())
    }
}

#[tokio::test]
async fn an_upgrade_brings_the_definitions_and_an_uninstall_keeps_them() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let folder = tempfile::tempdir()?;
    let column = "How many bindings the grant covers.";
    let version = format!("version: {}", env!("CARGO_PKG_VERSION"));
    let older = changed("azwib", folder.path(), |name, text| match name {
        "Chart.yaml" => text.replace(&version, "version: 0.0.1"),
        "azwib.dev_identitygrants.yaml" => text.replace(column, "As it was."),
        _ => text,
    });
    let install = ["install", "azwib"];
    output(cluster.azwib(&install, &older, &["--create-namespace"]));
    let definition = ["get", "crd", GRANTS, "--output=yaml"];
    assert!(cluster.kubectl(&definition).await?.contains("As it was."));

    let upgrade = ["upgrade", "azwib"];
    let text = ["--set", "log.format=text"];
    output(cluster.azwib(&upgrade, &chart("azwib"), &text));
    assert!(cluster.kubectl(&definition).await?.contains(column));
    let settings = || {
        cluster.kubectl(&[
            "get",
            "configmaps",
            "-n",
            NAMESPACE,
            "--output=jsonpath={..data.AZWIB_LOG_FORMAT}",
        ])
    };
    assert_eq!(settings().await?, "text");

    output(cluster.helm(&["rollback", "azwib", "1", "--namespace", NAMESPACE]));
    assert_eq!(settings().await?, "json");
    output(cluster.azwib(&upgrade, &chart("azwib"), &[]));

    let grants = chart("azwib-grants");
    let identity =
        "grants.shop.identities[0].scope=/subscriptions/00000000-0000-0000-0000-000000000000";
    let set = [
        "--set",
        identity,
        "--set",
        "grants.shop.namespaces.names={shop}",
    ];
    output(cluster.azwib(&["install", "azwib-grants"], &grants, &set));
    let all = "app.kubernetes.io/part-of=azwib";
    assert!(cluster.labelled(all).await?.len() > 15);

    // The definitions stay with what is in them, and nothing else does.
    output(cluster.helm(&["uninstall", "azwib", "--namespace", NAMESPACE]));
    let kept =
        [BINDINGS, GRANTS].map(|it| format!("customresourcedefinition.apiextensions.k8s.io/{it}"));
    let mut left = cluster.labelled(all).await?;
    left.sort();
    assert_eq!(left, [&kept[1], &kept[0]].map(String::as_str));
    assert_eq!(
        cluster
            .kubectl(&["get", GRANTS, "--output=name"])
            .await?
            .trim(),
        "identitygrant.azwib.dev/shop"
    );
    // The same release takes them again.
    output(cluster.azwib(&install, &chart("azwib"), &[]));
    output(cluster.helm(&["uninstall", "azwib-grants", "--namespace", NAMESPACE]));
    assert_eq!(
        cluster.kubectl(&["get", GRANTS, "--output=name"]).await?,
        ""
    );
    Ok(())
}

#[tokio::test]
async fn a_second_release_is_refused_and_takes_nothing_from_the_first() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    output(cluster.azwib(
        &["install", "azwib"],
        &chart("azwib"),
        &["--create-namespace"],
    ));
    let elsewhere = [
        "install",
        "second",
        chart("azwib").to_str().unwrap(),
        "--namespace",
        "default",
    ]
    .map(str::to_owned);
    let elsewhere: Vec<&str> = elsewhere.iter().map(String::as_str).collect();
    let refused = cluster.helm(&elsewhere);
    let message = String::from_utf8(refused.stderr)?;
    assert!(!refused.status.success());
    assert!(message.contains("invalid ownership metadata"), "{message}");
    assert_eq!(
        cluster
            .labelled("app.kubernetes.io/instance=second")
            .await?,
        [""; 0]
    );
    Ok(())
}

#[tokio::test]
async fn what_kustomize_has_installed_is_taken_over() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let default = repository().join("config/default");
    cluster
        .kubectl(&["apply", "-k", default.to_str().unwrap()])
        .await?;
    let uid = ["get", "crd", BINDINGS, "--output=jsonpath={.metadata.uid}"];
    let before = cluster.kubectl(&uid).await?;
    let refused = cluster.azwib(&["install", "azwib"], &chart("azwib"), &[]);
    assert!(String::from_utf8(refused.stderr)?.contains("invalid ownership metadata"));
    output(cluster.azwib(
        &["install", "azwib"],
        &chart("azwib"),
        &["--take-ownership", "--force-conflicts"],
    ));
    assert_eq!(cluster.kubectl(&uid).await?, before);
    let of_release = cluster.labelled("app.kubernetes.io/instance=azwib").await?;
    assert_eq!(
        of_release,
        cluster.labelled("app.kubernetes.io/part-of=azwib").await?
    );
    Ok(())
}

/// Values of installations that differ in much.
fn installations() -> Vec<Value> {
    let client = "00000000-0000-0000-0000-000000000001";
    vec![
        json!({ "networkPolicy": { "enabled": true, "proxyPorts": [3128], "metricsFrom": [{ "podSelector": {} }] },
            "priorityClassName": "system-cluster-critical", "extraLabels": { "team": "platform" },
            "podAnnotations": { "example.com/note": "a note" }, "imagePullSecrets": [{ "name": "registry" }] }),
        json!({ "auth": { "method": "client-secret", "clientId": client, "tenantId": "tenant.example",
            "clientSecret": { "name": "azure" } }, "cloud": { "name": "china", "ca": { "configMap": "our-ca" } } }),
        json!({ "auth": { "clientId": client, "tenantId": "tenant.example", "webhook": false }, "openshift": true }),
        json!({ "auth": { "method": "managed-identity" }, "networkPolicy": { "enabled": true },
            "replicas": 1, "leaderElection": { "enabled": false }, "metrics": { "enabled": false } }),
        json!({ "tolerations": [{ "key": "CriticalAddonsOnly", "operator": "Exists" }],
            "topologySpread": { "topologyKeys": [] }, "podDisruptionBudget": { "maxUnavailable": "50%" },
            "extraArgs": ["--resync-period=30m"], "extraEnv": [{ "name": "HTTPS_PROXY", "value": "http://proxy.example" }],
            "crds": { "keep": false }, "serviceAccount": { "name": "federation" } }),
    ]
}

#[tokio::test]
async fn the_api_server_takes_every_kind_of_installation_without_a_warning() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    cluster.kubectl(&["create", "namespace", NAMESPACE]).await?;
    let restricted = "pod-security.kubernetes.io/warn=restricted";
    cluster
        .kubectl(&["label", "namespace", NAMESPACE, restricted])
        .await?;
    for (number, values) in installations().iter().enumerate() {
        let file = cluster
            .0
            .directory()
            .join(format!("installation-{number}.yaml"));
        fs::write(&file, template("azwib", values, &[]).unwrap())?;
        let file = file.to_str().unwrap();
        let apply = [
            "apply",
            "--server-side",
            "--dry-run=server",
            "--warnings-as-errors",
            "-f",
            file,
        ];
        let taken = cluster.kubectl(&apply).await?;
        assert!(taken.lines().count() > 15, "{values}: {taken}");
    }
    Ok(())
}
