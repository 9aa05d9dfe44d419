//! What a ServiceAccount should carry, computed from all the bindings that count for it. Pure.
//!
//! The account may be ours or kept by somebody else (Git, Helm, a person), and that is read from the account itself:
//! its managed fields and the marks that GitOps tools leave on what they track.

use std::collections::BTreeMap;

use azwib_crds::{DeletionPolicy, ServiceAccountOrigin, ServiceAccountRole};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::jiff::Timestamp;

use crate::kubeutil::FIELD_MANAGER;
use crate::kubeutil::field_ownership::{applied_by, other_owners_of_annotation};

/// Annotation that names the client id; read by the azure-workload-identity webhook.
pub const CLIENT_ID: &str = "azure.workload.identity/client-id";
/// Annotation that names the tenant id; read by the webhook.
pub const TENANT_ID: &str = "azure.workload.identity/tenant-id";
/// Annotation with the lifetime of projected tokens, in seconds; read by the webhook.
pub const TOKEN_EXPIRATION: &str = "azure.workload.identity/service-account-token-expiration";

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Marks of tools that keep the object elsewhere, as labels or annotations.
const TRACKING_MARKS: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "argocd.argoproj.io/tracking-id",
    "app.kubernetes.io/instance",
    "kustomize.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/name",
    "meta.helm.sh/release-name",
];

/// A binding that counts for an account: granted, not being deleted, its identity resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    pub name: String,
    pub uid: String,
    pub created: Option<Timestamp>,
    pub role: ServiceAccountRole,
    pub suspended: bool,
    pub client_id: String,
    pub tenant_id: String,
    /// Seconds.
    pub token_expiration_seconds: i32,
    pub deletion_policy: DeletionPolicy,
}

/// What azwib applies to an account.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountConfiguration {
    pub annotations: BTreeMap<&'static str, String>,
    pub labels: BTreeMap<&'static str, String>,
    pub owner_references: Vec<OwnerReference>,
    pub origin: ServiceAccountOrigin,
    /// Something about the account that its bindings should say, such as a field left to another manager.
    pub note: Option<String>,
    /// The account that this was computed from; None for one that is to be made.
    pub uid: Option<String>,
}

/// Who made the account, read from the account.
///
/// Ours is what carries our label under our manager and is kept nowhere else; what is not there yet will be ours.
pub fn origin(existing: Option<&ObjectMeta>) -> ServiceAccountOrigin {
    let Some(meta) = existing else {
        return ServiceAccountOrigin::Created;
    };
    let labelled = meta
        .labels
        .as_ref()
        .and_then(|labels| labels.get(MANAGED_BY))
        .is_some_and(|by| by == FIELD_MANAGER);
    if labelled
        && applied_by(meta, FIELD_MANAGER).labels.contains(MANAGED_BY)
        && !kept_elsewhere(meta)
    {
        ServiceAccountOrigin::Created
    } else {
        ServiceAccountOrigin::Adopted
    }
}

fn kept_elsewhere(meta: &ObjectMeta) -> bool {
    let marked = |fields: &Option<BTreeMap<String, String>>| {
        fields
            .as_ref()
            .is_some_and(|fields| TRACKING_MARKS.iter().any(|mark| fields.contains_key(*mark)))
    };
    marked(&meta.labels)
        || marked(&meta.annotations)
        || [CLIENT_ID, TENANT_ID, TOKEN_EXPIRATION]
            .iter()
            .any(|annotation| {
                other_owners_of_annotation(meta, FIELD_MANAGER, annotation, true)
                    .next()
                    .is_some()
            })
}

/// The binding whose identity the annotations name: of those with the role Default, the one whose client id the account
/// already carries under our manager, otherwise the oldest.
pub fn holder<'a>(
    claimants: &'a [Claimant],
    existing: Option<&ObjectMeta>,
) -> Option<&'a Claimant> {
    let carried = existing
        .map(carried_annotations)
        .unwrap_or_default()
        .remove(CLIENT_ID);
    let defaults = || {
        claimants
            .iter()
            .filter(|claimant| claimant.role == ServiceAccountRole::Default)
    };
    let age = |claimant: &&Claimant| (claimant.created, claimant.name.clone());
    defaults()
        .filter(|claimant| Some(&claimant.client_id) == carried.as_ref())
        .min_by_key(age)
        .or_else(|| defaults().min_by_key(age))
}

