//! How long a binding that waits for a slot takes to get one that was freed.

use std::time::{Duration, Instant};

use anyhow::Context;
use kube::Api;
use kube::api::DeleteParams;

use super::readiness::Seen;
use super::under_way::Run;
use crate::environment::PATIENCE;

impl Run<'_> {
    /// Deletes a binding that has a slot; gives how long it takes from then on until one that waits is Ready.
    pub(super) async fn free_a_slot(&self) -> anyhow::Result<Duration> {
        let readiness = &self.setup.readiness;
        let ready: Vec<_> = {
            let seen = readiness
                .until("a look", PATIENCE, |_| (), |_| true)
                .await?;
            seen.ready_since().map(|(name, _)| name.clone()).collect()
        };
        let (namespace, name) = ready.iter().min().context("no binding is Ready")?;
        let client = self.setup.environment.client().await?;
        let bindings: Api<azwib_crds::WorkloadIdentityBinding> = Api::namespaced(client, namespace);
        self.tell(&format!("deleting {name}, which has a slot"));
        let next = |seen: &Seen| {
            let mut now_ready = seen.ready_since();
            now_ready
                .find(|(name, _)| !ready.contains(name))
                .map(|(_, since)| since)
        };
        let start = Instant::now();
        bindings.delete(name, &DeleteParams::default()).await?;
        let limit = 3 * PATIENCE;
        let seen = readiness
            .until(
                "a waiting binding to be Ready",
                limit,
                |_| (),
                |seen| next(seen).is_some(),
            )
            .await?;
        Ok(next(&seen).context("it is Ready no more")? - start)
    }
}
