//! What a test sees of a binding from outside: the versions of its status, and what the operator asked of Azure for it.

use std::pin::pin;

use anyhow::Context;
use azure_simulator::control::api::RequestRecord;
use azwib_crds::WorkloadIdentityBinding;
use futures::TryStreamExt;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::arm::ArmCredential;
use super::namespace::{ManagedIdentity, Namespace, condition};
use crate::wait::{self, PATIENCE};

impl Namespace<'_> {
    /// Changes the spec of a binding by a merge patch, and gives the binding as it was taken.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn change(&self, name: &str, spec: Value) -> anyhow::Result<WorkloadIdentityBinding> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let patched = self
            .bindings()
            .patch(name, &PatchParams::default(), &patch)
            .await?;
        Ok(patched)
    }

    /// Every version of a binding after `first`, up to one that is as asked.
    ///
    /// # Errors
    /// None is in time: with the reasons that Ready had until then.
    pub async fn versions_until(
        &self,
        first: &WorkloadIdentityBinding,
        what: &str,
        test: impl Fn(&WorkloadIdentityBinding) -> bool,
    ) -> anyhow::Result<Vec<WorkloadIdentityBinding>> {
        let only = WatchParams::default().fields(&format!("metadata.name={}", first.name_any()));
        let version = first.resource_version().unwrap_or_default();
        let bindings = self.bindings();
        let mut seen = Vec::new();
        let watched = async {
            let mut events = pin!(bindings.watch(&only, &version).await?);
            while let Some(event) = events.try_next().await? {
                if let WatchEvent::Added(binding) | WatchEvent::Modified(binding) = event {
                    let last = test(&binding);
                    seen.push(binding);
                    if last {
                        return Ok(());
                    }
                }
            }
            anyhow::bail!("the watch has ended")
        };
        let outcome = tokio::time::timeout(PATIENCE, watched).await;
        outcome
            .map_err(anyhow::Error::from)
            .flatten()
            .with_context(|| {
                let name = first.name_any();
                format!(
                    "waiting for binding {name} to be {what}; Ready was {:?}",
                    ready_reasons(&seen)
                )
            })?;
        Ok(seen)
    }

    /// The federated identity credentials of an identity.
    ///
    /// # Errors
    /// Azure refuses.
    pub async fn credentials(
        &self,
        identity: &ManagedIdentity,
    ) -> anyhow::Result<Vec<ArmCredential>> {
        let arm = self.environment().arm().await?;
        arm.credentials(identity.resource_id()).await
    }

    /// All that the operator has asked Azure about an identity, reads included.
    ///
    /// # Errors
    /// The simulator does not answer.
    pub async fn asked_of_azure(&self, identity: &str) -> anyhow::Result<Vec<String>> {
        let mut asked = Vec::new();
        for method in ["GET", "PUT", "DELETE"] {
            let requests = self.operator_requests(method, identity).await?;
            asked.extend(requests.iter().map(|it| format!("{method} {}", it.path)));
        }
        Ok(asked)
    }

    /// The operator's requests with this method to an identity and all below it, in order of arrival.
    ///
    /// # Errors
    /// The simulator does not answer.
    pub async fn operator_requests(
        &self,
        method: &str,
        identity: &str,
    ) -> anyhow::Result<Vec<RequestRecord>> {
        let environment = self.environment();
        let id = self.identity_id(identity).to_ascii_lowercase();
        let below = format!("{id}/");
        let mut requests = environment.control().requests().await?;
        requests.retain(|request| {
            let path = request.path.to_ascii_lowercase();
            request.caller.is_some_and(|it| environment.is_operator(it))
                && request.method == method
                && (path == id || path.starts_with(&below))
        });
        Ok(requests)
    }

    /// How many writes the operator has sent to an identity, whatever came of them.
    ///
    /// # Errors
    /// As for [`Self::operator_requests`].
    pub async fn operator_writes(&self, identity: &str) -> anyhow::Result<usize> {
        let puts = self.operator_requests("PUT", identity).await?.len();
        Ok(puts + self.operator_requests("DELETE", identity).await?.len())
    }

    /// Waits until the operator has listed the credentials of an identity so many more times.
    ///
    /// # Errors
    /// It has not in time.
    pub async fn further_listings(&self, identity: &str, count: usize) -> anyhow::Result<()> {
        let listings = async || {
            let reads = self.operator_requests("GET", identity).await?;
            let of_credentials = |read: &&RequestRecord| {
                read.path
                    .to_ascii_lowercase()
                    .ends_with("/federatedidentitycredentials")
                    && read.ended.is_some()
            };
            anyhow::Ok(reads.iter().filter(of_credentials).count())
        };
        let target = listings().await? + count;
        wait::until(
            &format!("{count} further listings of {identity}"),
            PATIENCE,
            async || Ok((listings().await? >= target).then_some(())),
        )
        .await
    }

    /// Waits for an event of this reason in the namespace, and gives its note.
    ///
    /// # Errors
    /// There is none in time.
    pub async fn event(&self, reason: &str) -> anyhow::Result<String> {
        self.event_saying(reason, "").await
    }

    /// The same for an event whose note has these words.
    ///
    /// # Errors
    /// There is none in time.
    pub async fn event_saying(&self, reason: &str, words: &str) -> anyhow::Result<String> {
        let events: Api<Event> = Api::namespaced(self.client().clone(), self.name());
        let what = format!("an event {reason} {words:?}");
        wait::until(&what, PATIENCE, async || {
            let events = events.list(&ListParams::default()).await?.items;
            let of_reason = events
                .into_iter()
                .filter(|event| event.reason.as_deref() == Some(reason));
            let mut notes = of_reason.map(|event| event.note.unwrap_or_default());
            Ok(notes.find(|note| note.contains(words)))
        })
        .await
    }
}

/// The reasons of Ready through these versions, each once in a row.
pub fn ready_reasons(versions: &[WorkloadIdentityBinding]) -> Vec<&str> {
    let mut reasons: Vec<_> = versions
        .iter()
        .filter_map(|binding| condition(binding, "Ready"))
        .map(|ready| ready.reason.as_str())
        .collect();
    reasons.dedup();
    reasons
}
