//! Writes of the operator: status, finalizers, server-side apply of metadata.

use serde_json::{Map, Value, json};

use super::cluster::Cluster;
use super::objects::{Key, Refusal};
use super::others::CLIENT_ID;

const MANAGER: &str = "azwib";

impl Cluster {
    /// Replaces the status, and nothing else.
    pub(crate) fn replace_status(&self, key: &Key, sent: &Value) -> Result<Value, Refusal> {
        let mut object = self.get(key).ok_or_else(|| Refusal::not_found(key))?;
        let metadata = &sent["metadata"];
        let uid = &metadata["uid"];
        if uid.is_string() && *uid != object["metadata"]["uid"] {
            return Err(Refusal::new(409, "Conflict", "the uid is another one"));
        }
        let version = &metadata["resourceVersion"];
        if version.is_string() && *version != object["metadata"]["resourceVersion"] {
            return Err(Refusal::new(
                409,
                "Conflict",
                "the object has been modified",
            ));
        }
        object["status"] = sent["status"].clone();
        self.update(key, object)
    }

    /// Server-side apply of a status by azwib, which owns all of it.
    pub(crate) fn apply_status(&self, key: &Key, sent: &Value) -> Result<Value, Refusal> {
        let mut object = self.get(key).ok_or_else(|| Refusal::not_found(key))?;
        object["status"] = sent["status"].clone();
        self.update(key, object)
    }

    /// A merge patch of the finalizers, with the version that was read.
    pub(crate) fn merge_finalizers(&self, key: &Key, sent: &Value) -> Result<Value, Refusal> {
        let mut object = self.get(key).ok_or_else(|| Refusal::not_found(key))?;
        let version = &sent["metadata"]["resourceVersion"];
        if version.is_string() && *version != object["metadata"]["resourceVersion"] {
            return Err(Refusal::new(
                409,
                "Conflict",
                "the object has been modified",
            ));
        }
        let finalizers = sent["metadata"]["finalizers"].clone();
        // As the API server: an empty list is none.
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("finalizers");
            if finalizers != json!([]) {
                metadata.insert("finalizers".to_owned(), finalizers);
            }
        }
        self.update(key, object)
    }

    /// Server-side apply of metadata by azwib, the one manager that applies here.
    pub(crate) fn apply(&self, key: &Key, sent: &Value) -> Result<Value, Refusal> {
        let wanted = &sent["metadata"];
        let mut object = match self.get(key) {
            Some(object)
                if wanted["uid"].is_string() && wanted["uid"] != object["metadata"]["uid"] =>
            {
                return Err(Refusal::new(409, "Conflict", "the uid is another one"));
            }
            Some(object) => object,
            None if wanted["uid"].is_string() => {
                return Err(Refusal::new(
                    409,
                    "Conflict",
                    "the uid is of one that is gone",
                ));
            }
            None => self.create(key, json!({}))?,
        };
        let owned = owned(&object);
        let metadata = &mut object["metadata"];
        for field in ["annotations", "labels"] {
            let mut map = metadata[field].as_object().cloned().unwrap_or_default();
            let before = owned.get(&format!("f:{field}")).and_then(Value::as_object);
            for name in before.into_iter().flat_map(Map::keys) {
                map.remove(name.trim_start_matches("f:"));
            }
            let sent = wanted[field].as_object().cloned().unwrap_or_default();
            map.extend(sent);
            metadata[field] = json!(map);
        }
        metadata["ownerReferences"] = match &wanted["ownerReferences"] {
            Value::Null => json!([]),
            references => references.clone(),
        };
        if let Some(client_id) = self.policy(&key.namespace)
            && metadata["annotations"][CLIENT_ID].is_string()
        {
            metadata["annotations"][CLIENT_ID] = json!(client_id);
        }
        metadata["managedFields"] = json!([{
            "manager": MANAGER, "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": { "f:metadata": fields(wanted) },
        }]);
        self.update(key, object)
    }
}

fn owned(object: &Value) -> Map<String, Value> {
    object
        .pointer("/metadata/managedFields/0/fieldsV1/f:metadata")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

fn fields(metadata: &Value) -> Value {
    let mut fields = Map::new();
    for field in ["annotations", "labels"] {
        let names = metadata[field].as_object().into_iter().flat_map(Map::keys);
        let names: Map<_, _> = names.map(|name| (format!("f:{name}"), json!({}))).collect();
        if !names.is_empty() {
            fields.insert(format!("f:{field}"), json!(names));
        }
    }
    let references = metadata["ownerReferences"].as_array().into_iter().flatten();
    let references: Map<_, _> = references
        .map(|reference| {
            (
                format!("k:{}", json!({ "uid": reference["uid"] })),
                json!({}),
            )
        })
        .collect();
    if !references.is_empty() {
        fields.insert("f:ownerReferences".to_owned(), json!(references));
    }
    json!(fields)
}
