//! What a ServiceAccount should carry, computed from all the bindings that count for it. Pure.
//!
//! The account may be ours or kept by somebody else (Git, Helm, a person), and that is read from the account itself:
//! its managed fields and the marks that GitOps tools leave on what they track.

use std::collections::{BTreeMap, BTreeSet};

use azwib_crds::{DeletionPolicy, ServiceAccountOrigin, ServiceAccountRole};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::bindings::AccountBinding;
use super::existing::ExistingAccount;
use super::marks::{
    CLIENT_ID, CREATED, MANAGED_BY, ORIGIN, TENANT_ID, TOKEN_EXPIRATION, owner_reference_to,
};
use crate::kubeutil::FIELD_MANAGER;
use crate::runtime::deliberate::Bug;

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
    /// Those bindings among its owners, by name, that the account does not refer to yet.
    pub new_owners: Vec<String>,
}

/// Who made the account, read from the account.
///
/// An account is ours if our field manager has made it and nobody else keeps it. One that does not exist yet will be ours.
pub fn origin(existing: Option<&ExistingAccount>) -> ServiceAccountOrigin {
    let is_ours =
        existing.is_none_or(|account| account.is_made_by_us() && account.keeper().is_none());
    if is_ours {
        ServiceAccountOrigin::Created
    } else {
        ServiceAccountOrigin::Adopted
    }
}

/// The binding whose identity the annotations name: of those with the role Default, the one whose client id the account
/// already carries under our manager, otherwise the oldest.
pub fn default_binding<'a>(
    account_bindings: &'a [AccountBinding],
    existing: Option<&ExistingAccount>,
) -> Option<&'a AccountBinding> {
    let carried = existing
        .map(carried_annotations)
        .unwrap_or_default()
        .remove(CLIENT_ID);
    let defaults = || {
        account_bindings
            .iter()
            .filter(|account_binding| account_binding.role == ServiceAccountRole::Default)
    };
    let age =
        |account_binding: &&AccountBinding| (account_binding.created, account_binding.name.clone());
    defaults()
        .filter(|account_binding| Some(&account_binding.client_id) == carried.as_ref())
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
    account_bindings: &[AccountBinding],
    existing: Option<&ExistingAccount>,
) -> AccountConfiguration {
    let origin = origin(existing);
    let (annotations, note) = match default_binding(account_bindings, existing) {
        None => (retained_annotations(account_bindings, existing), None),
        // Exactly as they are, whatever the default binding's spec says meanwhile.
        Some(default) if default.suspended => {
            (existing.map(carried_annotations).unwrap_or_default(), None)
        }
        Some(default) => annotations(default, origin, existing),
    };
    let created = origin == ServiceAccountOrigin::Created;
    let all_delete = account_bindings
        .iter()
        .all(|account_binding| account_binding.deletion_policy == DeletionPolicy::Delete);
    let mut owner_references: Vec<_> = if created && all_delete {
        account_bindings.iter().map(owner_reference).collect()
    } else {
        vec![]
    };
    // Whichever binding writes it: another order would be a change.
    owner_references.sort_by(|a, b| a.uid.cmp(&b.uid));
    AccountConfiguration {
        annotations,
        labels: if created {
            labels(existing)
        } else {
            BTreeMap::new()
        },
        new_owners: existing.map_or_else(Vec::new, |account| {
            let new = account.missing(&owner_references);
            new.map(|reference| reference.name.clone()).collect()
        }),
        owner_references,
        origin,
        note,
        uid: existing.and_then(|account| account.uid().map(str::to_owned)),
    }
}

/// Our mark; and the common label, unless somebody else has taken that: it proves nothing that the mark does not.
fn labels(existing: Option<&ExistingAccount>) -> BTreeMap<&'static str, String> {
    let is_still_ours =
        existing.is_none_or(|account| account.applied_labels().any(|label| label == MANAGED_BY));
    let common = is_still_ours.then(|| (MANAGED_BY, FIELD_MANAGER.to_owned()));
    common
        .into_iter()
        .chain([(ORIGIN, CREATED.to_owned())])
        .collect()
}

