//! What others do to objects: edits by hand, an admission policy, a deletion that orphans what is owned.

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::objects::{Key, Kind};
use crate::trace::lock;

/// The annotation that the policy of a namespace changes.
pub const CLIENT_ID: &str = "azure.workload.identity/client-id";

/// The finalizer of the garbage collector on what is deleted with `--cascade=orphan`.
const ORPHAN: &str = "orphan";

impl Cluster {
    /// Sets or removes an annotation of an account by hand: whoever does it owns it from then on.
    pub fn edit_account(&self, key: &Key, annotation: &str, value: Option<&str>) -> bool {
        let Some(mut object) = self.get(key) else {
            return false;
        };
        let metadata = &mut object["metadata"];
        let Some(annotations) = metadata["annotations"].as_object_mut() else {
            return false;
        };
        match value {
            Some(value) => annotations.insert(annotation.to_owned(), json!(value)),
            None => annotations.remove(annotation),
        };
        let field = format!("f:{annotation}");
        let applied = metadata.pointer_mut("/managedFields/0/fieldsV1/f:metadata/f:annotations");
        if let Some(applied) = applied.and_then(Value::as_object_mut) {
            applied.remove(&field);
        }
        if let (Some(entries), Some(_)) = (metadata["managedFields"].as_array_mut(), value) {
            entries.truncate(1);
            entries.push(json!({
                "manager": "kubectl-edit", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
                "fieldsV1": { "f:metadata": { "f:annotations": { field: {} } } },
            }));
        }
        self.update(key, object).is_ok()
    }

    /// Has a policy give every account of a namespace another client id, whoever writes it; or ends that.
    pub fn set_policy(&self, namespace: &str, client_id: Option<String>) {
        let policies = &mut lock(&self.state).policies;
        match client_id {
            Some(client_id) => policies.insert(namespace.to_owned(), client_id),
            None => policies.remove(namespace),
        };
    }

    /// The client id that a policy gives the accounts of a namespace.
    pub fn policy(&self, namespace: &str) -> Option<String> {
        lock(&self.state).policies.get(namespace).cloned()
    }

    /// Deletes a binding as `kubectl delete --cascade=orphan` does; [`Self::orphan_dependents`] has to follow.
    pub fn delete_orphaning(&self, key: &Key) {
        if let Some(mut object) = self.get(key)
            && !object["metadata"]["deletionTimestamp"].is_string()
        {
            let metadata = &mut object["metadata"];
            let mut finalizers = metadata["finalizers"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            finalizers.push(json!(ORPHAN));
            metadata["finalizers"] = json!(finalizers);
            // It was there a moment ago.
            let _ = self.update(key, object);
            self.delete(key);
        }
    }

    /// The garbage collector takes the references to a binding off, and then its own finalizer. The UID of that binding,
    /// where there was a reference.
    pub fn orphan_dependents(&self, key: &Key) -> Option<String> {
        let binding = self.get(key)?;
        let uid = binding["metadata"]["uid"].as_str()?.to_owned();
        let mut was_left = false;
        for mut account in self.all(Kind::Account) {
            let metadata = &mut account["metadata"];
            let Some(references) = metadata["ownerReferences"].as_array_mut() else {
                continue;
            };
            let before = references.len();
            references.retain(|reference| reference["uid"] != uid);
            if references.len() == before {
                continue;
            }
            was_left = true;
            let applied =
                metadata.pointer_mut("/managedFields/0/fieldsV1/f:metadata/f:ownerReferences");
            if let Some(applied) = applied.and_then(Value::as_object_mut) {
                applied.remove(&format!("k:{}", json!({ "uid": uid })));
            }
            let name = metadata["name"].as_str().unwrap_or_default().to_owned();
            let account_key = Key::new(Kind::Account, &key.namespace, &name);
            // One that is gone needs nothing taken off.
            let _ = self.update(&account_key, account);
        }
        let mut binding = self.get(key)?;
        let finalizers = binding["metadata"]["finalizers"].as_array_mut()?;
        finalizers.retain(|finalizer| finalizer != ORPHAN);
        let _ = self.update(key, binding);
        was_left.then_some(uid)
    }
}
