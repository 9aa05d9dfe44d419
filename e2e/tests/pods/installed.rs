//! azwib, installed by a copy of the template overlay.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use azwib_e2e::environment::{Namespace, repository};
use azwib_e2e::{Environment, EnvironmentOptions, Node, Webhook};
use serde_json::{Value, json};

/// The image that the overlay names.
const IMAGE: &str = "registry.example/azwib-operator:0.1.0";

/// The operator's container in a JSON patch of the Deployment.
pub(crate) const CONTAINER: &str = "/spec/template/spec/containers/0";

/// An environment with the operator in two pods. The node is dropped first: with the other way round its pods would be seen to lose their API
/// server.
pub(crate) struct Installed {
    pub(crate) node: Node,
    pub(crate) env: Environment,
    _webhook: Webhook,
}

impl Installed {
    /// Applies a filled-in copy of `config/overlays/template`, and waits as the user guide says.
    pub(crate) async fn start(renew_tokens_after: Option<Duration>) -> anyhow::Result<Self> {
        let env = Environment::start(EnvironmentOptions {
            config: None,
            install_crd: false,
            start_operator: false,
            ..EnvironmentOptions::default()
        })
        .await?;
        let webhook = env.start_webhook().await?;
        let node = env.start_node(&[IMAGE], renew_tokens_after).await?;
        env.prepare_namespace().await?;
        let overlay = overlay(&env)?;
        let installed = Self {
            node,
            env,
            _webhook: webhook,
        };
        let began = Instant::now();
        installed
            .kubectl(&["apply", "-k", overlay.to_str().context("no text")?])
            .await?;
        installed.rolled_out().await?;
        eprintln!("installed with kustomize in {:?}", began.elapsed());
        Ok(installed)
    }

    pub(crate) async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        self.env.control_plane.kubectl(args).await
    }

    /// `kubectl rollout status`, which ends once the Deployment is rolled out.
    ///
    /// # Errors
    /// It is not in time: with what containers wait for.
    pub(crate) async fn rolled_out(&self) -> anyhow::Result<()> {
        let (namespace, deployment) = ("--namespace=azwib-system", "deployment/azwib-operator");
        let status = ["rollout", "status", deployment, "--timeout=2m", namespace];
        let Err(error) = self.kubectl(&status).await else {
            return Ok(());
        };
        let waiting = "--output=jsonpath={.items[*].status.containerStatuses[*].state.waiting}";
        let waiting = self.kubectl(&["get", "pods", namespace, waiting]).await?;
        Err(error.context(format!("containers wait: {waiting}")))
    }

    /// Changes the Deployment by a JSON patch.
    pub(crate) async fn patch(&self, patch: Value) -> anyhow::Result<()> {
        self.kubectl(&[
            "-n",
            "azwib-system",
            "patch",
            "deployment/azwib-operator",
            "--type=json",
            &format!("--patch={patch}"),
        ])
        .await
        .map(drop)
    }

    /// A namespace with a binding that is Ready.
    pub(crate) async fn with_a_binding(&self) -> anyhow::Result<Namespace<'_>> {
        let shop = self.env.namespace("pods").await?;
        shop.grant_all("pods").await?;
        let orders = shop.identity("orders").await?;
        shop.bind_to("orders", &orders).await?;
        shop.ready("orders").await?;
        Ok(shop)
    }
}

/// A copy of `config/` whose template is filled in as its comments say, with what a private cloud needs besides.
fn overlay(env: &Environment) -> anyhow::Result<std::path::PathBuf> {
    let config = env.control_plane.directory().join("config");
    copy(&repository().join("config"), &config)?;
    let overlay = config.join("overlays/template");
    let file = overlay.join("kustomization.yaml");
    let mut kustomization: Value = serde_yaml_ng::from_str(&fs::read_to_string(&file)?)?;
    let (variables, patch) = env.kustomize_values();
    let literals = variables.into_iter().chain([
        ("AZWIB_ISSUER", env.issuer().to_owned()),
        ("AZWIB_METRICS_SECURE", "false".to_owned()),
    ]);
    let literals: Vec<_> = literals.map(|(name, it)| format!("{name}={it}")).collect();
    kustomization["configMapGenerator"][0]["literals"] = json!(literals);
    let patches = kustomization["patches"].as_array_mut().context("patches")?;
    let text = patches[0]["patch"].as_str().context("a patch")?;
    let client_id = env.operator_client_id().to_string();
    let placeholder = "REPLACE_WITH_CLIENT_ID_OF_THE_OPERATORS_IDENTITY";
    let filled_in = text.replace(placeholder, &client_id);
    anyhow::ensure!(filled_in != text, "no placeholder in {text}");
    patches[0]["patch"] = json!(filled_in);
    patches.push(json!({ "patch": patch.to_string() }));
    let (name, tag) = IMAGE.split_once(':').context("no tag")?;
    kustomization["images"] =
        json!([{ "name": "ghcr.io/azwib/azwib-operator", "newName": name, "newTag": tag }]);
    fs::write(&file, kustomization.to_string())?;
    Ok(overlay)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (from, to) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if from.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}
