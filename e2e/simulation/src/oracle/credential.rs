//! What becomes of a credential, from what stands on its identity.

use azure_simulator::core::Azure;
use azure_simulator::core::state::{FederatedCredential, Identity};
use azwib_crds::{CredentialAdoption, WorkloadIdentityBinding};

use crate::bindings::{account, age, condition, holds_credential, identity_id, is_for};
use crate::names::{ISSUER, our_name, subject};
use crate::setup::World;

/// What becomes of the credential of a binding whose other steps are done.
pub(super) fn credential(
    azure: &Azure,
    identity: &Identity,
    binding: &WorkloadIdentityBinding,
    world: &World,
    bindings: &[WorkloadIdentityBinding],
    refused: Option<&'static str>,
) -> &'static str {
    let (namespace, account) = account(binding);
    let name = our_name(namespace, account).unwrap_or_default();
    let subject = subject(namespace, account);
    let audience = &binding.spec.credential.audience;
    let same_pair =
        |it: &&FederatedCredential| it.issuer == ISSUER && it.subject.as_deref() == Some(&subject);
    let asked_for = |it: &FederatedCredential| it.audiences == [audience.clone()];
    let all = || identity.credentials.values();
    let ours = all().find(|it| it.name.eq_ignore_ascii_case(&name));
    if ours.filter(same_pair).is_some_and(asked_for) {
        return "Ready";
    }
    if let Some(rival) = all()
        .filter(same_pair)
        .find(|it| !it.name.eq_ignore_ascii_case(&name))
    {
        let adopts = asked_for(rival)
            && ours.is_none()
            && binding.spec.credential.adoption == CredentialAdoption::IfIdentical;
        return if adopts { "Ready" } else { "CredentialExists" };
    }
    let older = bindings
        .iter()
        .filter(|other| waits_before(other, binding))
        .count();
    if ours.is_none() && identity.credentials.len() + older >= world.limit {
        return "CredentialLimitReached";
    }
    if let Some(refused) = refused {
        return refused;
    }
    let id = identity_id(binding);
    if azure
        .policy_denials()
        .iter()
        .any(|it| it.scope.eq_ignore_ascii_case(id))
    {
        return "PolicyDenied";
    }
    if azure
        .settings()
        .tunables
        .regions_without_credentials
        .contains(&identity.location)
    {
        return "RegionNotSupported";
    }
    "a credential that nothing stands in the way of"
}

/// Whether `other` waits for a slot before `binding`.
fn waits_before(other: &WorkloadIdentityBinding, binding: &WorkloadIdentityBinding) -> bool {
    let id = identity_id(binding);
    // One whose account is refused does not apply, whatever its status said of its credential before.
    let applies = condition(other, "ServiceAccountReady")
        .is_none_or(|it| it.status != "False" || it.reason == "WaitingForCredential");
    applies
        && is_for(other, id)
        && other.metadata.uid != binding.metadata.uid
        && other.metadata.deletion_timestamp.is_none()
        && !other.spec.suspend
        && condition(other, "CredentialReady")
            .is_some_and(|it| it.reason == "CredentialLimitReached")
        && (!holds_credential(other), age(other)) < (!holds_credential(binding), age(binding))
}
