//! Resource ids as Resource Manager spells them in its answers.

use uuid::Uuid;

/// The namespace of managed identities.
pub(crate) const NAMESPACE: &str = "Microsoft.ManagedIdentity";

/// A name or an id as Azure compares it: in small letters, as far as they come in pairs with single capital ones, of which both are ASCII or
/// neither is. That Azure compares as .NET does with `OrdinalIgnoreCase` is assumed (row G6 of the model).
pub(crate) fn fold(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    name.chars().map(|letter| small(capital(letter))).collect()
}

fn capital(letter: char) -> char {
    other_case(letter, letter.to_uppercase())
}

fn small(letter: char) -> char {
    let small = other_case(letter, letter.to_lowercase());
    if capital(small) == letter {
        small
    } else {
        letter
    }
}

/// The letter in its other case, if that is a single one and both are ASCII or neither is.
fn other_case(letter: char, mut others: impl Iterator<Item = char>) -> char {
    match (others.next(), others.next()) {
        (Some(other), None) if other.is_ascii() == letter.is_ascii() => other,
        _ => letter,
    }
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
