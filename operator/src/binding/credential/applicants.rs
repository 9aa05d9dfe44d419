//! The applicants on an identity: which bindings ask for a credential on it, and where each stands.

use std::collections::BTreeSet;
use std::sync::Arc;

use azwib_crds::{
    CredentialOrigin, ManagedIdentityId, RecordedCredential, WorkloadIdentityBinding,
    WorkloadIdentityBindingStatus,
};
use kube::ResourceExt;

use crate::binding::status::reason::{ConditionType, Reason};
use crate::binding::validate::{Defaults, identity_id, service_account_name, validate};
use crate::kubeutil::conditions::{ConditionStatus, find};
use crate::ledger::decide::{Applicant, DesiredCredential, Precedence};
use crate::ledger::{BindingRef, Rank};

/// An account, by namespace and name.
pub type Account = (String, String);

/// What the index keeps of a binding for the other bindings of its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Indexed {
    /// It is not being deleted. Of those with the same account only the oldest applies.
    Live {
        identity: Arc<str>,
        account: Arc<Account>,
        rank: Arc<Rank>,
        /// It as an applicant, if it is the oldest; None while it is not so far, or is suspended.
        applicant: Option<Arc<Applicant>>,
        /// What it has or waits for, as quotas count.
        quota: Quota,
    },
    /// It is being deleted, and has credentials on these identities still on record.
    DeletedBinding {
        identities: Vec<Arc<str>>,
        account: Arc<Account>,
        rank: Arc<Rank>,
    },
}

/// What a binding means to the quotas of grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// It records a credential on its identity that Azure has acknowledged.
    Holds,
    /// It was refused for want of room.
    Waits,
    /// It records a write there of which Azure has not said what became of it.
    Pending,
    Neither,
}

/// What a binding means to the others on its identity, as its status says.
///
/// It is an applicant when every step before its credential is done, it is neither suspended nor being deleted, and no older
/// binding has the same account and identity. That the identity is resolved is not asked of its status: whoever asks has
/// just read it, and a status that has not caught up must not cost an older binding its place in the line.
pub fn indexed(binding: &WorkloadIdentityBinding, defaults: &Defaults) -> Option<Indexed> {
    let account = || {
        let namespace = binding.namespace().unwrap_or_default();
        Arc::new((namespace, service_account_name(binding)))
    };
    if binding.metadata.deletion_timestamp.is_some() {
        let recorded = binding.status.iter().flat_map(|it| &it.credentials);
        let ids = recorded.filter_map(RecordedCredential::managed_identity);
        let identities: BTreeSet<Arc<str>> = ids.map(|id| Arc::from(id.key())).collect();
        return Some(Indexed::DeletedBinding {
            identities: identities.into_iter().collect(),
            account: account(),
            rank: Arc::new(rank(binding)),
        });
    }
    let identity = identity_id(&binding.spec.identity, defaults).ok()?;
    let desired = applies(binding).then(|| validate(binding, defaults).ok());
    let rank = Arc::new(rank(binding));
    let applicant = desired.flatten().map(|it| Applicant {
        rank: Arc::clone(&rank),
        ..applicant(binding, it.credential)
    });
    Some(Indexed::Live {
        identity: Arc::from(identity.key()),
        account: account(),
        rank,
        applicant: applicant.map(Arc::new),
        quota: quota(binding, &identity),
    })
}

fn quota(binding: &WorkloadIdentityBinding, identity: &ManagedIdentityId) -> Quota {
    let Some(status) = &binding.status else {
        return Quota::Neither;
    };
    let granted = find(&status.conditions, ConditionType::Granted.as_str());
    let here = |it: &&RecordedCredential| it.managed_identity().as_ref() == Some(identity);
    let recorded: Vec<_> = status.credentials.iter().filter(here).collect();
    if recorded
        .iter()
        .any(|it| it.origin != CredentialOrigin::Pending)
    {
        Quota::Holds
    } else if !binding.spec.suspend
        && granted.is_some_and(|it| it.reason == Reason::GrantQuotaReached.as_str())
    {
        Quota::Waits
    } else if !recorded.is_empty() {
        Quota::Pending
    } else {
        Quota::Neither
    }
}

/// What a binding applies for, and where it stands.
pub fn applicant(binding: &WorkloadIdentityBinding, desired: DesiredCredential) -> Applicant {
    Applicant {
        standing: standing(binding, &desired),
        rank: Arc::new(rank(binding)),
        credential: desired,
    }
}

/// Where a binding stands in every line.
pub fn rank(binding: &WorkloadIdentityBinding) -> Rank {
    Rank {
        created: binding.creation_timestamp().map(|time| time.0),
        binding: BindingRef::of(binding),
    }
}

fn standing(binding: &WorkloadIdentityBinding, desired: &DesiredCredential) -> Precedence {
    let held = binding.status.as_ref().is_some_and(|status| {
        status.credentials.iter().any(|credential| {
            credential.name == desired.name.as_str()
                && credential.origin == CredentialOrigin::Created
        })
    });
    // Also one that held a credential and lost it: what Azure refuses keeps no slot from others.
    if is_refused(binding) {
        Precedence::Refused
    } else if held {
        Precedence::HadCredential
    } else {
        Precedence::Waiting
    }
}

