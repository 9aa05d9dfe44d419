//! The chart with pods that run: what `--wait` waits for, upgrades, rollbacks, uninstall.

use std::process::Output;
use std::time::{Duration, Instant};

use azwib_e2e::environment::Namespace;
use azwib_e2e::wait::{PATIENCE, until};
use azwib_e2e::{Environment, EnvironmentOptions, Node, Webhook};
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::charts_on_disk::changed;
use crate::tools::{NAMESPACE, chart, helm, output};

/// Where the image would be pushed to.
pub(crate) const IMAGE: &str = "registry.example/azwib-operator";

/// The version before, as far as there is one: a chart that differs in its version and in its image.
const OLDER: &str = "0.0.1";

/// A cluster with a node and the webhook, and nothing of azwib. Its node goes first.
pub(crate) struct Cluster {
    pub(crate) node: Node,
    pub(crate) env: Environment,
    _webhook: Webhook,
}

impl Cluster {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let env = Environment::start(EnvironmentOptions {
            config: None,
            install_crd: false,
            start_operator: false,
            // While Helm uninstalls, the roles go before the pods: what is refused then is no finding of the checks over the records.
            keep_records: false,
            ..EnvironmentOptions::default()
        })
        .await?;
        let webhook = env.start_webhook().await?;
        let images = [OLDER, env!("CARGO_PKG_VERSION")].map(|tag| format!("{IMAGE}:{tag}"));
        let node = env
            .start_node(&images.each_ref().map(String::as_str), None)
            .await?;
        env.prepare_namespace().await?;
        Ok(Self {
            node,
            env,
            _webhook: webhook,
        })
    }

    /// Runs Helm, while the node and whoever watches go on.
    async fn helm(&self, args: &[&str]) -> anyhow::Result<Output> {
        let kubeconfig = self.env.control_plane.kubeconfig();
        let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
        let place = ["--namespace", NAMESPACE].map(str::to_owned);
        let all = args.iter().map(ToString::to_string).chain(place);
        let all: Vec<_> = all.chain([kubeconfig]).collect();
        let values = self.values().to_string();
        let run = move || helm(&all.iter().map(String::as_str).collect::<Vec<_>>(), &values);
        let began = Instant::now();
        let ended = tokio::task::spawn_blocking(run).await?;
        eprintln!("helm {} {}: {:?}", args[0], ended.status, began.elapsed());
        Ok(ended)
    }

    /// What the operator of this environment needs to be told.
    fn values(&self) -> Value {
        let mut values = self.env.chart_values();
        values["issuer"] = json!(self.env.issuer());
        values["auth"] = json!({ "clientId": self.env.operator_client_id() });
        values["image"] = json!({ "repository": IMAGE });
        values
    }

    /// A namespace with a binding that is Ready.
    async fn with_a_binding(&self) -> anyhow::Result<Namespace<'_>> {
        let shop = self.env.namespace("chart").await?;
        shop.grant_all("chart").await?;
        let orders = shop.identity("orders").await?;
        shop.bind_to("orders", &orders).await?;
        shop.ready("orders").await?;
        Ok(shop)
    }

    /// Takes the release away, and waits as Helm does.
    async fn uninstall(&self) -> anyhow::Result<()> {
        output(self.helm(&["uninstall", "azwib", "--wait"]).await?);
        self.until_empty().await
    }

    /// Waits until no pod is left, and no process. Helm waits for what it has made; pods go after their Deployment, in their grace period.
    pub(crate) async fn until_empty(&self) -> anyhow::Result<()> {
        let pods = self.env.pods().await?;
        until("the pods to be gone", PATIENCE, async || {
            let left = pods.list(&ListParams::default()).await?.items;
            Ok(left.is_empty().then_some(()))
        })
        .await?;
        assert!(self.node.running().is_empty());
        Ok(())
    }
}

