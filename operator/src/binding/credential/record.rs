//! What a binding's status records of its credential.

use std::time::Duration;

use azwib_crds::{
    CredentialOrigin, MAX_CREDENTIALS, RecordedCredential, ResolvedIdentity,
    WorkloadIdentityBinding,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use crate::azure::{CredentialContent, Identity};
use crate::binding::status::reason::ConditionType;
use crate::binding::validate::Desired;
use crate::kubeutil::conditions::{ConditionStatus, find};
use crate::ledger::AcknowledgedEarlier;

/// What status records of the binding's own credential, if it is of this origin.
pub fn record<'a>(
    binding: &'a WorkloadIdentityBinding,
    desired: &Desired,
    origin: CredentialOrigin,
) -> Option<&'a RecordedCredential> {
    binding
        .status
        .as_ref()?
        .credentials
        .iter()
        .find(|credential| {
            credential.origin == origin && credential.name == desired.credential.name.as_str()
        })
}

/// The credential that Azure has acknowledged, as status says, and how long ago; a time in the future (clocks differ)
/// counts as now. None where the identity was made again since: the credential went with the one before.
pub fn acknowledged(
    binding: &WorkloadIdentityBinding,
    desired: &Desired,
    identity: &ResolvedIdentity,
    now: Timestamp,
) -> Option<AcknowledgedEarlier> {
    let created = record(binding, desired, CredentialOrigin::Created)?;
    let status = binding.status.as_ref()?;
    let recorded = status.identity.as_ref()?;
    let ago = in_place_for(&status.conditions, now)?;
    (recorded.client_id == identity.client_id).then(|| AcknowledgedEarlier {
        name: created.name.clone(),
        content: content_of(created),
        ago,
    })
}

/// For how long the credential has been in place, as these conditions say; zero where that is in the future.
pub fn in_place_for(conditions: &[Condition], now: Timestamp) -> Option<Duration> {
    let ready = find(conditions, ConditionType::CredentialReady.as_str())?;
    (ready.status == ConditionStatus::True.as_str()).then(|| {
        let ago = Duration::try_from(now.duration_since(ready.last_transition_time.0));
        ago.unwrap_or_default()
    })
}

/// The content that a record tells of.
pub fn content_of(recorded: &RecordedCredential) -> CredentialContent {
    CredentialContent {
        issuer: recorded.issuer.clone(),
        subject: recorded.subject.clone(),
        audiences: vec![recorded.audience.clone()],
    }
}

/// Puts a record among the others, in the place of one of its name. It gets in however many there are: of more than a status
/// holds an adopted one gives way first, then another issuer's, neither of which is ever deleted.
pub fn put_record(records: &mut Vec<RecordedCredential>, record: RecordedCredential) {
    records.retain(|other| other.name != record.name);
    while records.len() >= MAX_CREDENTIALS {
        let adopted = |it: &RecordedCredential| it.origin == CredentialOrigin::Adopted;
        let foreign = |it: &RecordedCredential| it.issuer != record.issuer;
        let gives_way = records.iter().position(adopted);
        let gives_way = gives_way.or_else(|| records.iter().position(foreign));
        records.remove(gives_way.unwrap_or_default());
    }
    records.push(record);
}

/// What status records of an identity as Azure has answered it.
pub fn resolved(resource_id: String, identity: &Identity) -> ResolvedIdentity {
    ResolvedIdentity {
        resource_id: Some(resource_id),
        client_id: identity.client_id.to_string(),
        principal_id: Some(identity.principal_id.to_string()),
        tenant_id: identity.tenant_id.to_string(),
    }
}

pub fn recorded_identity(binding: &WorkloadIdentityBinding) -> Option<ResolvedIdentity> {
    binding.status.as_ref()?.identity.clone()
}

#[cfg(test)]
mod tests;
