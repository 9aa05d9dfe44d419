//! What must hold at every moment while the operator's pods are replaced.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;

use anyhow::{Context, bail, ensure};
use azwib_crds::WorkloadIdentityBinding;
use futures::TryStreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use uuid::Uuid;

use super::namespace::{Namespace, condition};
use super::setup::Environment;
use crate::wait::{PATIENCE, until};

/// Selects the operator's pods.
const OPERATOR: &str = "app.kubernetes.io/component=operator";

/// Set when all is over: what a watch shows up to it, it has shown.
const END: &str = "test.azwib.dev/end";

impl Environment {
    /// The operator's pods that are ready and not being deleted, in the order of their names.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn ready_pods(&self) -> anyhow::Result<Vec<String>> {
        let pods = self.pods().await?;
        let all = pods.list(&ListParams::default().labels(OPERATOR)).await?;
        let ready = all.iter().filter(|pod| serves(pod));
        let mut names: Vec<_> = ready.map(ResourceExt::name_any).collect();
        names.sort();
        Ok(names)
    }

    /// The pod that leads, once there is one.
    ///
    /// # Errors
    /// There is none in time.
    pub async fn leader(&self) -> anyhow::Result<String> {
        let leases: Api<Lease> = Api::namespaced(self.client().await?, "azwib-system");
        until("a pod to lead", PATIENCE, async || {
            let lease = leases.get_opt("azwib-operator").await?;
            let holder = lease
                .and_then(|it| it.spec?.holder_identity)
                .unwrap_or_default();
            // The process adds an id of its own.
            let pod = holder.rsplit_once('_').map(|(pod, _)| pod.to_owned());
            Ok(pod)
        })
        .await
    }

    /// The operator's pods, and others in its namespace.
    ///
    /// # Errors
    /// The kubeconfig cannot be read.
    pub async fn pods(&self) -> anyhow::Result<Api<Pod>> {
        Ok(Api::namespaced(self.client().await?, "azwib-system"))
    }

    /// The writes of the operator that Azure has seen, whatever came of them.
    ///
    /// # Errors
    /// The control API does not answer.
    pub async fn operator_writes(&self) -> anyhow::Result<Vec<String>> {
        let requests = self.control().requests().await?;
        let writes = requests.iter().filter(|it| {
            let is_write = matches!(it.method.as_str(), "PUT" | "PATCH" | "DELETE");
            it.caller == Some(self.operator_client_id()) && is_write
        });
        Ok(writes
            .map(|it| format!("{} {}", it.method, it.path))
            .collect())
    }
}

/// Whether a pod is ready and stays.
fn serves(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|it| it.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    let ready = conditions.any(|it| it.type_ == "Ready" && it.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

impl Namespace<'_> {
    /// Does something to the operator's pods. Meanwhile at least so many of them are ready at every moment, every binding of this namespace
    /// is Ready in every version that it has, and Azure gets no write. At least one binding and so many ready pods have to be there.
    ///
    /// # Errors
    /// That does not hold, or the work fails.
    pub async fn undisturbed<T>(
        &self,
        fewest: usize,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let environment = self.environment();
        let writes = environment.operator_writes().await?;
        let bindings = self.bindings();
        let first = bindings.list(&ListParams::default()).await?.items;
        let first = first.first().context("there is no binding")?.name_any();
        let pods = environment.pods().await?;
        let end = Uuid::new_v4().to_string();
        let work = async {
            let done = work.await?;
            let pod = environment.ready_pods().await?;
            mark(&pods, pod.first().context("no pod is ready")?, &end).await?;
            mark(&bindings, &first, &end).await?;
            Ok(done)
        };
        let ready = |binding: &WorkloadIdentityBinding| {
            let ready = condition(binding, "Ready").is_some_and(|it| it.status == "True");
            ensure!(ready, "not Ready: {}", json!(binding.status));
            Ok(())
        };
        let of_operator = watcher::Config::default().labels(OPERATOR);
        let (done, (), ()) = tokio::try_join!(
            work,
            follow_pods(&pods, of_operator, fewest, &end),
            follow(&bindings, ready, &end)
        )?;
        let after = environment.operator_writes().await?;
        ensure!(after == writes, "Azure was written to: {after:?}");
        Ok(done)
    }
}

async fn mark<K>(objects: &Api<K>, name: &str, end: &str) -> anyhow::Result<()>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let end = json!({ "metadata": { "annotations": { END: end } } });
    let how = PatchParams::default();
    objects.patch(name, &how, &Patch::Merge(end)).await?;
    Ok(())
}

fn is_marked(object: &impl ResourceExt, end: &str) -> bool {
    let mark = object.annotations().get(END);
    mark.is_some_and(|it| it == end)
}

async fn follow_pods(
    pods: &Api<Pod>,
    config: watcher::Config,
    fewest: usize,
    end: &str,
) -> anyhow::Result<()> {
    let mut serving = BTreeSet::new();
    let mut events = pin!(watcher(pods.clone(), config));
    let mut is_listed = false;
    while let Some(event) = events.try_next().await? {
        let mut is_end = false;
        match event {
            Event::Init => (is_listed, serving) = (false, BTreeSet::new()),
            Event::InitDone => is_listed = true,
            Event::Delete(pod) => {
                serving.remove(&pod.name_any());
            }
            Event::Apply(pod) | Event::InitApply(pod) => {
                is_end = is_marked(&pod, end);
                if serves(&pod) {
                    serving.insert(pod.name_any());
                } else {
                    serving.remove(&pod.name_any());
                }
            }
        }
        let there = serving.len();
        ensure!(
            !is_listed || there >= fewest,
            "{there} pods are ready: {serving:?}"
        );
        if is_end {
            return Ok(());
        }
    }
    bail!("the watch has ended")
}

async fn follow<K>(
    objects: &Api<K>,
    check: impl Fn(&K) -> anyhow::Result<()>,
    end: &str,
) -> anyhow::Result<()>
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let mut events = pin!(watcher(objects.clone(), watcher::Config::default()));
    while let Some(event) = events.try_next().await? {
        if let Event::Apply(object) | Event::InitApply(object) = event {
            check(&object).with_context(|| object.name_any())?;
            if is_marked(&object, end) {
                return Ok(());
            }
        }
    }
    bail!("the watch has ended")
}