/// Without a default binding an account carries none of our annotations, but for those that a binding with Retain has left: they
/// name an identity that is none of those bindings'.
fn retained_annotations(
    account_bindings: &[AccountBinding],
    existing: Option<&ExistingAccount>,
) -> BTreeMap<&'static str, String> {
    let carried = existing.map(carried_annotations).unwrap_or_default();
    let of_account_binding = |client_id: &String| {
        account_bindings
            .iter()
            .any(|account_binding| account_binding.client_id == *client_id)
    };
    match carried.get(CLIENT_ID) {
        Some(client_id) if !of_account_binding(client_id) => carried,
        _ => BTreeMap::new(),
    }
}

fn annotations(
    default: &AccountBinding,
    origin: ServiceAccountOrigin,
    existing: Option<&ExistingAccount>,
) -> (BTreeMap<&'static str, String>, Option<String>) {
    let mut annotations = BTreeMap::from([
        (CLIENT_ID, default.client_id.clone()),
        (TENANT_ID, default.tenant_id.clone()),
    ]);
    let seconds = default.token_expiration_seconds.to_string();
    let note = foreign_expiration(origin, existing, &seconds);
    if note.is_none() {
        annotations.insert(TOKEN_EXPIRATION, seconds);
    }
    (annotations, note)
}

/// What the account should carry when `leaving` goes and the `remaining` bindings still count for it.
pub fn configuration_after(
    leaving: &AccountBinding,
    remaining: &[AccountBinding],
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
            && default_binding(remaining, Some(existing)).is_none()
        {
            configuration.annotations.clear();
        }
        return configuration;
    }
    let configuration = configuration(std::slice::from_ref(leaving), Some(existing));
    // What we made goes with its owners (the garbage collector takes it); what we adopted gives back our fields.
    //
    // The references stay as they are: another owner may be going as well, and one that was taken off, as by
    // `kubectl delete --cascade=orphan`, is not put on again.
    let owner_references = if configuration.owner_references.is_empty() {
        vec![]
    } else if Bug::OwnerPutBack.is_on() {
        configuration.owner_references.clone()
    } else {
        existing.own_references().collect()
    };
    AccountConfiguration {
        annotations: BTreeMap::new(),
        owner_references,
        new_owners: vec![],
        note: None,
        ..configuration
    }
}

/// Why an account stays though the last of its bindings goes; None where it goes along.
///
/// `configuration` is what the binding that leaves has made of it; `is_orphaned` says that it is deleted with
/// `--cascade=orphan`, and the garbage collector may not have been there yet.
pub fn why_left(
    leaving: &AccountBinding,
    is_orphaned: bool,
    configuration: &AccountConfiguration,
    existing: &ExistingAccount,
) -> Option<String> {
    if leaving.deletion_policy == DeletionPolicy::Retain {
        return Some("deletionPolicy is Retain".to_owned());
    }
    if let Some(keeper) = existing.keeper() {
        return Some(format!("it is kept elsewhere, since {keeper}"));
    }
    if !existing.is_made_by_us() {
        let why = "azwib did not make it, or its managed fields do not show that any more";
        return Some(why.to_owned());
    }
    if is_orphaned || configuration.owner_references.is_empty() {
        let why = "its owner reference was removed, as `kubectl delete --cascade=orphan` does";
        return Some(why.to_owned());
    }
    existing
        .other_reference()
        .map(|owner| format!("it has another owner, {owner}"))
}

impl AccountConfiguration {
    /// Whether the account carries exactly this under our field manager, so that nothing needs to be written.
    pub fn is_in_place(&self, existing: &ExistingAccount) -> bool {
        self.differences(existing).next().is_none()
            && existing
                .applied_annotations()
                .eq(self.annotations.keys().copied())
            && existing.applied_labels().eq(self.labels.keys().copied())
            && existing.applied_owners().eq(self.owner_uids())
    }

    pub(super) fn owner_uids(&self) -> BTreeSet<&str> {
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

    /// What is applied where there is such a conflict: label and owner references are removed. Otherwise the end of a binding would delete
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

fn owner_reference(account_binding: &AccountBinding) -> OwnerReference {
    owner_reference_to(&account_binding.name, &account_binding.uid)
}

#[cfg(test)]
mod tests;
