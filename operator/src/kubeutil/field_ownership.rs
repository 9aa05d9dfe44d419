//! Reads `metadata.managedFields`: who owns which label, annotation and owner reference.
//!
//! Format: KEP-555 and `FieldsV1` of the Kubernetes API (`f:<name>` for a field, `k:<json>` for a list item by key).

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::{Map, Value};

/// The part of an object's metadata that one entry of `managedFields` owns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnedMetadata {
    pub annotations: BTreeSet<String>,
    pub labels: BTreeSet<String>,
    /// UIDs of the owned owner references.
    pub owner_references: BTreeSet<String>,
}

impl OwnedMetadata {
    fn of(entry: &ManagedFieldsEntry) -> Self {
        let Some(metadata) = entry
            .fields_v1
            .as_ref()
            .and_then(|fields| fields.0.get("f:metadata"))
        else {
            return Self::default();
        };
        Self {
            annotations: field_names(metadata.get("f:annotations")),
            labels: field_names(metadata.get("f:labels")),
            owner_references: item_uids(metadata.get("f:ownerReferences")),
        }
    }
}

/// What `manager` owns by server-side apply.
pub fn applied_by(meta: &ObjectMeta, manager: &str) -> OwnedMetadata {
    entries(meta)
        .find(|entry| is_apply(entry) && entry.manager.as_deref() == Some(manager))
        .map(OwnedMetadata::of)
        .unwrap_or_default()
}

/// The other managers that own this annotation.
pub fn other_owners<'a>(
    meta: &'a ObjectMeta,
    manager: &'a str,
    annotation: &'a str,
) -> impl Iterator<Item = &'a str> {
    entries(meta)
        .filter(move |entry| !(is_apply(entry) && entry.manager.as_deref() == Some(manager)))
        .filter(move |entry| OwnedMetadata::of(entry).annotations.contains(annotation))
        .map(|entry| entry.manager.as_deref().unwrap_or("unknown"))
}

/// The other managers that own anything by server-side apply, each with the fields that it owns.
pub fn other_appliers<'a>(
    meta: &'a ObjectMeta,
    manager: &'a str,
) -> impl Iterator<Item = (&'a str, &'a Map<String, Value>)> {
    entries(meta)
        .filter(move |entry| is_apply(entry) && entry.manager.as_deref() != Some(manager))
        .filter_map(|entry| {
            let fields = entry.fields_v1.as_ref()?.0.as_object()?;
            Some((entry.manager.as_deref().unwrap_or("unknown"), fields))
        })
}

/// Which other manager has changed the object last, as far as it still owns anything of it.
pub fn last_other_manager<'a>(meta: &'a ObjectMeta, manager: &str) -> Option<&'a str> {
    let others = entries(meta).filter(|entry| entry.manager.as_deref() != Some(manager));
    let last = others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    last.manager.as_deref()
}

fn entries(meta: &ObjectMeta) -> impl Iterator<Item = &ManagedFieldsEntry> {
    meta.managed_fields.iter().flatten()
}

fn is_apply(entry: &ManagedFieldsEntry) -> bool {
    entry.operation.as_deref() == Some("Apply")
}

fn field_names(fields: Option<&Value>) -> BTreeSet<String> {
    keys(fields)
        .filter_map(|key| key.strip_prefix("f:"))
        .map(str::to_owned)
        .collect()
}

fn item_uids(items: Option<&Value>) -> BTreeSet<String> {
    keys(items)
        .filter_map(|key| key.strip_prefix("k:"))
        .filter_map(|key| serde_json::from_str::<Value>(key).ok())
        .filter_map(|key| key.get("uid").and_then(Value::as_str).map(str::to_owned))
        .collect()
}

fn keys(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|map| map.keys().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> ObjectMeta {
        serde_yaml_ng::from_str(
            r#"
            managedFields:
            - manager: azwib
              operation: Apply
              fieldsType: FieldsV1
              fieldsV1:
                f:metadata:
                  f:annotations: {"f:azure.workload.identity/client-id": {}}
                  f:labels: {"f:app.kubernetes.io/managed-by": {}}
                  f:ownerReferences: {'k:{"uid":"u-1"}': {}}
            - manager: kubectl-edit
              operation: Update
              fieldsType: FieldsV1
              fieldsV1: {"f:metadata": {"f:annotations": {".": {}, "f:azure.workload.identity/tenant-id": {}}}}
            - manager: argocd-controller
              operation: Apply
              fieldsType: FieldsV1
              fieldsV1: {"f:metadata": {"f:annotations": {"f:azure.workload.identity/client-id": {}}}}
            "#,
        )
        .unwrap()
    }

    #[test]
    fn what_a_manager_applied_is_read_from_its_apply_entry() {
        let owned = applied_by(&meta(), "azwib");
        assert_eq!(
            owned.annotations,
            BTreeSet::from(["azure.workload.identity/client-id".to_owned()])
        );
        assert_eq!(
            owned.labels,
            BTreeSet::from(["app.kubernetes.io/managed-by".to_owned()])
        );
        assert_eq!(owned.owner_references, BTreeSet::from(["u-1".to_owned()]));
        assert_eq!(
            applied_by(&meta(), "kubectl-edit"),
            OwnedMetadata::default(),
            "an Update entry is not an apply"
        );
    }

    #[test]
    fn others_that_apply_are_told_from_those_that_update() {
        let meta = meta();
        let appliers: Vec<_> = other_appliers(&meta, "azwib").map(|(it, _)| it).collect();
        assert_eq!(appliers, ["argocd-controller"]);
    }

    #[test]
    fn the_last_of_the_others_is_known_by_its_time() {
        let meta: ObjectMeta = serde_yaml_ng::from_str(
            r#"
            managedFields:
            - {manager: kubectl-edit, operation: Update, time: "2026-01-01T00:00:02Z"}
            - {manager: helm, operation: Update, time: "2026-01-01T00:00:01Z"}
            - {manager: azwib, operation: Apply, time: "2026-01-01T00:00:03Z"}
            "#,
        )
        .unwrap();
        assert_eq!(last_other_manager(&meta, "azwib"), Some("kubectl-edit"));
        assert_eq!(last_other_manager(&ObjectMeta::default(), "azwib"), None);
    }

    #[test]
    fn the_other_owners_of_an_annotation_are_named() {
        let meta = meta();
        let owners = |annotation| other_owners(&meta, "azwib", annotation).collect::<Vec<_>>();
        assert_eq!(
            owners("azure.workload.identity/client-id"),
            ["argocd-controller"]
        );
        assert_eq!(
            owners("azure.workload.identity/tenant-id"),
            ["kubectl-edit"]
        );
    }
}