/// Whether status says that Azure has refused the credential for a reason of its own.
pub fn is_refused(binding: &WorkloadIdentityBinding) -> bool {
    binding.status.as_ref().is_some_and(tells_of_refusal)
}

/// Whether this status says that Azure has refused the credential for a reason of its own.
pub fn tells_of_refusal(status: &WorkloadIdentityBindingStatus) -> bool {
    reason_of_credential(status).is_some_and(Reason::is_refused_by_azure)
}

/// What status says of a credential that is not in place.
pub fn credential_reason(binding: &WorkloadIdentityBinding) -> Option<Reason> {
    reason_of_credential(binding.status.as_ref()?)
}

fn reason_of_credential(status: &WorkloadIdentityBindingStatus) -> Option<Reason> {
    let condition = find(&status.conditions, ConditionType::CredentialReady.as_str())?;
    Reason::named(&condition.reason)
}

/// Whether with this status the binding stops being an applicant, or goes behind all others. Then an applicant that stood behind
/// it may find a slot.
pub fn gives_way(before: &WorkloadIdentityBinding, now: &WorkloadIdentityBindingStatus) -> bool {
    let stood = applies(before) && !is_refused(before);
    stood && (tells_of_refusal(now) || !earlier_steps_are_done(now))
}

fn applies(binding: &WorkloadIdentityBinding) -> bool {
    binding.metadata.deletion_timestamp.is_none()
        && !binding.spec.suspend
        && binding.status.as_ref().is_some_and(earlier_steps_are_done)
}

/// Whether every step before the credential is done.
fn earlier_steps_are_done(status: &WorkloadIdentityBindingStatus) -> bool {
    let done = |step: ConditionType| {
        find(&status.conditions, step.as_str()).is_some_and(|condition| {
            condition.status == ConditionStatus::True.as_str()
                || condition.reason == Reason::WaitingForCredential.as_str()
        })
    };
    [
        ConditionType::Granted,
        ConditionType::IssuerReady,
        ConditionType::ServiceAccountReady,
    ]
    .into_iter()
    .all(done)
}

#[cfg(test)]
mod tests {
    use azwib_crds::{Audience, CredentialAdoption, CredentialName, Issuer, Subject};

    use super::*;

    const ISSUER: &str = "https://oidc.example/";

    fn desired() -> DesiredCredential {
        let issuer = Issuer::parse(ISSUER).unwrap();
        DesiredCredential {
            name: CredentialName::derive(&issuer, "shop", "orders"),
            issuer,
            subject: Subject::of_service_account("shop", "orders"),
            audience: Audience::parse("api://AzureADTokenExchange").unwrap(),
            adoption: CredentialAdoption::IfIdentical,
        }
    }

    fn binding(origin: &str, reason: &str) -> WorkloadIdentityBinding {
        let name = desired().name;
        serde_yaml_ng::from_str(&format!(
            "{{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {{name: orders, namespace: shop}}, \
             spec: {{identity: {{name: orders}}}}, status: {{observedGeneration: 1, credentials: [{{name: {name}, \
             resourceId: r, issuer: i, subject: s, audience: a, origin: {origin}}}], conditions: [{{type: CredentialReady, \
             status: 'False', reason: {reason}, message: m, lastTransitionTime: '2026-01-02T03:04:05Z'}}]}}}}"
        ))
        .unwrap()
    }

    #[test]
    fn a_record_on_another_identity_holds_nothing_of_a_quota() {
        let id =
            |name: &str| ManagedIdentityId::new("00000000-0000-0000-0000-000000000001", "rg", name);
        let (orders, other) = (id("orders").unwrap(), id("other").unwrap());
        for (origin, expected) in [("Created", Quota::Holds), ("Pending", Quota::Pending)] {
            let mut binding = binding(origin, "InPlace");
            let record = &mut binding.status.as_mut().unwrap().credentials[0];
            record.resource_id = Some(orders.to_string());
            assert_eq!(quota(&binding, &orders), expected);
            assert_eq!(quota(&binding, &other), Quota::Neither);
        }
    }

    #[test]
    fn what_azure_refuses_keeps_no_slot_from_others_whatever_it_held_before() {
        for (origin, reason, expected) in [
            ("Created", "InPlace", Precedence::HadCredential),
            ("Created", "Creating", Precedence::HadCredential),
            ("Created", "AzureUnavailable", Precedence::HadCredential),
            ("Created", "PolicyDenied", Precedence::Refused),
            ("Pending", "Creating", Precedence::Waiting),
            ("Pending", "CredentialLimitReached", Precedence::Waiting),
            ("Pending", "RequestRefused", Precedence::Refused),
            ("Adopted", "Creating", Precedence::Waiting),
        ] {
            let found = standing(&binding(origin, reason), &desired());
            assert_eq!(found, expected, "{origin} {reason}");
        }
    }
}
