//! Reads `metadata.managedFields`: who owns which label, annotation and owner reference.
//!
//! Format: KEP-555 and `FieldsV1` of the Kubernetes API (`f:<name>` for a field, `k:<json>` for a list item by key).

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::Value;

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

/// The other managers that own this annotation, and whether by server-side apply.
pub fn other_owners<'a>(
    meta: &'a ObjectMeta,
    manager: &'a str,
    annotation: &'a str,
) -> impl Iterator<Item = (&'a str, bool)> {
    entries(meta)
        .filter(move |entry| !(is_apply(entry) && entry.manager.as_deref() == Some(manager)))
        .filter(move |entry| OwnedMetadata::of(entry).annotations.contains(annotation))
        .map(|entry| {
            let manager = entry.manager.as_deref().unwrap_or("unknown");
            (manager, is_apply(entry))
        })
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
    fn other_owners_are_told_apart_by_operation() {
        let meta = meta();
        let owners = |annotation| other_owners(&meta, "azwib", annotation).collect::<Vec<_>>();
        assert_eq!(
            owners("azure.workload.identity/client-id"),
            [("argocd-controller", true)]
        );
        assert_eq!(
            owners("azure.workload.identity/tenant-id"),
            [("kubectl-edit", false)]
        );
    }
}
