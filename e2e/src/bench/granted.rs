//! Many bindings, each under a grant: what a further grant over all of them costs, and what a tenant who asks for looks all the time
//! costs another one.

use std::time::{Duration, Instant};

use anyhow::Context;
use azwib_crds::{IdentityGrant, WorkloadIdentityBinding};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::cases::Case;
use super::counts::{Window, count};
use super::creation::Created;
use super::process;
use super::report::{Figures, Granted, seconds};
use super::setup::{AT_ONCE, GROUP, Setup, binding, namespace_name};
use super::under_way::Run;
use crate::OperatorProcess;
use crate::environment::PATIENCE;
use crate::environment::rule::create;

/// The operator says how long it looked for whom a grant concerns.
pub(super) const LOG_LEVEL: &str =
    "--log-level=info,azwib_operator::binding::controller::grants=debug";

/// What it says then.
const ASKED_AGAIN: &str = "grants were asked again";

/// Bindings under one of the first grants.
const BINDINGS_OF_A_GRANT: usize = 2;

/// How long the tenant asks for looks before the newcomer comes.
const TOGGLED_BEFORE: Duration = Duration::from_secs(20);

const NEWCOMER: &str = "newcomer";

/// Makes the grants: each for the accounts of two bindings.
pub(super) async fn grant(setup: &Setup, case: &Case) -> anyhow::Result<()> {
    let client = setup.environment.client().await?;
    let grants: Api<IdentityGrant> = Api::all(client);
    let scope = scope(setup);
    let make = async |number: usize| {
        let pair = &setup.bindings[number * BINDINGS_OF_A_GRANT..][..BINDINGS_OF_A_GRANT];
        let names: Vec<_> = pair.iter().map(ResourceExt::name_any).collect();
        let namespace =
            namespace_name(number * BINDINGS_OF_A_GRANT / case.bindings_of_a_namespace());
        let spec = json!({
            "identities": [{ "scope": scope }],
            "namespaces": { "names": [namespace] },
            "serviceAccounts": { "names": names },
        });
        create(&grants, grant_named(&format!("bench-{number:05}"), &spec)).await
    };
    let count = case.bindings / BINDINGS_OF_A_GRANT;
    let made = stream::iter((0..count).map(make)).buffer_unordered(AT_ONCE);
    made.try_collect().await
}

fn grant_named(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "azwib.dev/v1alpha1", "kind": "IdentityGrant", "metadata": { "name": name }, "spec": spec,
    })
}

fn scope(setup: &Setup) -> String {
    let subscription = setup.environment.simulator.subscription();
    format!("/subscriptions/{subscription}/resourceGroups/{GROUP}")
}

impl Run<'_> {
    pub(super) async fn granted(
        &self,
        operator: &OperatorProcess,
        created: &Created,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        self.after_creation(operator, created, figures).await?;
        let created_rss_mib = figures.peak_rss_mib;
        self.tell("a grant over all bindings comes");
        let (evaluated_ms, looked, looked_writes) = self.grant_over_all(operator).await?;
        self.tell("the tenant asks for looks all the time");
        let (toggles_per_s, newcomer) = self.beside_toggles().await?;
        figures.peak_rss_mib = process::peak_memory(operator.pid())?;
        figures.granted = Some(Granted {
            evaluated_ms,
            looked_s: seconds(looked),
            looked_writes,
            toggles_per_s,
            newcomer_s: seconds(newcomer),
            created_rss_mib,
        });
        Ok(())
    }

    /// How long the operator took to find whom it concerns (milliseconds), and to look at them; and how much it wrote.
    async fn grant_over_all(
        &self,
        operator: &OperatorProcess,
    ) -> anyhow::Result<(u64, Duration, usize)> {
        let grants: Api<IdentityGrant> = Api::all(self.setup.environment.client().await?);
        let spec = json!({
            "identities": [{ "scope": scope(&self.setup) }],
            "namespaces": { "selector": { "matchLabels": { "bench": "all" } } },
        });
        let before = passes(operator).await?;
        let (began, start) = (Timestamp::now(), Instant::now());
        create(&grants, grant_named("all", &spec)).await?;
        let expected = before + self.case.bindings as f64;
        while passes(operator).await? < expected {
            anyhow::ensure!(start.elapsed() < PATIENCE, "not all bindings are looked at");
            sleep(Duration::from_millis(200)).await;
        }
        let looked = start.elapsed();
        let writes = count(&self.setup.environment, Window::since(began)).await?;
        let log = operator.log()?;
        let of_all = format!("bindings={}", self.case.bindings);
        let line = log
            .lines()
            .rfind(|line| line.contains(ASKED_AGAIN) && line.contains(&of_all))
            .context("the operator does not say how long it looked")?;
        let milliseconds = line
            .split_once("milliseconds=")
            .and_then(|(_, rest)| rest.split_whitespace().next())
            .context("the operator does not say how long it looked")?;
        Ok((milliseconds.parse()?, looked, writes.kubernetes_writes))
    }

    /// How many requests for a look there were in a second, and how long a newcomer of another tenant took beside them.
    async fn beside_toggles(&self) -> anyhow::Result<(f64, Duration)> {
        let client = self.setup.environment.client().await?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let labels = json!({ "bench": "all" });
        let namespace = json!({ "metadata": { "name": NEWCOMER, "labels": labels } });
        create(&namespaces, namespace).await?;
        let control = self.setup.environment.control();
        let identity = control.create_identity(GROUP, NEWCOMER).await?;
        let newcomer = binding(NEWCOMER, NEWCOMER, &identity.id)?;
        let start = Instant::now();
        let mut toggles = 0_u64;
        let toggling = async {
            let mut toggled = stream::iter(self.setup.bindings.iter().cycle())
                .map(|binding| toggle(&client, binding))
                .buffer_unordered(AT_ONCE);
            while toggled.try_next().await?.is_some() {
                toggles += 1;
            }
            anyhow::Ok(())
        };
        let arrival = async {
            sleep(TOGGLED_BEFORE).await;
            self.time_to_ready(&newcomer).await
        };
        let took = tokio::select! {
            ended = toggling => {
                ended?;
                anyhow::bail!("there are no bindings");
            }
            took = arrival => took?,
        };
        let rate = toggles as f64 / start.elapsed().as_secs_f64();
        Ok((rate.round(), took))
    }
}

async fn toggle(client: &Client, binding: &WorkloadIdentityBinding) -> anyhow::Result<()> {
    let namespace = binding.namespace().unwrap_or_default();
    let bindings: Api<WorkloadIdentityBinding> = Api::namespaced(client.clone(), &namespace);
    let now = Timestamp::now().to_string();
    let annotations = json!({ "azwib.dev/reconcile-requested-at": now });
    let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
    let name = binding.name_any();
    bindings
        .patch(&name, &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

/// How many passes the operator has made.
pub(super) async fn passes(operator: &OperatorProcess) -> anyhow::Result<f64> {
    let metrics = operator.metrics().await?;
    let counts = metrics
        .lines()
        .filter(|line| line.starts_with("controller_runtime_reconcile_total{"))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    Ok(counts.sum())
}
