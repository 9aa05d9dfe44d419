//! Which bindings are Ready, and since when: followed by a watch, so that looking costs the API server as little as it can.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use azwib_crds::WorkloadIdentityBinding;
use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::environment::{condition, observed};

/// How often a wait tells how far things are.
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// Where a binding stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Since this moment.
    Ready(Instant),
    /// For this reason; none yet where there is no status.
    Not(String),
}

/// All bindings as they were seen last, by namespace and name.
#[derive(Debug, Default)]
pub(super) struct Seen {
    bindings: HashMap<(String, String), Standing>,
    ready: usize,
    /// Why any of them was not Ready at any time.
    reasons: BTreeSet<String>,
    is_following: bool,
}

/// A watch over all bindings. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Readiness {
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

impl Seen {
    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    /// Every reason for which any of them was not Ready at any time.
    pub(super) fn reasons(&self) -> &BTreeSet<String> {
        &self.reasons
    }

    /// How many are not Ready for this reason.
    pub(super) fn not_for(&self, reason: &str) -> usize {
        let standings = self.bindings.values();
        standings
            .filter(|it| matches!(it, Standing::Not(why) if why == reason))
            .count()
    }

    /// How many of a namespace are Ready, and how many are not for some reason.
    pub(super) fn standings_in(&self, namespace: &str) -> (usize, usize) {
        let of = self.bindings.iter().filter(|(name, _)| name.0 == namespace);
        of.fold((0, 0), |(ready, refused), (_, standing)| match standing {
            Standing::Ready(_) => (ready + 1, refused),
            Standing::Not(reason) => (ready, refused + usize::from(!reason.is_empty())),
        })
    }

    /// Whether a namespace has bindings.
    pub(super) fn knows(&self, namespace: &str) -> bool {
        self.bindings.keys().any(|(of, _)| of == namespace)
    }

    /// Those that are Ready, with the moment.
    pub(super) fn ready_since(&self) -> impl Iterator<Item = (&(String, String), Instant)> {
        self.bindings
            .iter()
            .filter_map(|(name, standing)| match standing {
                Standing::Ready(since) => Some((name, *since)),
                Standing::Not(_) => None,
            })
    }

    fn take(&mut self, event: watcher::Event<WorkloadIdentityBinding>, now: Instant) {
        match event {
            watcher::Event::Apply(it) | watcher::Event::InitApply(it) => self.note(&it, now),
            watcher::Event::Delete(it) => self.forget(&it),
            watcher::Event::Init => {}
            watcher::Event::InitDone => self.is_following = true,
        }
    }

    fn note(&mut self, binding: &WorkloadIdentityBinding, now: Instant) {
        let name = (binding.namespace().unwrap_or_default(), binding.name_any());
        let was_ready = matches!(self.bindings.get(&name), Some(Standing::Ready(_)));
        let ready = condition(binding, "Ready");
        let is_ready = observed(binding) && ready.is_some_and(|it| it.status == "True");
        match (was_ready, is_ready) {
            (true, true) => return,
            (false, true) => self.ready += 1,
            (true, false) => self.ready -= 1,
            (false, false) => {}
        }
        let standing = if is_ready {
            Standing::Ready(now)
        } else {
            Standing::Not(ready.map(|it| it.reason.clone()).unwrap_or_default())
        };
        if let Standing::Not(reason) = &standing
            && !self.reasons.contains(reason)
        {
            self.reasons.insert(reason.clone());
        }
        self.bindings.insert(name, standing);
    }

    fn forget(&mut self, binding: &WorkloadIdentityBinding) {
        let name = (binding.namespace().unwrap_or_default(), binding.name_any());
        if matches!(self.bindings.remove(&name), Some(Standing::Ready(_))) {
            self.ready -= 1;
        }
    }

    /// How many are Ready, and why the others are not, for people.
    pub(super) fn told(&self) -> String {
        let mut counts = BTreeMap::<&str, usize>::new();
        for standing in self.bindings.values() {
            if let Standing::Not(reason) = standing {
                *counts.entry(reason).or_default() += 1;
            }
        }
        let mut told = vec![format!("{} Ready", self.ready)];
        told.extend(counts.into_iter().map(|(reason, count)| match reason {
            "" => format!("{count} without status"),
            reason => format!("{count} {reason}"),
        }));
        told.join(", ")
    }
}

