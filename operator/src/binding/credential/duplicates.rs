//! Bindings of the same account for the same identity: the oldest alone is an applicant, and the next one takes over from it.
//!
//! A younger one that asks for the same has what it asks for as long as the oldest is Ready.

use azwib_crds::{
    CredentialSpec, ManagedIdentityId, ServiceAccountSpec, WorkloadIdentityBinding,
    WorkloadIdentityBindingSpec, WorkloadIdentityBindingStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;

use super::applicants::rank;
use crate::binding::status::reason::{ConditionType, Persistence, Reason};
use crate::binding::validate::{Defaults, identity_id};
use crate::kubeutil::conditions::{ConditionStatus, find, is_true};
use crate::runtime::deliberate::Bug;

/// The oldest of the older bindings with the same account and identity, which alone is an applicant.
#[derive(Debug, Clone, PartialEq)]
pub struct OlderDuplicate {
    pub name: String,
    pub stands: OlderState,
}

impl OlderDuplicate {
    /// Whether what keeps it from being Ready ends by itself. A suspended one stays so.
    pub fn heals(&self) -> bool {
        let OlderState::Unready(reason) = &self.stands else {
            return false;
        };
        reason.is_none_or(|it| it != Reason::Suspended && it.persistence() == Persistence::Heals)
    }
}

/// What the older duplicate means to a younger one.
#[derive(Debug, Clone, PartialEq)]
pub enum OlderState {
    /// It asks for something else: for this field, with both values.
    ForAnother(String),
    /// It asks for the same and is not Ready, for this reason; None where nothing is said of it yet.
    Unready(Option<Reason>),
    /// It asks for the same and is Ready, with a credential that is in place since then.
    Ready { since: Time },
}

/// The older duplicate of a binding, if it has one.
pub fn older_duplicate(
    binding: &WorkloadIdentityBinding,
    identity: &ManagedIdentityId,
    bindings_of_account: &[WorkloadIdentityBinding],
    defaults: &Defaults,
) -> Option<OlderDuplicate> {
    let older = bindings_of_account
        .iter()
        .filter(|other| is_living_duplicate(other, binding.uid().as_deref(), identity, defaults))
        .filter(|other| rank(other) < rank(binding))
        .filter(|_| !Bug::DuplicatesBothApply.is_on())
        .min_by_key(|other| rank(other))?;
    Some(OlderDuplicate {
        name: older.name_any(),
        stands: stands(older, binding),
    })
}

fn stands(older: &WorkloadIdentityBinding, younger: &WorkloadIdentityBinding) -> OlderState {
    if let Some(difference) = difference(&older.spec, &younger.spec) {
        return OlderState::ForAnother(difference);
    }
    if Bug::DuplicateNeverReady.is_on() {
        return OlderState::Unready(None);
    }
    let status = older.status.as_ref();
    let conditions = status.map_or(&[][..], |status| &status.conditions);
    let observed = status.map(|status| status.observed_generation);
    let ready = find(conditions, ConditionType::Ready.as_str())
        .filter(|_| observed == older.metadata.generation);
    let credential = find(conditions, ConditionType::CredentialReady.as_str());
    match (ready, credential) {
        (Some(ready), Some(credential)) if is_met(ready) && is_met(credential) => {
            OlderState::Ready {
                since: credential.last_transition_time.clone(),
            }
        }
        (Some(ready), _) if !is_met(ready) && Reason::named(&ready.reason).is_some() => {
            OlderState::Unready(Reason::named(&ready.reason))
        }
        // Nothing is said of the older one as it is now: its spec is new, or somebody else has written its status. That
        // takes nothing away before it was looked at.
        _ => provided_since(younger).map_or(OlderState::Unready(None), |since| OlderState::Ready {
            since,
        }),
    }
}

fn is_met(condition: &Condition) -> bool {
    condition.status == ConditionStatus::True.as_str()
}

/// Whether status says that an older duplicate provides what the binding asks for.
pub fn is_provided(binding: &WorkloadIdentityBinding) -> bool {
    provided_since(binding).is_some()
}

fn provided_since(binding: &WorkloadIdentityBinding) -> Option<Time> {
    let status = binding.status.as_ref();
    let conditions = status.map_or(&[][..], |status| &status.conditions);
    let provided = Reason::ProvidedByOlderBinding.as_str();
    find(conditions, ConditionType::CredentialReady.as_str())
        .filter(|it| is_met(it) && it.reason == provided)
        .map(|it| it.last_transition_time.clone())
}

/// What reaches the account or the credential and is not the same: the first such field, with both values. Account and
/// identity are compared elsewhere, as what they mean.
fn difference(
    older: &WorkloadIdentityBindingSpec,
    younger: &WorkloadIdentityBindingSpec,
) -> Option<String> {
    // A new field has to be judged here.
    let WorkloadIdentityBindingSpec {
        identity: _,
        service_account,
        credential,
        // These say when it is made, what becomes of it, and whether it is looked after: not what it is.
        deletion_policy: _,
        suspend: _,
    } = older;
    let ServiceAccountSpec {
        name: _,
        role,
        creation: _,
        token_expiration_seconds,
    } = service_account;
    let CredentialSpec { audience, adoption } = credential;
    let other = &younger.service_account;
    let values = [
        (
            "credential.audience",
            audience.clone(),
            younger.credential.audience.clone(),
        ),
        (
            "credential.adoption",
            format!("{adoption:?}"),
            format!("{:?}", younger.credential.adoption),
        ),
        (
            "serviceAccount.role",
            format!("{role:?}"),
            format!("{:?}", other.role),
        ),
        (
            "serviceAccount.tokenExpirationSeconds",
            token_expiration_seconds.to_string(),
            other.token_expiration_seconds.to_string(),
        ),
    ];
    let found = values.into_iter().find(|(_, older, own)| older != own);
    found.map(|(field, older, own)| format!("spec.{field} is {older} there and {own} here"))
}

/// The part of a status that matters to younger duplicates.
pub fn says(status: Option<&WorkloadIdentityBindingStatus>) -> Option<(bool, &str, i64)> {
    let status = status?;
    let ready = find(&status.conditions, ConditionType::Ready.as_str())?;
    let in_place = is_true(&status.conditions, ConditionType::CredentialReady.as_str());
    // Of one that is Ready the reason does not matter.
    let reason = if is_met(ready) { "" } else { &ready.reason };
    Some((in_place, reason, status.observed_generation))
}

/// Whether `other`, a binding of the same account, is another than the one with this UID, is for that identity, and is
/// not being deleted.
pub fn is_living_duplicate(
    other: &WorkloadIdentityBinding,
    uid: Option<&str>,
    identity: &ManagedIdentityId,
    defaults: &Defaults,
) -> bool {
    other.uid().as_deref() != uid
        && other.metadata.deletion_timestamp.is_none()
        && identity_id(&other.spec.identity, defaults).is_ok_and(|other| other == *identity)
}

#[cfg(test)]
mod tests;
