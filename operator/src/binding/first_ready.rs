//! How long bindings take from their creation until they are Ready for the first time.
//!
//! No status says whether a binding was Ready before. So only those count that were created since this process leads: what
//! became of the others before that is not known.

use std::collections::HashSet;
use std::sync::Mutex;

use azwib_crds::WorkloadIdentityBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::status::reason::ConditionType;
use crate::kubeutil::conditions::is_true;
use crate::runtime::hash::hash;
use crate::runtime::lock::lock;

/// Seconds. `--propagation-delay` alone is 10 s, a new role of the operator takes minutes, and a full identity as long as it
/// takes.
const BUCKETS: [f64; 15] = [
    1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0,
    7200.0,
];

/// Observes each binding once.
#[derive(Debug)]
pub struct FirstReady {
    /// Since when this process leads.
    since: Timestamp,
    /// Those that have been Ready, by the hashes of their UIDs.
    ready: Mutex<HashSet<u64>>,
    seconds: Histogram,
}

impl FirstReady {
    /// Of bindings that are created from now on.
    pub fn since(now: Timestamp) -> Self {
        Self {
            // The API server cuts the time of a creation to whole seconds.
            since: Timestamp::from_second(now.as_second()).unwrap_or(now),
            ready: Mutex::default(),
            seconds: Histogram::new(BUCKETS),
        }
    }

    /// Has the registry show it.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "azwib_binding_ready_seconds",
            "How long bindings took from their creation until they were Ready for the first time",
            self.seconds.clone(),
        );
    }

    /// Takes in what a pass has written to the status of a binding at this time.
    pub(super) fn note(
        &self,
        binding: &WorkloadIdentityBinding,
        conditions: &[Condition],
        now: Timestamp,
    ) {
        let Some(created) = &binding.metadata.creation_timestamp else {
            return;
        };
        if !is_true(conditions, ConditionType::Ready.as_str()) || created.0 < self.since {
            return;
        }
        if lock(&self.ready).insert(hash(binding.uid().unwrap_or_default())) {
            // By the API server's clock it may come to be later.
            let seconds = now.duration_since(created.0).as_secs_f64();
            self.seconds.observe(seconds.max(0.0));
        }
    }

    /// Forgets a binding that is gone.
    pub(super) fn forget(&self, uid: &str) {
        lock(&self.ready).remove(&hash(uid));
    }

    /// Forgets all bindings but these.
    pub(super) fn retain(&self, uids: &HashSet<String>) {
        let kept: HashSet<_> = uids.iter().map(hash).collect();
        lock(&self.ready).retain(|uid| kept.contains(uid));
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::prometheus_text;
    use serde_json::json;

    use super::*;

    fn observed(first_ready: &FirstReady) -> (String, String) {
        let mut registry = Registry::default();
        first_ready.register(&mut registry);
        let mut scrape = String::new();
        prometheus_text::encode(&mut scrape, &registry).unwrap();
        let value = |suffix: &str| {
            let name = format!("azwib_binding_ready_seconds_{suffix} ");
            let value = scrape.lines().find_map(|line| line.strip_prefix(&name));
            value.unwrap().to_owned()
        };
        (value("count"), value("sum"))
    }

    #[test]
    fn only_the_first_ready_of_a_binding_that_was_created_in_this_term_counts() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let binding = |uid: &str, created: i64| -> WorkloadIdentityBinding {
            let binding = json!({
                "metadata": { "name": "orders", "uid": uid, "creationTimestamp": at(created) },
                "spec": { "identity": { "name": "orders" } },
            });
            serde_json::from_value(binding).unwrap()
        };
        let ready = |status: &str| -> Vec<Condition> {
            let condition = json!({
                "type": "Ready", "status": status, "reason": "", "message": "", "lastTransitionTime": at(0),
            });
            serde_json::from_value(json!([condition])).unwrap()
        };
        let first_ready = FirstReady::since(at(1000));
        first_ready.note(&binding("older", 999), &ready("True"), at(1020));
        first_ready.note(&binding("a", 1000), &ready("False"), at(1010));
        assert_eq!(observed(&first_ready), ("0".into(), "0.0".into()));
        first_ready.note(&binding("a", 1000), &ready("True"), at(1012));
        first_ready.note(&binding("a", 1000), &ready("False"), at(1100));
        first_ready.note(&binding("a", 1000), &ready("True"), at(1200));
        assert_eq!(observed(&first_ready), ("1".into(), "12.0".into()));
        // The clocks of two machines differ.
        first_ready.note(&binding("b", 1300), &ready("True"), at(1299));
        assert_eq!(observed(&first_ready), ("2".into(), "12.0".into()));
        // Another one of the same name.
        first_ready.forget("a");
        first_ready.retain(&["b".to_owned()].into());
        first_ready.note(&binding("b", 1300), &ready("True"), at(1400));
        assert_eq!(observed(&first_ready), ("2".into(), "12.0".into()));
    }
}
