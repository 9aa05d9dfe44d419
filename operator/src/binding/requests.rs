//! What somebody has asked to be looked at: by the annotation, by a new spec, or by a start of the operator.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};

use azwib_crds::WorkloadIdentityBinding;
use kube::ResourceExt;
use tokio::time::Instant;

use crate::ledger::Requested;
use crate::runtime::hash::hash;
use crate::runtime::lock::lock;

/// Annotation whose change asks for fresh reads, once.
pub(super) const RECONCILE_REQUESTED_AT: &str = "azwib.dev/reconcile-requested-at";

/// The last request of each binding, by UID. There is an entry for every binding: both are kept as hashes.
#[derive(Debug)]
pub struct Requests {
    started: Instant,
    seen: Mutex<HashMap<u64, Seen>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The annotation's value and the generation.
    asked: (u64, Option<i64>),
    /// Whether it has to be seen again.
    untold: bool,
    since: Instant,
    /// Whether only a new spec asks for it, not the annotation. Then a recent read is good enough.
    recent_will_do: bool,
}

/// What is new about a binding when a pass begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    Nothing,
    /// This process has not looked at it before.
    Start,
    /// Somebody has asked for a look.
    Request,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            seen: Mutex::default(),
        }
    }
}

impl Requests {
    /// Takes note of what the binding asks for, and says whether that is new. One request is seen once: the status that
    /// says that it was served may take a moment to come back.
    pub fn see(&self, binding: &WorkloadIdentityBinding) -> News {
        let annotation = hash(binding.annotations().get(RECONCILE_REQUESTED_AT));
        let asked = (annotation, binding.metadata.generation);
        let mut seen = self.seen();
        let Some(known) = seen.get_mut(&key(binding)) else {
            // What an earlier process was asked for, or what came before it: a read by this one answers that.
            let since = self.started;
            let first = Seen {
                asked,
                untold: false,
                since,
                recent_will_do: true,
            };
            seen.insert(key(binding), first);
            return News::Start;
        };
        if known.asked == asked {
            let untold = std::mem::take(&mut known.untold);
            return if untold { News::Request } else { News::Nothing };
        }
        *known = Seen {
            asked,
            untold: false,
            since: Instant::now(),
            recent_will_do: known.asked.0 == annotation,
        };
        News::Request
    }

    /// What was new about the binding was not told: it is to be told again.
    pub fn see_again(&self, binding: &WorkloadIdentityBinding) {
        if let Some(known) = self.seen().get_mut(&key(binding)) {
            known.untold = true;
        }
    }

    /// What fresh reads the binding asks for, by its annotation or by a spec that was not looked at yet.
    pub fn of(&self, binding: &WorkloadIdentityBinding) -> Option<Requested> {
        let is_annotated = binding.annotations().contains_key(RECONCILE_REQUESTED_AT);
        if !is_annotated && !spec_has_changed(binding) {
            return None;
        }
        let seen = self.seen().get(&key(binding)).copied()?;
        Some(Requested {
            since: seen.since,
            recent_will_do: seen.recent_will_do,
        })
    }

    /// Forgets all bindings but these.
    pub fn retain(&self, uids: &HashSet<String>) {
        let keys: HashSet<_> = uids.iter().map(|uid| hash(uid.as_str())).collect();
        self.seen().retain(|key, _| keys.contains(key));
    }

    /// Forgets a binding that is gone.
    pub fn forget(&self, uid: &str) {
        self.seen().remove(&hash(uid));
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<u64, Seen>> {
        lock(&self.seen)
    }
}

fn key(binding: &WorkloadIdentityBinding) -> u64 {
    hash(binding.metadata.uid.as_deref().unwrap_or_default())
}

/// Whether the spec has changed since it was last looked at: what is said of it then should not be an old answer.
fn spec_has_changed(binding: &WorkloadIdentityBinding) -> bool {
    binding.status.as_ref().is_some_and(|status| {
        status.observed_generation > 0
            && Some(status.observed_generation) != binding.metadata.generation
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::binding::fixtures;

    fn binding(requested: Option<&str>, generation: i64) -> WorkloadIdentityBinding {
        let mut binding = fixtures::binding("orders", 0, "");
        binding.metadata.generation = Some(generation);
        if let Some(requested) = requested {
            let annotation = (RECONCILE_REQUESTED_AT.to_owned(), requested.to_owned());
            binding.metadata.annotations = Some([annotation].into());
        }
        binding
    }

    fn observed(requested: &str, generation: i64) -> WorkloadIdentityBinding {
        let mut binding = binding(Some(requested), generation);
        binding.status.get_or_insert_default().observed_generation = generation;
        binding
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_new_once_and_counts_from_when_it_was_seen() {
        let requests = Requests::default();
        let start = Instant::now();
        tokio::time::advance(Duration::from_secs(5)).await;
        let asked = Instant::now();
        for (binding, news, since, recent_will_do) in [
            (binding(None, 1), News::Start, None, false),
            (binding(None, 1), News::Nothing, None, false),
            (binding(Some("a"), 1), News::Request, Some(asked), false),
            (binding(Some("a"), 1), News::Nothing, Some(asked), false),
            (binding(Some("b"), 1), News::Request, Some(asked), false),
            (binding(Some("b"), 2), News::Request, Some(asked), true),
            // Also once its status tells of that spec.
            (observed("b", 2), News::Nothing, Some(asked), true),
        ] {
            assert_eq!(requests.see(&binding), news);
            let requested = since.map(|since| Requested {
                since,
                recent_will_do,
            });
            assert_eq!(requests.of(&binding), requested);
        }
        requests.see_again(&binding(Some("b"), 2));
        assert_eq!(requests.see(&binding(Some("b"), 2)), News::Request);
        requests.retain(&["uid-orders".to_owned()].into());
        assert_eq!(requests.see(&binding(Some("b"), 2)), News::Nothing);
        requests.forget("uid-orders");
        let binding = binding(Some("b"), 1);
        assert_eq!(requests.see(&binding), News::Start);
        assert_eq!(requests.of(&binding).map(|it| it.since), Some(start));
    }
}
