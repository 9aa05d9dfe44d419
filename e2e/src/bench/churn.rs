//! The operator while everything comes and goes, as with preview environments: whether it grows.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use azure_simulator::control::api::{IdentityFixture, ResourceGroupFixture, SubscriptionFixture};
use azwib_crds::WorkloadIdentityBinding;
use futures::future;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::process::{self, difference};
use super::report::{Figures, Growth, seconds};
use super::setup::{GROUP, Setup};
use super::under_way::{Measured, Run};
use crate::OperatorProcess;
use crate::environment::PATIENCE;
use crate::environment::rule::create;

/// Rounds that are under way at once, and how long each takes at least.
const LANES: usize = 4;
const ROUND: Duration = Duration::from_secs(8);

/// How often the operator's memory is read.
const SAMPLED_EVERY: Duration = Duration::from_secs(60);

/// Bindings of a round that become Ready.
const BINDINGS: usize = 3;

/// What was seen.
struct Churned {
    /// How many rounds came to their end.
    rounds: usize,
    /// Resident memory (MiB), once a minute.
    rss_mib: Vec<f64>,
}

impl Churned {
    /// How many bindings there were in all.
    fn bindings(&self) -> usize {
        self.rounds * (BINDINGS + 1)
    }

    /// Memory that the operator holds more in the last quarter of the time than in the second one (medians). The first
    /// quarter is when it fills its buffers.
    fn growth_mib(&self) -> f64 {
        let quarter = self.rss_mib.len() / 4;
        let second = median(&self.rss_mib[quarter..2 * quarter]);
        let last = median(&self.rss_mib[self.rss_mib.len() - quarter..]);
        ((last - second) * 10.0).round() / 10.0
    }
}

impl Run<'_> {
    /// Everything comes and goes for so long.
    pub(super) async fn churn(
        &self,
        length: Duration,
        operator: &OperatorProcess,
    ) -> anyhow::Result<Measured> {
        let (all, used) = (process::cpu_by_program()?, process::cpu(operator.pid())?);
        let churned =
            let_come_and_go(&self.setup, operator, length, |what| self.tell(what)).await?;
        let figures = Figures {
            name: self.case.name.clone(),
            bindings: churned.bindings(),
            identities: churned.rounds,
            cpu_s: seconds(process::cpu(operator.pid())? - used),
            peak_rss_mib: process::peak_memory(operator.pid())?,
            seconds: Some(seconds(length)),
            growth: Some(Growth {
                growth_mib: churned.growth_mib(),
                rss_mib: churned.rss_mib,
            }),
            ..Figures::default()
        };
        let cpu = difference(process::cpu_by_program()?, &all);
        Ok(Measured { figures, cpu })
    }
}

/// Lets subscriptions, namespaces and bindings come and go for so long.
///
/// # Errors
/// A round does not come to its end within a generous limit.
async fn let_come_and_go(
    setup: &Setup,
    operator: &OperatorProcess,
    length: Duration,
    tell: impl Fn(&str),
) -> anyhow::Result<Churned> {
    let end = Instant::now() + length;
    let client = setup.environment.client().await?;
    let next = AtomicUsize::new(0);
    let lane = async |_| {
        let mut rounds = 0;
        while Instant::now() < end {
            let earliest = Instant::now() + ROUND;
            let number = next.fetch_add(1, Ordering::Relaxed);
            round(setup, &client, number)
                .await
                .with_context(|| format!("round {number}"))?;
            rounds += 1;
            sleep_until(earliest).await;
        }
        anyhow::Ok(rounds)
    };
    let sampled = async {
        let mut samples = Vec::new();
        let mut at = Instant::now() + SAMPLED_EVERY;
        while at <= end {
            sleep_until(at).await;
            at += SAMPLED_EVERY;
            let mib = process::memory(operator.pid())?;
            samples.push(mib);
            tell(&format!(
                "{mib} MiB after {} min and {} rounds",
                samples.len(),
                next.load(Ordering::Relaxed)
            ));
            // The simulator's own memory, and the time that its answers take.
            setup.environment.control().clear_log().await?;
        }
        anyhow::Ok(samples)
    };
    let lanes = future::try_join_all((0..LANES).map(lane));
    let (rounds, rss_mib) = future::try_join(lanes, sampled).await?;
    Ok(Churned {
        rounds: rounds.iter().sum(),
        rss_mib,
    })
}