/// Those of our annotations that the account carries under our manager, as they are.
fn carried_annotations(existing: &ObjectMeta) -> BTreeMap<&'static str, String> {
    let owned = applied_by(existing, FIELD_MANAGER).annotations;
    [CLIENT_ID, TENANT_ID, TOKEN_EXPIRATION]
        .into_iter()
        .filter(|key| owned.contains(*key))
        .filter_map(|key| Some((key, existing.annotations.as_ref()?.get(key)?.clone())))
        .collect()
}

/// What the account should carry for these bindings, which are all that count for it.
pub fn configuration(
    claimants: &[Claimant],
    existing: Option<&ObjectMeta>,
) -> AccountConfiguration {
    let origin = origin(existing);
    let (annotations, note) = match holder(claimants, existing) {
        None => (retained_annotations(claimants, existing), None),
        // Exactly as they are, whatever the holder's spec says meanwhile.
        Some(holder) if holder.suspended => {
            (existing.map(carried_annotations).unwrap_or_default(), None)
        }
        Some(holder) => annotations(holder, origin, existing),
    };
    let created = origin == ServiceAccountOrigin::Created;
    let all_delete = claimants
        .iter()
        .all(|claimant| claimant.deletion_policy == DeletionPolicy::Delete);
    AccountConfiguration {
        annotations,
        labels: created
            .then(|| (MANAGED_BY, FIELD_MANAGER.to_owned()))
            .into_iter()
            .collect(),
        owner_references: if created && all_delete {
            claimants.iter().map(owner_reference).collect()
        } else {
            vec![]
        },
        origin,
        note,
        uid: existing.and_then(|meta| meta.uid.clone()),
    }
}

/// Without a holder an account carries none of our annotations, but for those that a binding with Retain has left: they
/// name an identity that is none of the claimants'.
fn retained_annotations(
    claimants: &[Claimant],
    existing: Option<&ObjectMeta>,
) -> BTreeMap<&'static str, String> {
    let carried = existing.map(carried_annotations).unwrap_or_default();
    let of_claimant = |client_id: &String| {
        claimants
            .iter()
            .any(|claimant| claimant.client_id == *client_id)
    };
    match carried.get(CLIENT_ID) {
        Some(client_id) if !of_claimant(client_id) => carried,
        _ => BTreeMap::new(),
    }
}

fn annotations(
    holder: &Claimant,
    origin: ServiceAccountOrigin,
    existing: Option<&ObjectMeta>,
) -> (BTreeMap<&'static str, String>, Option<String>) {
    let mut annotations = BTreeMap::from([
        (CLIENT_ID, holder.client_id.clone()),
        (TENANT_ID, holder.tenant_id.clone()),
    ]);
    let seconds = holder.token_expiration_seconds.to_string();
    let note = foreign_expiration(origin, existing, &seconds);
    if note.is_none() {
        annotations.insert(TOKEN_EXPIRATION, seconds);
    }
    (annotations, note)
}

/// What the account should carry when `leaving` goes and the `remaining` bindings still count for it.
pub fn configuration_after(
    leaving: &Claimant,
    remaining: &[Claimant],
    existing: &ObjectMeta,
) -> AccountConfiguration {
    if leaving.deletion_policy == DeletionPolicy::Retain {
        // It stays as if its binding were still there; a binding that remains and wants it otherwise says so itself.
        let with_leaving: Vec<_> = remaining.iter().chain([leaving]).cloned().collect();
        return configuration(&with_leaving, Some(existing));
    }
    if !remaining.is_empty() {
        let mut configuration = configuration(remaining, Some(existing));
        if leaving.role == ServiceAccountRole::Default
            && holder(remaining, Some(existing)).is_none()
        {
            configuration.annotations.clear();
        }
        return configuration;
    }
    // What we made goes with its owner (the garbage collector takes it); what we adopted gives back our fields.
    AccountConfiguration {
        annotations: BTreeMap::new(),
        note: None,
        ..configuration(std::slice::from_ref(leaving), Some(existing))
    }
}

