//! What a case stands on: a cluster and an Azure of its own, the identities, and the bindings that are going to be created.

use std::collections::BTreeMap;
use std::time::Duration;

use azure_simulator::control::ControlClient;
use azure_simulator::control::api::{Latency, Matcher, Service, Throttling, Tunables};
use azwib_crds::WorkloadIdentityBinding;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::bound::BURST_SECONDS;
use super::cases::Case;
use super::readiness::Readiness;
use crate::{Environment, EnvironmentOptions, OperatorProcess};

/// The resource group of all identities.
pub(super) const GROUP: &str = "rg-bench";

/// Requests that are sent at once while something is made.
pub(super) const AT_ONCE: usize = 32;

/// What the operator runs with: what users run, without the wait for Entra's replicas.
pub(super) const FLAGS: [&str; 2] = ["--propagation-delay=0s", "--log-level=info"];

/// The ground of one case. All of it is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Setup {
    // Dropped first: it watches what goes with the environment.
    pub(super) readiness: Readiness,
    pub(super) bindings: Vec<WorkloadIdentityBinding>,
    pub(super) environment: Environment,
}

impl Setup {
    /// Brings everything up but the operator.
    ///
    /// # Errors
    /// A part of it does not start, or an object cannot be made.
    pub(super) async fn start(case: &Case) -> anyhow::Result<Self> {
        let environment = Environment::start(EnvironmentOptions {
            operator_flags: FLAGS.map(str::to_owned).to_vec(),
            grants: Some(if case.granted { "enforce" } else { "off" }),
            start_operator: false,
            install_crd: true,
            // The recorder would look at every status, on the same cores.
            keep_records: false,
            for_measurements: true,
            ..EnvironmentOptions::default()
        })
        .await?;
        let client = environment.client().await?;
        let of_a_namespace = case.bindings_of_a_namespace();
        make_namespaces(&client, case.bindings.div_ceil(of_a_namespace)).await?;
        let ids = make_identities(&environment, case.identities).await?;
        let bindings = (0..case.bindings)
            .map(|number| {
                let namespace = namespace_name(number / of_a_namespace);
                let name = format!("b-{number:05}");
                binding(&name, &namespace, &ids[case.identity_of(number)])
            })
            .collect::<Result<Vec<_>, _>>()?;
        try_creation(&client, bindings.first()).await?;
        let readiness = Readiness::follow(client).await?;
        let setup = Self {
            readiness,
            bindings,
            environment,
        };
        setup.hold_up(case).await?;
        Ok(setup)
    }

    /// Resource Manager takes its time, and has budgets. Signing in does not: that is one request in hours, whatever the
    /// number of bindings.
    async fn hold_up(&self, case: &Case) -> anyhow::Result<()> {
        let control = self.environment.control();
        slow_down(&control, case.latency).await?;
        let tunables = Tunables {
            throttling: case.throttled.then(|| Throttling::published(BURST_SECONDS)),
            ..control.tunables().await?
        };
        Ok(control.set_tunables(&tunables).await?)
    }

    /// Starts the operator with further flags, which come before the usual ones of the same name, and waits until it is ready.
    ///
    /// # Errors
    /// It does not start.
    pub(super) async fn operator(&self, flags: &[String]) -> anyhow::Result<OperatorProcess> {
        let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
        let mut all = self.environment.operator_flags();
        all.retain(|usual| flags.iter().all(|flag| name(flag) != name(usual)));
        let flags = [all, flags.to_vec()].concat();
        let operator = self
            .environment
            .operator_with(flags, BTreeMap::new(), None)
            .await?;
        operator.probe_until("/readyz", 200, "ok").await?;
        Ok(operator)
    }
}

/// Resource Manager takes this long for each request.
pub(super) async fn slow_down(control: &ControlClient, latency: Duration) -> anyhow::Result<()> {
    let latency = Latency {
        matcher: Matcher {
            service: Some(Service::ResourceManager),
            ..Matcher::default()
        },
        milliseconds: latency.as_millis().try_into()?,
        jitter_milliseconds: 0,
    };
    Ok(control.set_latencies(&[latency]).await?)
}

pub(super) fn namespace_name(number: usize) -> String {
    format!("bench-{number}")
}

pub(super) async fn make_namespaces(client: &Client, count: usize) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let make = async |number| {
        let labels = json!({ "bench": "all" });
        let namespace = json!({ "metadata": { "name": namespace_name(number), "labels": labels } });
        let namespace = serde_json::from_value(namespace)?;
        namespaces
            .create(&PostParams::default(), &namespace)
            .await?;
        anyhow::Ok(())
    };
    let made = stream::iter((0..count).map(make)).buffer_unordered(AT_ONCE);
    made.try_collect().await
}

/// Creates a binding without storing it. For a definition that is younger than two seconds an API server holds creations
/// back for two more, so that all its replicas know of it.
pub(super) async fn try_creation(
    client: &Client,
    binding: Option<&WorkloadIdentityBinding>,
) -> anyhow::Result<()> {
    let Some(binding) = binding else {
        return Ok(());
    };
    let namespace = binding.namespace().unwrap_or_default();
    let bindings: Api<WorkloadIdentityBinding> = Api::namespaced(client.clone(), &namespace);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    bindings.create(&dry_run, binding).await?;
    Ok(())
}

/// Makes the identities, and lets the operator at them; gives their ARM ids.
async fn make_identities(environment: &Environment, count: usize) -> anyhow::Result<Vec<String>> {
    let control = environment.control();
    control.create_resource_group(GROUP).await?;
    let group = format!(
        "/subscriptions/{}/resourceGroups/{GROUP}",
        environment.simulator.subscription()
    );
    environment.grant_operator(&group).await?;
    let make = async |number| {
        let identity = control
            .create_identity(GROUP, &format!("identity-{number:04}"))
            .await?;
        anyhow::Ok(identity.id)
    };
    let made = stream::iter((0..count).map(make)).buffered(AT_ONCE);
    made.try_collect().await
}

/// A binding as most will be: all defaults.
pub(super) fn binding(
    name: &str,
    namespace: &str,
    identity: &str,
) -> anyhow::Result<WorkloadIdentityBinding> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "azwib.dev/v1alpha1",
        "kind": "WorkloadIdentityBinding",
        "metadata": { "name": name, "namespace": namespace },
        "spec": { "identity": { "resourceId": identity } },
    }))?)
}