/// A preview environment: a subscription, an identity and a namespace with bindings of their own, one of them on an identity
/// in a subscription that is not there. They become what they can become, are edited, and go.
async fn round(setup: &Setup, client: &Client, number: usize) -> anyhow::Result<()> {
    let identity = make_identity(setup).await?;
    let elsewhere = identity.replace(&identity[15..51], &Uuid::new_v4().to_string());
    let namespace = format!("churn-{number}");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    create(&namespaces, json!({ "metadata": { "name": namespace } })).await?;
    let bindings: Api<WorkloadIdentityBinding> = Api::namespaced(client.clone(), &namespace);
    let on = (0..BINDINGS).map(|_| &identity).chain([&elsewhere]);
    for (number, identity) in on.enumerate() {
        let binding = serde_json::from_value(json!({
            "apiVersion": "azwib.dev/v1alpha1",
            "kind": "WorkloadIdentityBinding",
            "metadata": { "name": format!("c-{number}") },
            "spec": { "identity": { "resourceId": identity } },
        }))?;
        bindings.create(&PostParams::default(), &binding).await?;
    }
    let readiness = &setup.readiness;
    let told = |_: &_| ();
    readiness
        .until("the round's bindings to settle", PATIENCE, told, |seen| {
            let (ready, refused) = seen.standings_in(&namespace);
            ready == BINDINGS && refused == 1
        })
        .await?;
    for number in 0..=BINDINGS {
        let asked =
            json!({ "metadata": { "annotations": { "azwib.dev/reconcile-requested-at": "now" } } });
        edit(&bindings, &format!("c-{number}"), asked).await?;
    }
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
    let taken_off =
        json!({ "metadata": { "annotations": { "azure.workload.identity/client-id": null } } });
    edit(&accounts, "c-0", taken_off).await?;
    namespaces
        .delete(&namespace, &DeleteParams::background())
        .await?;
    readiness
        .until("the round's bindings to be gone", PATIENCE, told, |seen| {
            !seen.knows(&namespace)
        })
        .await?;
    Ok(())
}

async fn edit<K>(objects: &Api<K>, name: &str, with: Value) -> anyhow::Result<()>
where
    K: Clone + DeserializeOwned + Debug,
{
    let patch = Patch::Merge(with);
    objects.patch(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// An identity in a new subscription, and the operator's role on its resource group; gives its ARM id.
async fn make_identity(setup: &Setup) -> anyhow::Result<String> {
    let control = setup.environment.control();
    let subscription_id = Uuid::new_v4();
    control
        .create_subscription(&SubscriptionFixture {
            subscription_id,
            display_name: None,
        })
        .await?;
    control
        .create_resource_group_with(&ResourceGroupFixture {
            subscription_id: Some(subscription_id),
            name: GROUP.to_owned(),
            location: None,
        })
        .await?;
    let scope = format!("/subscriptions/{subscription_id}/resourceGroups/{GROUP}");
    setup.environment.grant_operator(&scope).await?;
    let identity = control
        .create_identity_with(&IdentityFixture {
            subscription_id: Some(subscription_id),
            resource_group: GROUP.to_owned(),
            name: "preview".to_owned(),
        })
        .await?;
    Ok(identity.id)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_from_the_second_quarter_to_the_last() {
        let of = |rss_mib: &[f64]| Churned {
            rounds: 0,
            rss_mib: rss_mib.to_vec(),
        };
        // The buffers of the first quarter are no growth, and one odd sample is none.
        assert_eq!(
            of(&[1.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0]).growth_mib(),
            0.0
        );
        assert_eq!(
            of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).growth_mib(),
            4.0
        );
        assert_eq!(of(&[1.0]).growth_mib(), 0.0);
    }
}
