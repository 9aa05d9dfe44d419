//! The Lease of the replicas. It is renewed all the time, and so it is not among the other objects.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::objects::Refusal;
use crate::trace::lock;
use crate::watched::Watched;

/// One Lease, of any name.
#[derive(Debug)]
pub struct Leases {
    state: Mutex<State>,
    changed: Watched<()>,
}

#[derive(Debug, Default)]
struct State {
    version: u64,
    lease: Option<Value>,
    history: Vec<LeaseChange>,
}

/// A change of the Lease.
#[derive(Debug, Clone)]
pub(crate) struct LeaseChange {
    pub(crate) version: u64,
    pub(crate) type_: &'static str,
    pub(crate) lease: Value,
}

impl Leases {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changed: Watched::new(()),
        }
    }

    pub fn get(&self) -> Option<Value> {
        lock(&self.state).lease.clone()
    }

    /// Who stands in it as its holder.
    pub fn holder(&self) -> Option<String> {
        let state = lock(&self.state);
        let holder = state.lease.as_ref()?["spec"]["holderIdentity"].as_str()?;
        Some(holder.to_owned())
    }

    pub(crate) fn version(&self) -> u64 {
        lock(&self.state).version
    }

    pub(crate) fn create(&self, lease: Value) -> Result<Value, Refusal> {
        if self.get().is_some() {
            return Err(Refusal::new(409, "AlreadyExists", "it is there already"));
        }
        Ok(self.store("ADDED", lease))
    }

    /// Replaces the version that the object names.
    pub(crate) fn replace(&self, lease: Value) -> Result<Value, Refusal> {
        let before = self.get();
        let before = before.ok_or_else(|| Refusal::new(404, "NotFound", "no such lease"))?;
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
        if version(&before) != version(&lease) {
            return Err(Refusal::new(409, "Conflict", "it was modified"));
        }
        Ok(self.store("MODIFIED", lease))
    }

    /// Somebody writes this into its spec.
    pub fn put_by_hand(&self, spec: Value) {
        if let Some(mut lease) = self.get() {
            lease["spec"] = spec;
            self.store("MODIFIED", lease);
        }
    }

    /// Somebody deletes it.
    pub fn delete(&self) {
        if let Some(lease) = self.get() {
            self.store("DELETED", lease);
        }
    }

    pub(crate) fn changes(&self, after: u64) -> Vec<LeaseChange> {
        let state = lock(&self.state);
        let start = state.history.partition_point(|it| it.version <= after);
        state.history.get(start..).unwrap_or_default().to_vec()
    }

    /// What tells of every change.
    pub(crate) fn changed(&self) -> &Watched<()> {
        &self.changed
    }

    fn store(&self, type_: &'static str, mut lease: Value) -> Value {
        let mut state = lock(&self.state);
        state.version += 1;
        lease["apiVersion"] = json!("coordination.k8s.io/v1");
        lease["kind"] = json!("Lease");
        lease["metadata"]["resourceVersion"] = json!(state.version.to_string());
        state.lease = (type_ != "DELETED").then(|| lease.clone());
        let version = state.version;
        state.history.push(LeaseChange {
            version,
            type_,
            lease: lease.clone(),
        });
        drop(state);
        self.changed.set(());
        lease
    }
}
