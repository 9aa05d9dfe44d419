//! Several clusters with an operator each, whose bindings fill the same identities. The operators know nothing of each other: Azure
//! refuses one of two writes to an identity at the same time, and who was refused has to come back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use azwib_crds::WorkloadIdentityBinding;
use futures::future;
use jiff::Timestamp;
use kube::Client;

use super::bound::lower_bound;
use super::cases::Case;
use super::counts::{Counts, Window, count};
use super::creation::create_all;
use super::process::{self, difference};
use super::readiness::Readiness;
use super::report::{Figures, Fleet, milliseconds, seconds};
use super::setup::{
    FLAGS, GROUP, binding, make_namespaces, namespace_name, slow_down, try_creation,
};
use super::under_way::Measured;
use crate::demo::progress::Progress;
use crate::environment::{PATIENCE, SimulatorProcess};
use crate::{Environment, EnvironmentOptions, OperatorProcess};

/// How many clusters there are.
const CLUSTERS: usize = 5;

/// One of the clusters.
struct Cluster {
    // Dropped first: they use what goes with the environment.
    readiness: Readiness,
    operator: OperatorProcess,
    client: Client,
    bindings: Vec<WorkloadIdentityBinding>,
    environment: Environment,
}

/// What one of them has shown.
struct Shown {
    apply: Duration,
    all_ready: Duration,
    reasons: BTreeSet<String>,
}

/// Runs the case.
///
/// # Errors
/// Something does not start, or the bindings do not become Ready within a generous limit.
pub(super) async fn run(case: &Case, progress: &Progress) -> anyhow::Result<Measured> {
    let tell = |what: &str| progress.note(&format!("{}: {what}", case.name));
    let azure = Arc::new(SimulatorProcess::start("warn").await?);
    let control = azure.control();
    control.create_resource_group(GROUP).await?;
    let mut identities = Vec::new();
    for number in 0..case.identities {
        let identity = format!("identity-{number:04}");
        identities.push(control.create_identity(GROUP, &identity).await?.id);
    }
    let mut clusters = Vec::new();
    for number in 0..CLUSTERS {
        tell(&format!("starting cluster {} of {CLUSTERS}", number + 1));
        let bindings = case.bindings / CLUSTERS;
        clusters.push(Cluster::start(&azure, number, bindings, &identities).await?);
    }
    slow_down(&control, case.latency).await?;
    control.clear_log().await?;

    tell(&format!("creating {} bindings", case.bindings));
    let limit = PATIENCE + 10 * lower_bound(case, Duration::ZERO);
    let cpu = process::cpu_by_program()?;
    let (began, start) = (Timestamp::now(), Instant::now());
    let shown = clusters.iter().map(|it| it.create(start, limit));
    let shown = future::try_join_all(shown).await?;
    let cpu = difference(process::cpu_by_program()?, &cpu);
    let mut counts = Counts::default();
    for cluster in clusters {
        counts += count(&cluster.environment, Window::since(began)).await?;
        cluster.operator.terminate().await?;
        drop(cluster.environment);
    }
    Ok(Measured {
        figures: figures(case, &shown, counts),
        cpu,
    })
}

impl Cluster {
    async fn start(
        azure: &Arc<SimulatorProcess>,
        number: usize,
        count: usize,
        identities: &[String],
    ) -> anyhow::Result<Self> {
        let environment = Environment::start(EnvironmentOptions {
            operator_flags: FLAGS.map(str::to_owned).to_vec(),
            azure: Some(Arc::clone(azure)),
            operator_identity: format!("azwib-operator-{number}"),
            start_operator: false,
            keep_records: false,
            for_measurements: true,
            ..EnvironmentOptions::default()
        })
        .await?;
        let group = format!(
            "/subscriptions/{}/resourceGroups/{GROUP}",
            azure.subscription()
        );
        environment.grant_operator(&group).await?;
        let client = environment.client().await?;
        make_namespaces(&client, 1).await?;
        let made = (0..count).map(|number| {
            let name = format!("b-{number:05}");
            let identity = &identities[number % identities.len()];
            binding(&name, &namespace_name(0), identity)
        });
        let bindings = made.collect::<Result<Vec<_>, _>>()?;
        try_creation(&client, bindings.first()).await?;
        let readiness = Readiness::follow(client.clone()).await?;
        let flags = environment.operator_flags();
        let operator = environment
            .operator_with(flags, Default::default(), None)
            .await?;
        operator.probe_until("/readyz", 200, "ok").await?;
        Ok(Self {
            readiness,
            operator,
            client,
            bindings,
            environment,
        })
    }

    /// Creates its bindings, and waits until all are Ready.
    async fn create(&self, start: Instant, limit: Duration) -> anyhow::Result<Shown> {
        create_all(&self.client, &self.bindings).await?;
        let apply = start.elapsed();
        let count = self.bindings.len();
        let all = self
            .readiness
            .until(
                "all to be Ready",
                limit,
                |_| (),
                |seen| seen.ready() == count,
            )
            .await
            .with_context(|| self.operator.log_tail())?;
        let ready = all.ready_since().map(|(_, since)| since).max();
        Ok(Shown {
            apply,
            all_ready: ready.unwrap_or(start) - start,
            reasons: all.reasons().clone(),
        })
    }
}

fn figures(case: &Case, shown: &[Shown], counts: Counts) -> Figures {
    let apply = shown.iter().map(|it| it.apply).max().unwrap_or_default();
    let slowest = shown
        .iter()
        .map(|it| it.all_ready)
        .max()
        .unwrap_or_default();
    let fastest = shown
        .iter()
        .map(|it| it.all_ready)
        .min()
        .unwrap_or_default();
    let bound = lower_bound(case, apply);
    let mut figures = Figures {
        name: case.name.clone(),
        bindings: case.bindings,
        identities: case.identities,
        latency_ms: milliseconds(case.latency),
        apply_s: seconds(apply),
        all_ready_s: seconds(slowest),
        lower_bound_s: seconds(bound),
        ratio: seconds(Duration::from_secs_f64(slowest.div_duration_f64(bound))),
        fleet: Some(Fleet {
            fastest_s: seconds(fastest),
            spread: seconds(Duration::from_secs_f64(slowest.div_duration_f64(fastest))),
            reasons: shown.iter().flat_map(|it| it.reasons.clone()).collect(),
        }),
        ..Figures::default()
    };
    figures.set_counts(counts);
    figures
}
