//! What a ServiceAccount should carry, computed from all the bindings that count for it. Pure.
//!
//! The account may be ours or kept by somebody else (Git, Helm, a person), and that is read from the account itself:
//! its managed fields and the marks that GitOps tools leave on what they track.

mod claimants;
mod existing;

use std::collections::{BTreeMap, BTreeSet};

use azwib_crds::{DeletionPolicy, ServiceAccountOrigin, ServiceAccountRole};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::jiff::Timestamp;

use crate::kubeutil::FIELD_MANAGER;
pub use claimants::{claimant, claimant_of, claimants};
pub use existing::ExistingAccount;

/// Annotation that names the client id; read by the azure-workload-identity webhook.
pub const CLIENT_ID: &str = "azure.workload.identity/client-id";
/// Annotation that names the tenant id; read by the webhook.
pub const TENANT_ID: &str = "azure.workload.identity/tenant-id";
/// Annotation with the lifetime of projected tokens, in seconds; read by the webhook.
pub const TOKEN_EXPIRATION: &str = "azure.workload.identity/service-account-token-expiration";

/// All of them.
pub(super) const ANNOTATIONS: [&str; 3] = [CLIENT_ID, TENANT_ID, TOKEN_EXPIRATION];

pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Marks of tools that keep the object elsewhere, as labels or annotations.
pub(super) const TRACKING_MARKS: [&str; 6] = [
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
pub fn origin(existing: Option<&ExistingAccount>) -> ServiceAccountOrigin {
    let is_ours = existing.is_none_or(|account| {
        account.managed_by() == Some(FIELD_MANAGER)
            && account.applied_labels().any(|label| label == MANAGED_BY)
            && !account.is_kept_elsewhere()
    });
    if is_ours {
        ServiceAccountOrigin::Created
    } else {
        ServiceAccountOrigin::Adopted
    }
}

/// The binding whose identity the annotations name: of those with the role Default, the one whose client id the account
/// already carries under our manager, otherwise the oldest.
pub fn holder<'a>(
    claimants: &'a [Claimant],
    existing: Option<&ExistingAccount>,
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
fn carried_annotations(existing: &ExistingAccount) -> BTreeMap<&'static str, String> {
    existing
        .carried_annotations()
        .map(|(key, value)| (key, value.to_owned()))
        .collect()
}

/// What the account should carry for these bindings, which are all that count for it.
pub fn configuration(
    claimants: &[Claimant],
    existing: Option<&ExistingAccount>,
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
        uid: existing.and_then(|account| account.uid().map(str::to_owned)),
    }
}

/// Without a holder an account carries none of our annotations, but for those that a binding with Retain has left: they
/// name an identity that is none of the claimants'.
fn retained_annotations(
    claimants: &[Claimant],
    existing: Option<&ExistingAccount>,
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
    existing: Option<&ExistingAccount>,
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
    existing: &ExistingAccount,
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
    pub fn is_in_place(&self, existing: &ExistingAccount) -> bool {
        holds(|key| existing.annotation(key), &self.annotations)
            && holds(
                |key| existing.managed_by().filter(|_| key == MANAGED_BY),
                &self.labels,
            )
            && existing.refers_to(&self.owner_references)
            && existing
                .applied_annotations()
                .eq(self.annotations.keys().copied())
            && existing.applied_labels().eq(self.labels.keys().copied())
            && existing.applied_owners().eq(self.owner_uids())
    }

    fn owner_uids(&self) -> BTreeSet<&str> {
        self.owner_references
            .iter()
            .map(|reference| reference.uid.as_str())
            .collect()
    }

    /// The field of an account that is not ours which another manager holds with another value, and that manager.
    ///
    /// The API server would refuse the apply for it; what is known beforehand needs no try, and no record of one.
    pub fn conflict<'a>(&self, existing: &'a ExistingAccount) -> Option<(&'static str, &'a str)> {
        if self.force() {
            return None;
        }
        [CLIENT_ID, TENANT_ID].into_iter().find_map(|field| {
            let wanted = self.annotations.get(field)?;
            let carried = existing.annotation(field)?;
            let other = existing.other_owner(field)?;
            (carried != wanted).then_some((field, other))
        })
    }

    /// What is applied where there is such a conflict: label and references go, or the end of a binding would take along
    /// what somebody else keeps; no annotation comes or changes. None where nothing is left to give up.
    pub fn given_up(&self, existing: &ExistingAccount) -> Option<Self> {
        let mut owned = existing.applied_labels().chain(existing.applied_owners());
        owned.next().is_some().then(|| Self {
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

fn holds<'a>(
    existing: impl Fn(&str) -> Option<&'a str>,
    wanted: &BTreeMap<&'static str, String>,
) -> bool {
    wanted
        .iter()
        .all(|(key, value)| existing(key) == Some(value.as_str()))
}

fn foreign_expiration(
    origin: ServiceAccountOrigin,
    existing: Option<&ExistingAccount>,
    wanted: &str,
) -> Option<String> {
    let account = existing.filter(|_| origin == ServiceAccountOrigin::Adopted)?;
    let value = account
        .annotation(TOKEN_EXPIRATION)
        .filter(|value| *value != wanted)?;
    let manager = account.other_owner(TOKEN_EXPIRATION)?;
    Some(format!(
        "the token lifetime of {value} s set by \"{manager}\" is left as it is"
    ))
}

fn owner_reference(claimant: &Claimant) -> OwnerReference {
    owner_reference_to(&claimant.name, &claimant.uid)
}

pub(super) fn owner_reference_to(binding: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "azwib.dev/v1alpha1".to_owned(),
        kind: "WorkloadIdentityBinding".to_owned(),
        name: binding.to_owned(),
        uid: uid.to_owned(),
        controller: None,
        block_owner_deletion: None,
    }
}

#[cfg(test)]
mod tests;
