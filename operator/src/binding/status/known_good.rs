//! Which bindings this process has last known to be good, and with what.
//!
//! Status is the memory of what was made, and somebody else may write another one over that of a good binding. What the
//! binding has is looked at then; but where Azure cannot be looked at, such a status is no evidence against it either. So
//! what was seen here counts: the binding is as it was, until a look shows something else. It ends with the process, which
//! cannot tell a status that was written while it was away from its own.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard};

use azwib_crds::{
    CredentialOrigin, RecordedCredential, ResolvedIdentity, WorkloadIdentityBinding,
    WorkloadIdentityBindingStatus,
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use uuid::Uuid;

use super::Finding;
use super::reason::ConditionType;
use super::said::of_known_good;
use super::stored::was_good;
use crate::binding::validate::Desired;
use crate::kubeutil::conditions::{ConditionStatus, find};
use crate::runtime::deliberate::Bug;
use crate::runtime::hash::hash;
use crate::runtime::lock::lock;

/// The good bindings, by the hashes of their UIDs.
#[derive(Debug, Default)]
pub struct KnownGood(Mutex<HashMap<u64, Good>>);

/// What cannot be computed from the spec. Small: it is kept for each binding.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Good {
    /// A number for what the binding asked for.
    asked: u64,
    client_id: Uuid,
    /// Every managed identity has one.
    principal_id: Uuid,
    tenant_id: Uuid,
    /// The name of a credential that was adopted.
    adopted: Option<Box<str>>,
    /// Since when the credential is in place, and since when the binding is Ready.
    in_place_since: Timestamp,
    ready_since: Timestamp,
}

impl KnownGood {
    /// Takes in the status that a pass has ended with; what is not Ready is forgotten.
    pub fn note(
        &self,
        binding: &WorkloadIdentityBinding,
        status: &WorkloadIdentityBindingStatus,
        desired: Option<&Desired>,
    ) {
        let uid = hash(binding.uid().unwrap_or_default());
        match desired.and_then(|desired| Good::of(status, desired)) {
            Some(good) => self.bindings().insert(uid, good),
            None => self.bindings().remove(&uid),
        };
    }

    /// The binding with the status that it had when it was good for what it asks for now, and with what grants say now; None where it
    /// is not known to be good.
    pub fn as_known(
        &self,
        binding: &WorkloadIdentityBinding,
        desired: &Desired,
        granted: Option<Finding>,
    ) -> Option<WorkloadIdentityBinding> {
        let uid = hash(binding.uid().unwrap_or_default());
        let good = self.bindings().get(&uid).cloned()?;
        (good.asked == digest(desired) && !Bug::KnownGoodForgotten.is_on()).then(|| {
            WorkloadIdentityBinding {
                status: Some(good.status(binding, desired, granted)),
                ..binding.clone()
            }
        })
    }

    /// Forgets a binding that is gone, or whose credential is about to be written.
    pub fn forget(&self, uid: &str) {
        self.bindings().remove(&hash(uid));
    }

    /// Forgets all bindings but these.
    pub fn retain(&self, uids: &HashSet<String>) {
        let kept: HashSet<_> = uids.iter().map(hash).collect();
        self.bindings().retain(|uid, _| kept.contains(uid));
    }

    fn bindings(&self) -> MutexGuard<'_, HashMap<u64, Good>> {
        lock(&self.0)
    }
}

impl Good {
    fn of(status: &WorkloadIdentityBindingStatus, desired: &Desired) -> Option<Self> {
        let ready = find(&status.conditions, ConditionType::Ready.as_str())?;
        // Whose credential an older duplicate provides is as good.
        if ready.status != ConditionStatus::True.as_str() || !was_good(Some(status), desired) {
            return None;
        }
        let in_place = find(&status.conditions, ConditionType::CredentialReady.as_str())?;
        let identity = status.identity.as_ref()?;
        let own = desired.credential.name.as_str();
        let is_own = status.credentials.iter().any(|it| it.name == own);
        let adopted = status.credentials.first().filter(|_| !is_own);
        Some(Self {
            asked: digest(desired),
            client_id: identity.client_id.parse().ok()?,
            principal_id: identity.principal_id.as_ref()?.parse().ok()?,
            tenant_id: identity.tenant_id.parse().ok()?,
            adopted: adopted.map(|it| it.name.clone().into()),
            in_place_since: in_place.last_transition_time.0,
            ready_since: ready.last_transition_time.0,
        })
    }

    fn status(
        &self,
        binding: &WorkloadIdentityBinding,
        desired: &Desired,
        granted: Option<Finding>,
    ) -> WorkloadIdentityBindingStatus {
        let resource_id = desired.identity.to_string();
        let wanted = &desired.credential;
        let (name, origin) = match &self.adopted {
            None => (wanted.name.to_string(), CredentialOrigin::Created),
            Some(name) => (name.to_string(), CredentialOrigin::Adopted),
        };
        let credential = RecordedCredential {
            name,
            resource_id: Some(resource_id.clone()),
            id: None,
            issuer: wanted.issuer.to_string(),
            subject: wanted.subject.to_string(),
            audience: wanted.audience.to_string(),
            origin,
        };
        let identity = ResolvedIdentity {
            resource_id: Some(resource_id),
            client_id: self.client_id.to_string(),
            principal_id: Some(self.principal_id.to_string()),
            tenant_id: self.tenant_id.to_string(),
        };
        let times = (self.in_place_since, self.ready_since);
        of_known_good(binding, identity, credential, (granted, times))
    }
}

/// A number for what makes a binding good, and for the account that it is for.
fn digest(desired: &Desired) -> u64 {
    // A new field has to be judged here.
    let Desired {
        identity,
        namespace,
        service_account,
        role,
        creation: _,
        credential: wanted,
    } = desired;
    let mut hasher = DefaultHasher::new();
    (identity, namespace, service_account).hash(&mut hasher);
    (
        &wanted.name,
        &wanted.issuer,
        &wanted.subject,
        &wanted.audience,
    )
        .hash(&mut hasher);
    format!("{role:?} {:?}", wanted.adoption).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
