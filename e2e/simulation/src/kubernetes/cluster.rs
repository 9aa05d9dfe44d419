//! The stored objects: reading, making and changing them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azwib_crds::{WorkloadIdentityBinding, WorkloadIdentityBindingSpec};
use serde_json::{Value, json};

use super::objects::{Change, Key, Kind, Refusal};
use crate::time::Time;
use crate::trace::lock;
use crate::watched::Watched;

/// The annotation that says when somebody has taken the finalizers off.
pub(crate) const STRIPPED: &str = "simulation/stripped";

/// All that is stored.
#[derive(Debug)]
pub(super) struct State {
    pub(super) version: u64,
    pub(super) uids: u64,
    pub(super) objects: BTreeMap<Key, Value>,
    pub(super) history: Vec<Change>,
    /// The client id that a policy gives the accounts of a namespace.
    pub(super) policies: BTreeMap<String, String>,
}

/// The stored objects, shared by the API servers of all processes.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) time: Time,
    changed: Arc<Watched<()>>,
}

impl Cluster {
    pub fn new(time: Time) -> Self {
        let state = State {
            version: 100,
            uids: 0,
            objects: BTreeMap::new(),
            history: Vec::new(),
            policies: BTreeMap::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            time,
            changed: Arc::new(Watched::new(())),
        }
    }

    pub fn get(&self, key: &Key) -> Option<Value> {
        lock(&self.state).objects.get(key).cloned()
    }

    /// Every binding there is, with those that are being deleted.
    pub fn bindings(&self) -> Vec<WorkloadIdentityBinding> {
        self.all(Kind::Binding)
            .into_iter()
            .filter_map(|object| serde_json::from_value(object).ok())
            .collect()
    }

    pub fn binding(&self, namespace: &str, name: &str) -> Option<WorkloadIdentityBinding> {
        let object = self.get(&Key::new(Kind::Binding, namespace, name))?;
        serde_json::from_value(object).ok()
    }

    pub fn all(&self, kind: Kind) -> Vec<Value> {
        let state = lock(&self.state);
        let found = state.objects.iter().filter(|(key, _)| key.kind == kind);
        found.map(|(_, object)| object.clone()).collect()
    }

    /// Every change of this kind after a version, and the version that this goes up to.
    pub(crate) fn changes(&self, kind: Kind, after: u64) -> (Vec<Change>, u64) {
        let state = lock(&self.state);
        let start = state.history.partition_point(|it| it.version <= after);
        let found = state.history.get(start..).unwrap_or_default();
        let found = found.iter().filter(|it| it.key.kind == kind);
        (found.cloned().collect(), state.version)
    }

    /// An object as it was before a version.
    pub(crate) fn before(&self, key: &Key, version: u64) -> Option<Value> {
        let state = lock(&self.state);
        let mut changes = state.history.iter().rev();
        let last = changes.find(|it| it.version < version && it.key == *key)?;
        (last.type_ != "DELETED").then(|| last.object.clone())
    }

    /// The versions at which objects of these kinds have changed, and when.
    pub(crate) fn changed_at(&self, kinds: &[Kind]) -> Vec<(u64, jiff::Timestamp)> {
        let state = lock(&self.state);
        let mut generations: BTreeMap<&Key, &Value> = BTreeMap::new();
        let mut changes = Vec::new();
        for change in state
            .history
            .iter()
            .filter(|it| kinds.contains(&it.key.kind))
        {
            let generation = &change.object["metadata"]["generation"];
            let before = generations.insert(&change.key, generation);
            // A status changes nothing that is asked for here.
            let is_status = change.key.kind == Kind::Grant && change.type_ == "MODIFIED";
            if !(is_status && before == Some(generation)) {
                changes.push((change.version, change.at));
            }
        }
        changes
    }

    /// The bindings that are gone, as they were last, in the order in which they went.
    pub fn gone_bindings(&self) -> Vec<WorkloadIdentityBinding> {
        let (changes, _) = self.changes(Kind::Binding, 0);
        let gone = changes.into_iter().filter(|it| it.type_ == "DELETED");
        gone.filter_map(|it| serde_json::from_value(it.object).ok())
            .collect()
    }

