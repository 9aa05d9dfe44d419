//! What a crowd in other namespaces costs a newcomer that has nothing to do with it.

use std::time::{Duration, Instant};

use anyhow::Context;
use azwib_crds::WorkloadIdentityBinding;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::time::sleep;

use super::cases::Crowd;
use super::process::{self, difference};
use super::readiness::Seen;
use super::report::{Beside, Figures, seconds};
use super::setup::{AT_ONCE, GROUP, Setup};
use super::under_way::{LIMIT_OF_A_BINDING, Measured, REST, Run};
use crate::OperatorProcess;
use crate::environment::PATIENCE;
use crate::environment::rule::create;
use crate::environment::slow_webhook::SlowWebhook;

/// The namespace of the crowd.
const NAMESPACE: &str = "crowd";

/// How long the writes of a crowd take whose admission webhook is slow.
const SLOW_WRITE: Duration = Duration::from_secs(20);

/// How long the operator is watched beside a crowd at rest.
const BESIDE: Duration = Duration::from_secs(60);

impl Run<'_> {
    /// A newcomer while a crowd is being worked on, and another once that is at rest.
    pub(super) async fn beside(
        &self,
        crowd: Crowd,
        operator: &OperatorProcess,
    ) -> anyhow::Result<Measured> {
        self.tell(&format!("making a crowd of {}", crowd.len()));
        let (all, start) = (process::cpu_by_program()?, Instant::now());
        let used = process::cpu(operator.pid())?;
        let _in_the_way = crowd.gather(&self.setup).await?;
        let apply = start.elapsed();
        self.tell("creating a newcomer beside it");
        let first = self.newcomer(0).await?;
        let limit = PATIENCE + LIMIT_OF_A_BINDING * 2 * u32::try_from(crowd.len())?;
        let tell = |seen: &Seen| self.tell(&seen.told());
        let settled = |seen: &Seen| crowd.is_settled(seen);
        self.setup
            .readiness
            .until("the crowd to be at rest", limit, tell, settled)
            .await?;
        let settled = start.elapsed();
        let cpu = difference(process::cpu_by_program()?, &all);
        let used = process::cpu(operator.pid())? - used;
        sleep(REST).await;
        let (before, from) = (process::cpu(operator.pid())?, Instant::now());
        self.tell(&format!("watching the operator for {BESIDE:?}"));
        sleep(BESIDE).await;
        let share = (process::cpu(operator.pid())? - before).div_duration_f64(from.elapsed());
        let later = self.newcomer(1).await?;
        let figures = Figures {
            name: self.case.name.clone(),
            bindings: crowd.len(),
            identities: self.case.identities,
            throttled: self.case.throttled,
            apply_s: seconds(apply),
            first_ready_s: seconds(first),
            all_ready_s: seconds(first),
            cpu_s: seconds(used),
            peak_rss_mib: process::peak_memory(operator.pid())?,
            beside: Some(Beside {
                settled_s: seconds(settled),
                cpu_percent: (share * 10_000.0).round() / 100.0,
                later_ready_s: seconds(later),
            }),
            ..Figures::default()
        };
        Ok(Measured { figures, cpu })
    }

    /// Creates one of the case's bindings; gives how long it took to be Ready.
    async fn newcomer(&self, number: usize) -> anyhow::Result<Duration> {
        let binding = self.setup.bindings.get(number).context("no such binding")?;
        self.time_to_ready(binding).await
    }

    /// Creates a binding; gives how long it took to be Ready.
    pub(super) async fn time_to_ready(
        &self,
        binding: &WorkloadIdentityBinding,
    ) -> anyhow::Result<Duration> {
        let namespace = binding.namespace().unwrap_or_default();
        let client = self.setup.environment.client().await?;
        let bindings = Api::namespaced(client, &namespace);
        let name = (namespace, binding.name_any());
        let start = Instant::now();
        bindings.create(&PostParams::default(), binding).await?;
        let ready = |seen: &Seen| {
            let mut all = seen.ready_since();
            all.find(|(of, _)| **of == name).map(|(_, since)| since)
        };
        let limit = 10 * PATIENCE;
        let told = |seen: &Seen| self.tell(&seen.told());
        let seen = self
            .setup
            .readiness
            .until("the newcomer to be Ready", limit, told, |seen| {
                ready(seen).is_some()
            })
            .await?;
        Ok(ready(&seen).context("it is Ready no more")? - start)
    }
}

impl Crowd {
    /// Whether the operator has said of all of them what is the case; it never does of those whose writes hang.
    fn is_settled(self, seen: &Seen) -> bool {
        match self {
            Self::OnFullIdentity(count) => seen.not_for("CredentialLimitReached") + 20 >= count,
            Self::OnOneAccount(count) => {
                seen.ready() + seen.not_for("ServiceAccountLimitReached") > count
            }
            Self::OnMissingIdentities(count) => seen.not_for("IdentityNotFound") >= count,
            Self::OfSlowWrites(_) => true,
        }
    }

    /// Makes it. What is returned has to live as long as the crowd is in the way.
    async fn gather(self, setup: &Setup) -> anyhow::Result<Option<SlowWebhook>> {
        let client = setup.environment.client().await?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        create(&namespaces, json!({ "metadata": { "name": NAMESPACE } })).await?;
        let webhook = match self {
            Self::OfSlowWrites(_) => {
                Some(SlowWebhook::start(&client, NAMESPACE, SLOW_WRITE).await?)
            }
            Self::OnFullIdentity(_) | Self::OnOneAccount(_) => {
                let control = setup.environment.control();
                control.create_identity(GROUP, "crowded").await?;
                None
            }
            Self::OnMissingIdentities(_) => None,
        };
        let subscription = setup.environment.simulator.subscription();
        let identity = |number: usize| {
            let name = match self {
                Self::OnFullIdentity(_) | Self::OnOneAccount(_) => "crowded".to_owned(),
                _ => format!("nobody-{number:05}"),
            };
            format!(
                "/subscriptions/{subscription}/resourceGroups/{GROUP}/providers/Microsoft.ManagedIdentity/\
                 userAssignedIdentities/{name}"
            )
        };
        let account = |number: usize| match self {
            Self::OnOneAccount(_) => "shared".to_owned(),
            _ => name(number),
        };
        bind(&client, self.len(), identity, account).await?;
        Ok(webhook)
    }
}

fn name(number: usize) -> String {
    format!("c-{number:05}")
}

async fn bind(
    client: &Client,
    count: usize,
    identity: impl Fn(usize) -> String,
    account: impl Fn(usize) -> String,
) -> anyhow::Result<()> {
    let bindings: Api<WorkloadIdentityBinding> = Api::namespaced(client.clone(), NAMESPACE);
    let make = async |number| {
        let binding = serde_json::from_value(json!({
            "apiVersion": "azwib.dev/v1alpha1",
            "kind": "WorkloadIdentityBinding",
            "metadata": { "name": name(number) },
            "spec": {
                "identity": { "resourceId": identity(number) },
                "serviceAccount": { "name": account(number) },
            },
        }))?;
        bindings.create(&PostParams::default(), &binding).await?;
        anyhow::Ok(())
    };
    let made = stream::iter((0..count).map(make)).buffer_unordered(AT_ONCE);
    made.try_collect().await
}
