//! How long nobody leads: after the leader has given the Lease back, and after it was killed. And what the next one does first.

use std::time::Instant;

use anyhow::Context;
use azwib_crds::WorkloadIdentityBinding;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use serde_json::json;
use tokio::time::sleep;

use super::counts::{Window, is_write};
use super::creation::Created;
use super::granted::passes;
use super::process;
use super::report::{Figures, Takeover, Takeovers, seconds};
use super::setup::{GROUP, binding};
use super::under_way::{REST, Run};
use crate::environment::PATIENCE;
use crate::environment::rule::create;
use crate::{OperatorProcess, wait};

/// What an operator needs outside of a cluster to elect a leader; all else is the default.
pub(super) const FLAGS: [&str; 2] = ["--leader-elect", "--leader-election-namespace=azwib-system"];

/// How the old leader ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// It is told to stop, and gives the Lease back.
    Stop,
    /// It is killed, and the Lease runs out.
    Crash,
}

impl End {
    fn newcomer(self) -> &'static str {
        match self {
            Self::Stop => "newcomer-after-stop",
            Self::Crash => "newcomer-after-crash",
        }
    }
}

impl Run<'_> {
    /// Has another operator take over twice.
    pub(super) async fn takeover(
        &self,
        operator: OperatorProcess,
        created: &Created,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        self.after_creation(&operator, created, figures).await?;
        let standby = self.standby().await?;
        let leader_rss_mib = process::memory(operator.pid())?;
        let standby_rss_mib = process::memory(standby.pid())?;
        let after_stop = self.led_by(operator, &standby, End::Stop).await?;
        let next = self.standby().await?;
        let after_crash = self.led_by(standby, &next, End::Crash).await?;
        figures.takeovers = Some(Takeovers {
            leader_rss_mib,
            standby_rss_mib,
            after_stop,
            after_crash,
        });
        Ok(())
    }

    /// A further operator that knows all bindings, and waits.
    async fn standby(&self) -> anyhow::Result<OperatorProcess> {
        let standby = self.setup.operator(&FLAGS.map(str::to_owned)).await?;
        sleep(REST).await;
        anyhow::ensure!(!leads(&standby).await?, "it leads beside the other");
        Ok(standby)
    }

    /// Ends the leader, and has a newcomer come at the same moment.
    async fn led_by(
        &self,
        leader: OperatorProcess,
        next: &OperatorProcess,
        end: End,
    ) -> anyhow::Result<Takeover> {
        let newcomer = self.newcomer_of(end).await?;
        self.tell(&format!("{end:?} of the leader"));
        match end {
            End::Stop => leader.terminate().await?,
            End::Crash => leader.kill().await?,
        };
        let (from, start) = (Timestamp::now(), Instant::now());
        let led = async {
            until_leads(next).await?;
            let led = start.elapsed();
            // The newcomer as well.
            let expected = self.case.bindings as f64 + 1.0;
            wait::until("a pass of each binding", PATIENCE, async || {
                Ok((passes(next).await? >= expected).then_some(()))
            })
            .await?;
            anyhow::Ok((led, start.elapsed()))
        };
        let (led, ready) = tokio::join!(led, self.time_to_ready(&newcomer));
        let ((led, looked), ready) = (led?, ready?);
        sleep(REST).await;
        let (kubernetes_writes, azure_writes) = self.written(Window::since(from), end).await?;
        Ok(Takeover {
            led_s: seconds(led),
            looked_s: seconds(looked.saturating_sub(led)),
            newcomer_s: seconds(ready.saturating_sub(led)),
            kubernetes_writes,
            azure_writes,
        })
    }

    /// A binding that is not created yet, with a namespace and an identity of its own.
    async fn newcomer_of(&self, end: End) -> anyhow::Result<WorkloadIdentityBinding> {
        let name = end.newcomer();
        let client = self.setup.environment.client().await?;
        let namespaces: Api<Namespace> = Api::all(client);
        create(&namespaces, json!({ "metadata": { "name": name } })).await?;
        let control = self.setup.environment.control();
        let identity = control.create_identity(GROUP, name).await?;
        binding(name, name, &identity.id)
    }

    /// Writes to the cluster and to Azure, without those for the newcomer.
    async fn written(&self, window: Window, end: End) -> anyhow::Result<(usize, usize)> {
        let environment = &self.setup.environment;
        let (mut writes, mut failed) = (0, None);
        environment.control_plane.for_each_audited(|event| {
            let object = event.object_ref.as_ref();
            let namespace = object.and_then(|it| it.namespace.as_deref());
            if namespace == Some(end.newcomer()) {
                return;
            }
            match is_write(&event, window) {
                Ok(is_write) => writes += usize::from(is_write),
                Err(error) => failed = Some(error),
            }
        })?;
        failed.map_or(Ok(()), Err)?;
        let mut requests = environment.control().requests().await?;
        let newcomer = format!("/{}", end.newcomer());
        requests.retain(|it| {
            window.contains(it.started) && it.identity.is_some() && !it.path.contains(&newcomer)
        });
        Ok((writes, requests.len()))
    }
}

/// Waits until an operator leads.
pub(super) async fn until_leads(operator: &OperatorProcess) -> anyhow::Result<()> {
    wait::until("an operator to lead", PATIENCE, async || {
        Ok(leads(operator).await?.then_some(()))
    })
    .await
}

async fn leads(operator: &OperatorProcess) -> anyhow::Result<bool> {
    let metrics = operator.metrics().await?;
    let status = "leader_election_master_status{name=\"azwib-operator\"} ";
    let status = metrics.lines().find_map(|line| line.strip_prefix(status));
    Ok(status.context("it does not say whether it leads")? == "1")
}