    pub fn version(&self) -> u64 {
        lock(&self.state).version
    }

    /// The objects of a kind as they were at a version.
    pub(crate) fn at_version(&self, kind: Kind, version: u64) -> Vec<Value> {
        let state = lock(&self.state);
        let mut objects = BTreeMap::new();
        let changes = state.history.iter();
        for change in changes.take_while(|it| it.version <= version) {
            if change.key.kind != kind {
                continue;
            }
            if change.type_ == "DELETED" {
                objects.remove(&change.key);
            } else {
                objects.insert(change.key.clone(), change.object.clone());
            }
        }
        objects.into_values().collect()
    }

    /// Waits until this holds of a binding, at the most for so long. Whether it does.
    pub async fn until(
        &self,
        binding: &Key,
        patience: Duration,
        holds: impl Fn(&WorkloadIdentityBinding) -> bool,
    ) -> bool {
        self.until_found(binding, patience, |found| found.is_some_and(&holds))
            .await
    }

    /// Waits until a binding is gone, at the most for so long. Whether it is.
    pub async fn until_gone(&self, binding: &Key, patience: Duration) -> bool {
        self.until_found(binding, patience, |found| found.is_none())
            .await
    }

    async fn until_found(
        &self,
        binding: &Key,
        patience: Duration,
        holds: impl Fn(Option<&WorkloadIdentityBinding>) -> bool,
    ) -> bool {
        let wait = async {
            loop {
                let times = self.changed.times();
                let found = self.binding(&binding.namespace, &binding.name);
                if holds(found.as_ref()) {
                    return;
                }
                self.changed.set_since(times).await;
            }
        };
        tokio::time::timeout(patience, wait).await.is_ok()
    }

    /// What tells of every change.
    pub(crate) fn changed(&self) -> &Watched<()> {
        &self.changed
    }

    /// Has the watches look again, as after a change.
    pub fn nudge_watches(&self) {
        self.changed.set(());
    }

    /// Makes a namespace.
    pub fn create_namespace(&self, name: &str) {
        let key = Key::new(Kind::Namespace, "", name);
        // One that is there stays.
        let _ = self.create(&key, json!({}));
    }

    /// Makes a grant, or changes the one of this name.
    pub fn put_grant(&self, name: &str, spec: &Value) {
        let key = Key::new(Kind::Grant, "", name);
        if let Some(mut grant) = self.get(&key) {
            grant["spec"] = spec.clone();
            // Nobody else deletes grants meanwhile.
            let _ = self.update(&key, grant);
        } else {
            let _ = self.create(&key, json!({ "spec": spec }));
        }
    }

    /// Takes all finalizers off an object, and notes that on it: one that is being deleted goes at once.
    pub fn strip_finalizers(&self, key: &Key) {
        if let Some(mut object) = self.get(key) {
            object["metadata"]["finalizers"] = json!([]);
            object["metadata"]["annotations"][STRIPPED] = json!(self.time.now().to_string());
            // One that is gone has none.
            let _ = self.update(key, object);
        }
    }

    /// Gives a namespace these labels.
    pub fn label_namespace(&self, name: &str, labels: &Value) {
        let key = Key::new(Kind::Namespace, "", name);
        if let Some(mut namespace) = self.get(&key) {
            namespace["metadata"]["labels"] = labels.clone();
            // One that is gone needs no labels.
            let _ = self.update(&key, namespace);
        }
    }

    /// Makes a binding; false where its namespace is going or it is there already.
    pub fn create_binding(
        &self,
        namespace: &str,
        name: &str,
        spec: &WorkloadIdentityBindingSpec,
    ) -> bool {
        let key = Key::new(Kind::Binding, namespace, name);
        self.create(&key, json!({ "spec": spec })).is_ok()
    }

    /// Makes a binding that comes with a status; false where there is one, or its namespace is going.
    pub fn create_restored(&self, key: &Key, spec: &Value, status: &Value) -> bool {
        self.create(key, json!({ "spec": spec, "status": status }))
            .is_ok()
    }

    /// Somebody else writes the status of a binding; false where it is gone.
    pub fn put_status(&self, key: &Key, status: Value) -> bool {
        let Some(mut object) = self.get(key) else {
            return false;
        };
        object["status"] = status;
        self.update(key, object).is_ok()
    }

