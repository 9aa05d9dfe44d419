//! The creation of a case's bindings, from the first object sent to the last one Ready.

use std::time::{Duration, Instant};

use azwib_crds::WorkloadIdentityBinding;
use futures::{StreamExt, TryStreamExt, future, stream};
use jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use tokio::time::sleep;

use super::bound::lower_bound;
use super::counts::{Window, count};
use super::process::{self, Cpu, difference};
use super::readiness::Seen;
use super::report::{Figures, milliseconds, seconds};
use super::setup::AT_ONCE;
use super::under_way::{LIMIT_OF_A_BINDING, REST, Run};
use crate::OperatorProcess;
use crate::environment::PATIENCE;

/// Reason of a binding that waits for a slot.
const NO_SLOT: &str = "CredentialLimitReached";

/// The creation of a case's bindings.
pub(super) struct Created {
    pub(super) began: Timestamp,
    apply: Duration,
    first_ready: Duration,
    all_ready: Duration,
    /// Of the operator.
    operator_cpu: Duration,
    /// Of everybody.
    pub(super) cpu: Cpu,
}

/// Sends bindings, as fast as the API server takes them.
pub(super) async fn create_all(
    client: &Client,
    bindings: &[WorkloadIdentityBinding],
) -> kube::Result<()> {
    let create = async |binding: &WorkloadIdentityBinding| {
        let namespace = binding.namespace().unwrap_or_default();
        let bindings = Api::namespaced(client.clone(), &namespace);
        bindings.create(&PostParams::default(), binding).await
    };
    let created = stream::iter(bindings).map(create).buffer_unordered(AT_ONCE);
    created.try_for_each(|_| future::ok(())).await
}

impl Run<'_> {
    /// Creates the bindings and waits until as many as fit are Ready. The process of this id makes them so.
    pub(super) async fn create(&self, writer: u32) -> anyhow::Result<Created> {
        self.setup.environment.control().clear_log().await?;
        let expected = self.case.credentials();
        let waiting = self.case.bindings - expected;
        let done = |seen: &Seen| seen.ready() == expected && seen.not_for(NO_SLOT) == waiting;
        let bound = lower_bound(self.case, Duration::ZERO);
        let limit = PATIENCE + 3 * bound + LIMIT_OF_A_BINDING * u32::try_from(self.case.bindings)?;
        let tell = |seen: &Seen| self.tell(&seen.told());

        let cpu = process::cpu_by_program()?;
        let operator_cpu = process::cpu(writer)?;
        let (began, start) = (Timestamp::now(), Instant::now());
        let all_ready = self
            .setup
            .readiness
            .until("all to be Ready", limit, tell, done);
        let (apply, seen) = future::try_join(self.apply(), all_ready).await?;
        let since = |moment: Option<Instant>| moment.unwrap_or(start) - start;
        let created = Created {
            began,
            apply,
            first_ready: since(seen.ready_since().map(|(_, since)| since).min()),
            all_ready: since(seen.ready_since().map(|(_, since)| since).max()),
            operator_cpu: process::cpu(writer)? - operator_cpu,
            cpu: difference(process::cpu_by_program()?, &cpu),
        };
        Ok(created)
    }

    /// Sends all bindings, as fast as the API server takes them.
    async fn apply(&self) -> anyhow::Result<Duration> {
        let client = self.setup.environment.client().await?;
        let start = Instant::now();
        create_all(&client, &self.setup.bindings).await?;
        Ok(start.elapsed())
    }

    /// What a creation has shown, without what was counted.
    pub(super) fn figures(&self, created: &Created) -> Figures {
        let bound = lower_bound(self.case, created.apply);
        Figures {
            name: self.case.name.clone(),
            bindings: self.case.bindings,
            identities: self.case.identities,
            latency_ms: milliseconds(self.case.latency),
            throttled: self.case.throttled,
            apply_s: seconds(created.apply),
            first_ready_s: seconds(created.first_ready),
            all_ready_s: seconds(created.all_ready),
            lower_bound_s: seconds(bound),
            ratio: seconds(Duration::from_secs_f64(
                created.all_ready.div_duration_f64(bound),
            )),
            ..Figures::default()
        }
    }

    /// Counts what the creation took, with all that follows at once.
    pub(super) async fn after_creation(
        &self,
        operator: &OperatorProcess,
        created: &Created,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let counted = async || count(&self.setup.environment, Window::since(created.began)).await;
        let mut counts = counted().await?;
        loop {
            sleep(REST).await;
            let before = std::mem::replace(&mut counts, counted().await?);
            if before.kubernetes_writes == counts.kubernetes_writes {
                break;
            }
        }
        figures.set_counts(counts);
        figures.cpu_s = seconds(created.operator_cpu);
        figures.peak_rss_mib = process::peak_memory(operator.pid())?;
        figures.idle_rss_mib = Some(process::memory(operator.pid())?);
        Ok(())
    }
}