#[tokio::test]
async fn an_upgrade_a_broken_one_and_a_rollback_leave_a_binding_ready() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let folder = tempfile::tempdir()?;
    let current = env!("CARGO_PKG_VERSION");
    let older = changed("azwib", folder.path(), |name, text| match name {
        "Chart.yaml" => text.replace(current, OLDER),
        _ => text,
    });
    let (older, newer) = (older.to_str().unwrap(), chart("azwib"));
    let newer = newer.to_str().unwrap();
    let waits = ["--wait", "--timeout=2m", "--values=-"];
    let install = [&["install", "azwib", older][..], &waits].concat();
    output(cluster.helm(&install).await?);
    let rolled_out = [
        "rollout",
        "status",
        "deployment/azwib-operator",
        "--timeout=1s",
    ];
    let rolled_out = [&rolled_out[..], &["-n", NAMESPACE]].concat();
    cluster.env.control_plane.kubectl(&rolled_out).await?;
    assert_eq!(cluster.env.ready_pods().await?.len(), 2);
    let shop = cluster.with_a_binding().await?;
    let led = cluster.env.leader().await?;

    let upgrade = [&["upgrade", "azwib", newer][..], &waits].concat();
    let upgraded = shop.undisturbed(2, cluster.helm(&upgrade)).await?;
    output(upgraded);
    let pods = cluster.env.ready_pods().await?;
    let leads = cluster.env.leader().await?;
    assert!(!pods.contains(&led) && pods.contains(&leads), "{pods:?}");
    let images = [
        "get",
        "pods",
        "-n",
        NAMESPACE,
        "--output=jsonpath={..image}",
    ];
    let images = cluster.env.control_plane.kubectl(&images).await?;
    assert!(
        images.contains(current) && !images.contains(OLDER),
        "{images}"
    );

    // A flag that the operator does not know: it ends at once, and Helm takes the change back.
    let broken = [
        "--rollback-on-failure",
        "--timeout=30s",
        "--values=-",
        "--set=extraArgs={--no-such-flag}",
    ];
    let broken = [&["upgrade", "azwib", newer][..], &broken].concat();
    let failed = shop.undisturbed(2, cluster.helm(&broken)).await?;
    let said = String::from_utf8(failed.stderr)?;
    assert!(
        !failed.status.success() && said.contains("rollback-on-failure"),
        "{said}"
    );
    assert_eq!(cluster.env.ready_pods().await?, pods);

    // An image that nobody has pushed, and a rollback by hand.
    let broken = [&upgrade[..], &["--timeout=20s", "--set=image.tag=none"]].concat();
    let back = ["rollback", "azwib", "2", "--wait", "--timeout=2m"];
    let (failed, back) = shop
        .undisturbed(2, async {
            let failed = cluster.helm(&broken).await?;
            Ok((failed, cluster.helm(&back).await?))
        })
        .await?;
    assert!(!failed.status.success());
    output(back);
    assert_eq!(cluster.env.ready_pods().await?, pods);
    cluster.uninstall().await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn an_installation_that_cannot_start_fails_when_its_time_is_over() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let chart = chart("azwib");
    let install = [
        "install",
        "azwib",
        chart.to_str().unwrap(),
        "--values=-",
        "--wait",
        "--timeout=20s",
    ];
    let without_client = [
        &install[..],
        &["--set=auth.clientId=REPLACE_WITH_CLIENT_ID_OF_THE_OPERATORS_IDENTITY"],
    ]
    .concat();
    let began = Instant::now();
    let failed = cluster.helm(&without_client).await?;
    assert!(!failed.status.success());
    assert!(began.elapsed() >= Duration::from_secs(20));
    let running = cluster
        .env
        .pods()
        .await?
        .list(&ListParams::default())
        .await?;
    let name = running.items[0].metadata.name.clone().unwrap();
    let log = cluster.node.log(&name)?;
    assert!(log.contains("--azure-client-id"), "{log}");
    cluster.uninstall().await
}