    /// Changes the spec of a binding.
    pub fn change_spec(
        &self,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut WorkloadIdentityBindingSpec),
    ) -> bool {
        let key = Key::new(Kind::Binding, namespace, name);
        let Some(mut object) = self.get(&key) else {
            return false;
        };
        let spec = serde_json::from_value(object["spec"].clone());
        let Ok(mut spec): Result<WorkloadIdentityBindingSpec, _> = spec else {
            return false;
        };
        change(&mut spec);
        object["spec"] = json!(spec);
        self.update(&key, object).is_ok()
    }

    /// Sets an annotation of an object.
    pub fn annotate(&self, key: &Key, annotation: &str, value: &str) {
        if let Some(mut object) = self.get(key) {
            object["metadata"]["annotations"][annotation] = json!(value);
            // An object that is gone needs no annotation.
            let _ = self.update(key, object);
        }
    }

    pub(super) fn create(&self, key: &Key, mut object: Value) -> Result<Value, Refusal> {
        let mut state = lock(&self.state);
        if state.objects.contains_key(key) {
            return Err(Refusal::new(409, "AlreadyExists", "it is there already"));
        }
        if !key.kind.is_of_cluster() {
            let namespace = Key::new(Kind::Namespace, "", &key.namespace);
            let Some(namespace) = state.objects.get(&namespace) else {
                return Err(Refusal::new(404, "NotFound", "no such namespace"));
            };
            if namespace["metadata"]["deletionTimestamp"].is_string() {
                return Err(Refusal {
                    cause: Some("NamespaceTerminating"),
                    ..Refusal::new(403, "Forbidden", "the namespace is being terminated")
                });
            }
        }
        state.uids += 1;
        let (api_version, kind) = key.kind.type_();
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
        let uid = format!("00000000-0000-4000-8000-{:012}", state.uids);
        // The API server keeps whole seconds.
        let created = self.time.now().as_second();
        let created = jiff::Timestamp::from_second(created).unwrap_or_default();
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(key.name);
        if !key.kind.is_of_cluster() {
            metadata["namespace"] = json!(key.namespace);
        }
        metadata["uid"] = json!(uid);
        metadata["creationTimestamp"] = json!(created.to_string());
        metadata["generation"] = json!(1);
        Ok(self.store(&mut state, key, object, "ADDED"))
    }

    /// Replaces an object; one that is being deleted and has no finalizer left goes.
    pub(super) fn update(&self, key: &Key, mut object: Value) -> Result<Value, Refusal> {
        let mut state = lock(&self.state);
        let before = state.objects.get(key);
        let before = before.ok_or_else(|| Refusal::not_found(key))?.clone();
        if before["spec"] != object["spec"] {
            let generation = before["metadata"]["generation"].as_i64().unwrap_or(0);
            object["metadata"]["generation"] = json!(generation + 1);
        }
        object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
        if object == before {
            return Ok(object);
        }
        let going = object["metadata"]["deletionTimestamp"].is_string();
        let finalizers = object["metadata"]["finalizers"].as_array();
        if going && key.kind == Kind::Binding && finalizers.is_none_or(Vec::is_empty) {
            let gone = self.store(&mut state, key, object, "DELETED");
            self.collect(&mut state);
            return Ok(gone);
        }
        Ok(self.store(&mut state, key, object, "MODIFIED"))
    }

    pub(super) fn store(
        &self,
        state: &mut State,
        key: &Key,
        mut object: Value,
        type_: &'static str,
    ) -> Value {
        if object["metadata"]["finalizers"] == json!([])
            && let Some(metadata) = object["metadata"].as_object_mut()
        {
            // The API server leaves out what is empty.
            metadata.remove("finalizers");
        }
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        if type_ == "DELETED" {
            state.objects.remove(key);
        } else {
            state.objects.insert(key.clone(), object.clone());
        }
        state.history.push(Change {
            version: state.version,
            at: self.time.now(),
            key: key.clone(),
            type_,
            object: object.clone(),
        });
        self.changed.set(());
        object
    }
}