impl Readiness {
    /// Follows all bindings of a cluster, and returns once it does.
    ///
    /// # Errors
    /// The API server does not answer.
    pub(super) async fn follow(client: Client) -> anyhow::Result<Self> {
        let (sender, mut seen) = watch::channel(Seen::default());
        let bindings: Api<WorkloadIdentityBinding> = Api::all(client);
        let task = tokio::spawn(async move {
            let events = watcher(bindings, watcher::Config::default()).default_backoff();
            let followed = events.for_each(|event| {
                let now = Instant::now();
                match event {
                    Ok(event) => sender.send_modify(|seen| seen.take(event, now)),
                    // It comes back, with all that is new.
                    Err(error) => {
                        eprintln!("the watch over the bindings was interrupted: {error:#}")
                    }
                }
                std::future::ready(())
            });
            followed.await;
        });
        let following = seen.wait_for(|seen| seen.is_following).await;
        following.context("the bindings cannot be watched")?;
        Ok(Self { seen, task })
    }

    /// Waits until the bindings are as asked, and tells from time to time how far they are.
    ///
    /// # Errors
    /// They are not within the limit: with the reasons.
    pub(super) async fn until(
        &self,
        what: &str,
        limit: Duration,
        mut tell: impl FnMut(&Seen),
        test: impl Fn(&Seen) -> bool,
    ) -> anyhow::Result<watch::Ref<'_, Seen>> {
        let deadline = Instant::now() + limit;
        let mut seen = self.seen.clone();
        while Instant::now() < deadline {
            match tokio::time::timeout(TOLD_EVERY, seen.wait_for(&test)).await {
                Ok(found) => {
                    found.context("the watch over the bindings has ended")?;
                    return Ok(self.seen.borrow());
                }
                Err(_) => tell(&self.seen.borrow()),
            }
        }
        let told = self.seen.borrow().told();
        bail!("waited {limit:?} in vain for {what}: {told}")
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn binding(name: &str, ready: Option<(&str, &str)>) -> WorkloadIdentityBinding {
        let conditions = ready.map(|(status, reason)| {
            json!({ "type": "Ready", "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z" })
        });
        serde_json::from_value(json!({
            "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding",
            "metadata": { "name": name, "namespace": "shop", "generation": 1 },
            "spec": { "identity": { "name": "orders" } },
            "status": { "observedGeneration": 1, "conditions": Vec::from_iter(conditions) },
        }))
        .unwrap()
    }

    #[test]
    fn bindings_are_ready_since_they_were_first_seen_so() {
        let (first, later) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let mut seen = Seen::default();
        seen.note(&binding("a", None), first);
        seen.note(&binding("b", Some(("False", "Creating"))), first);
        assert_eq!((seen.ready(), seen.not_for("Creating")), (0, 1));

        seen.note(&binding("a", Some(("True", "Succeeded"))), first);
        seen.note(&binding("a", Some(("True", "Succeeded"))), later);
        seen.note(&binding("b", Some(("True", "Succeeded"))), later);
        let mut since: Vec<_> = seen.ready_since().map(|(_, since)| since).collect();
        since.sort();
        assert_eq!((seen.ready(), since), (2, vec![first, later]));
    }

    #[test]
    fn a_binding_that_is_not_ready_any_more_or_gone_does_not_count() {
        let now = Instant::now();
        let mut seen = Seen::default();
        for name in ["a", "b", "c"] {
            seen.note(&binding(name, Some(("True", "Succeeded"))), now);
        }
        seen.note(&binding("a", Some(("False", "IdentityNotFound"))), now);
        seen.forget(&binding("b", None));
        assert_eq!(seen.ready(), 1);
        seen.note(&binding("d", None), now);
        assert_eq!(seen.told(), "1 Ready, 1 without status, 1 IdentityNotFound");
    }
}
