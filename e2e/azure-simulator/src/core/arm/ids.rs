//! Resource ids as Resource Manager spells them in its answers.

use uuid::Uuid;

/// The namespace of managed identities.
pub(crate) const NAMESPACE: &str = "Microsoft.ManagedIdentity";

/// A name or an id with its case folded, in any alphabet: what Azure compares names by.
pub(crate) fn fold(name: &str) -> String {
    let capitals = name.chars().flat_map(char::to_uppercase);
    capitals.flat_map(char::to_lowercase).collect()
}

/// `/subscriptions/{id}`.
pub(crate) fn subscription_id(subscription: Uuid) -> String {
    format!("/subscriptions/{subscription}")
}

/// The id of a resource group: with a capital G.
pub(crate) fn group_id(subscription: Uuid, group: &str) -> String {
    format!("/subscriptions/{subscription}/resourceGroups/{group}")
}

/// The id of an identity: `resourcegroups` in lower case, as the provider answers whatever the request said.
pub(crate) fn identity_id(subscription: Uuid, group: &str, name: &str) -> String {
    format!(
        "/subscriptions/{subscription}/resourcegroups/{group}/providers/{NAMESPACE}/userAssignedIdentities/{name}"
    )
}

/// The id of a federated identity credential.
pub(crate) fn credential_id(subscription: Uuid, group: &str, identity: &str, name: &str) -> String {
    format!(
        "{}/federatedIdentityCredentials/{name}",
        identity_id(subscription, group, identity)
    )
}