impl AccountConfiguration {
    /// Whether the account carries exactly this under our field manager, so that nothing needs to be written.
    pub fn is_in_place(&self, existing: &ObjectMeta) -> bool {
        let owned = applied_by(existing, FIELD_MANAGER);
        let references = existing.owner_references.as_deref().unwrap_or_default();
        holds(existing.annotations.as_ref(), &self.annotations)
            && holds(existing.labels.as_ref(), &self.labels)
            && self
                .owner_references
                .iter()
                .all(|reference| references.contains(reference))
            && owned
                .annotations
                .iter()
                .map(String::as_str)
                .eq(self.annotations.keys().copied())
            && owned
                .labels
                .iter()
                .map(String::as_str)
                .eq(self.labels.keys().copied())
            && owned.owner_references
                == self
                    .owner_references
                    .iter()
                    .map(|reference| reference.uid.clone())
                    .collect()
    }

    /// The field of an account that is not ours which another manager holds with another value, and that manager.
    ///
    /// The API server would refuse the apply for it; what is known beforehand needs no try, and no record of one.
    pub fn conflict<'a>(&self, existing: &'a ObjectMeta) -> Option<(&'static str, &'a str)> {
        if self.force() {
            return None;
        }
        [CLIENT_ID, TENANT_ID].into_iter().find_map(|field| {
            let wanted = self.annotations.get(field)?;
            let carried = existing.annotations.as_ref()?.get(field)?;
            let other = other_owners_of_annotation(existing, FIELD_MANAGER, field, false).next()?;
            (carried != wanted).then_some((field, other))
        })
    }

    /// What is applied where there is such a conflict: label and references go, or the end of a binding would take along
    /// what somebody else keeps; no annotation comes or changes. None where nothing is left to give up.
    pub fn given_up(&self, existing: &ObjectMeta) -> Option<Self> {
        let owned = applied_by(existing, FIELD_MANAGER);
        (!owned.labels.is_empty() || !owned.owner_references.is_empty()).then(|| Self {
            annotations: carried_annotations(existing),
            note: None,
            ..self.clone()
        })
    }

    /// Applied with force: only on accounts that are ours.
    pub fn force(&self) -> bool {
        self.origin == ServiceAccountOrigin::Created
    }
}

fn holds(
    existing: Option<&BTreeMap<String, String>>,
    wanted: &BTreeMap<&'static str, String>,
) -> bool {
    wanted
        .iter()
        .all(|(key, value)| existing.and_then(|fields| fields.get(*key)) == Some(value))
}

fn foreign_expiration(
    origin: ServiceAccountOrigin,
    existing: Option<&ObjectMeta>,
    wanted: &str,
) -> Option<String> {
    let meta = existing.filter(|_| origin == ServiceAccountOrigin::Adopted)?;
    let value = meta
        .annotations
        .as_ref()?
        .get(TOKEN_EXPIRATION)
        .filter(|value| *value != wanted)?;
    let manager =
        other_owners_of_annotation(meta, FIELD_MANAGER, TOKEN_EXPIRATION, false).next()?;
    Some(format!(
        "the token lifetime of {value} s set by \"{manager}\" is left as it is"
    ))
}

fn owner_reference(claimant: &Claimant) -> OwnerReference {
    OwnerReference {
        api_version: "azwib.dev/v1alpha1".to_owned(),
        kind: "WorkloadIdentityBinding".to_owned(),
        name: claimant.name.clone(),
        uid: claimant.uid.clone(),
        controller: None,
        block_owner_deletion: None,
    }
}

#[cfg(test)]
mod tests;
