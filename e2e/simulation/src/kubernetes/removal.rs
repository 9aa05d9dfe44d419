//! How objects go: deletions, and what the namespace controller and the garbage collector do after them.

use serde_json::json;

use super::cluster::{Cluster, State};
use super::objects::{Key, Kind};
use crate::trace::lock;

impl Cluster {
    /// Deletes an object, or marks it where a finalizer holds it.
    pub fn delete(&self, key: &Key) {
        let Some(mut object) = self.get(key) else {
            return;
        };
        if object["metadata"]["deletionTimestamp"].is_string() {
            return;
        }
        let held = object["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|held| !held.is_empty());
        if held || key.kind == Kind::Namespace {
            let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
            object["metadata"]["generation"] = json!(generation + 1);
            object["metadata"]["deletionTimestamp"] = json!(self.time.now().to_string());
            let mut state = lock(&self.state);
            self.store(&mut state, key, object, "MODIFIED");
        } else {
            let mut state = lock(&self.state);
            self.store(&mut state, key, object, "DELETED");
            self.collect(&mut state);
        }
    }

    /// The namespace controller: deletes what is in a namespace that is going, and the namespace once it is empty.
    pub fn sweep(&self) {
        for namespace in self.all(Kind::Namespace) {
            if !namespace["metadata"]["deletionTimestamp"].is_string() {
                continue;
            }
            let name = namespace["metadata"]["name"].as_str().unwrap_or_default();
            let keys: Vec<_> = {
                let state = lock(&self.state);
                let inside = state.objects.keys().filter(|key| key.namespace == name);
                inside.cloned().collect()
            };
            for key in &keys {
                self.delete(key);
            }
            let mut state = lock(&self.state);
            if !state.objects.keys().any(|key| key.namespace == name) {
                let key = Key::new(Kind::Namespace, "", name);
                self.store(&mut state, &key, namespace.clone(), "DELETED");
            }
        }
    }

    /// The garbage collector: an account whose owners are all gone goes.
    pub(super) fn collect(&self, state: &mut State) {
        let owners: Vec<_> = state
            .objects
            .values()
            .filter_map(|object| object["metadata"]["uid"].as_str().map(str::to_owned))
            .collect();
        let orphans: Vec<_> = state
            .objects
            .iter()
            .filter(|(_, object)| {
                object["metadata"]["ownerReferences"]
                    .as_array()
                    .is_some_and(|references| {
                        !references.is_empty()
                            && references.iter().all(|reference| {
                                !owners
                                    .iter()
                                    .any(|uid| reference["uid"].as_str() == Some(uid))
                            })
                    })
            })
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        for (key, object) in orphans {
            self.store(state, &key, object, "DELETED");
        }
    }
}
