//! Credentials that bear one of our names and belong to no binding: left by a binding that was let go, or by one that
//! retained its credential. They are told of. What no grant covers is a [leftover](crate::binding::cleanup::leftovers).

use std::collections::HashSet;
use std::sync::Arc;

use azwib_crds::{CredentialName, Issuer, ManagedIdentityId, Subject};

use super::applicants::Account;
use crate::azure::ListedCredential;
use crate::binding::index::{Bindings, Found, readable};

/// How a derived name begins, and how many hexadecimal digits it ends with (see [`CredentialName::derive`]).
const PREFIX: &str = "azwib-";
const HASH_DIGITS: usize = 32;

/// The credentials in a listing of this identity whose names have the form of ours, with our issuer, that none of its bindings
/// records or would give. Where a namespace has a binding that cannot be read, nobody can say.
pub fn orphans<'a>(
    listing: &'a [ListedCredential],
    identity: &ManagedIdentityId,
    issuer: &Issuer,
    bindings: &Bindings,
) -> Vec<&'a ListedCredential> {
    let mut orphans = unrecorded(listing, identity, issuer, bindings);
    if !orphans.is_empty() {
        let given = names(&bindings.accounts_of(identity), issuer);
        orphans.retain(|credential| !given.contains(&credential.name.to_ascii_lowercase()));
    }
    orphans
}

/// The same, whatever the bindings would give: those that none of them records.
pub fn unrecorded<'a>(
    listing: &'a [ListedCredential],
    identity: &ManagedIdentityId,
    issuer: &Issuer,
    bindings: &Bindings,
) -> Vec<&'a ListedCredential> {
    let unreadable = bindings.namespaces_with_unreadable();
    let candidates = listing.iter().filter(|credential| {
        let content = credential.content.as_ref();
        has_derived_form(&credential.name)
            && content.is_some_and(|content| {
                let namespace = namespace_of(&content.subject);
                content.issuer == issuer.as_str()
                    && !namespace.is_some_and(|namespace| unreadable.contains(namespace))
            })
    });
    // Most are recorded by a binding of their own account: the others on the identity need not be looked at.
    let of_own_account = |credential: &&ListedCredential| {
        let content = credential.content.as_ref();
        let account = content.and_then(|content| account_of(&content.subject));
        let found = account.map(|(namespace, name)| bindings.of_account(&namespace, &name));
        found.is_some_and(|found| {
            let mut records = readable(&found)
                .flat_map(|binding| binding.status.iter())
                .flat_map(|status| &status.credentials);
            records.any(|record| {
                record.name.eq_ignore_ascii_case(&credential.name)
                    && record.managed_identity().as_ref() == Some(identity)
            })
        })
    };
    let mut unrecorded: Vec<_> = candidates.filter(|it| !of_own_account(it)).collect();
    if !unrecorded.is_empty() {
        let recorded = recorded(&bindings.of_identity(identity));
        unrecorded.retain(|credential| !recorded.contains(&credential.name.to_ascii_lowercase()));
    }
    unrecorded
}

/// The names of what these accounts are given, in small letters.
fn names(accounts: &[Arc<Account>], issuer: &Issuer) -> HashSet<String> {
    let name = |account: &Arc<Account>| {
        let name = CredentialName::derive(issuer, &account.0, &account.1);
        name.as_str().to_ascii_lowercase()
    };
    accounts.iter().map(name).collect()
}

/// The names that these bindings record, in small letters.
fn recorded(bindings: &[Found]) -> HashSet<String> {
    readable(bindings)
        .flat_map(|binding| binding.status.iter())
        .flat_map(|status| &status.credentials)
        .map(|credential| credential.name.to_ascii_lowercase())
        .collect()
}

/// The account that a subject names.
pub fn account_of(subject: &str) -> Option<Account> {
    let subject = Subject::parse(subject).ok()?;
    let (namespace, account) = subject.service_account()?;
    Some((namespace.to_owned(), account.to_owned()))
}

/// The account that a listed credential of azwib's is for, and its name: the one that azwib gives to that account.
pub fn account_of_ours(
    credential: &ListedCredential,
    issuer: &Issuer,
) -> Option<(Account, CredentialName)> {
    let content = credential.content.as_ref()?;
    let account = account_of(&content.subject)?;
    let name = CredentialName::derive(issuer, &account.0, &account.1);
    let is_ours =
        content.issuer == issuer.as_str() && credential.name.eq_ignore_ascii_case(name.as_str());
    is_ours.then_some((account, name))
}

/// The namespace of the service account that a subject names.
fn namespace_of(subject: &str) -> Option<&str> {
    let account = subject.strip_prefix("system:serviceaccount:")?;
    account.split_once(':').map(|(namespace, _)| namespace)
}

fn has_derived_form(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .and_then(|rest| rest.rsplit_once('-'))
        .is_some_and(|(_, hash)| {
            hash.len() == HASH_DIGITS && hash.bytes().all(|digit| digit.is_ascii_hexdigit())
        })
}

#[cfg(test)]
mod tests {
    use kube_runtime::watcher::Event;
    use tokio::sync::watch;

    use super::*;
    use crate::azure::CredentialContent;
    use crate::binding::fixtures::{defaults, id};
    use crate::binding::index::Guarded;

    const ISSUER: &str = "https://oidc.example/";
    const OURS: &str = "azwib-shop-orders-99bb76e015ed7c8774a80011f8ebdf81";
    const OTHER: &str = "azwib-shop-orders-v2-7b24f96fe49cb0fec3f9a6dfbf03da2e";

    fn listed(name: &str, issuer: &str) -> ListedCredential {
        ListedCredential {
            name: name.to_owned(),
            content: Some(CredentialContent {
                issuer: issuer.to_owned(),
                subject: "system:serviceaccount:shop:orders".to_owned(),
                audiences: vec![],
            }),
        }
    }

    fn binding(account: &str, recorded: &str) -> Guarded {
        serde_yaml_ng::from_str(&format!(
            "{{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {{name: orders, namespace: shop, \
             uid: u}}, spec: {{identity: {{name: orders}}, serviceAccount: {{name: {account}}}}}, \
             status: {{observedGeneration: 1, credentials: [{recorded}]}}}}"
        ))
        .unwrap()
    }

    fn unreadable(namespace: &str) -> Guarded {
        serde_yaml_ng::from_str(&format!(
            "{{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, \
             metadata: {{name: broken, namespace: {namespace}}}, spec: {{identity: 7}}}}"
        ))
        .unwrap()
    }

    fn found(listing: &[ListedCredential], bindings: Vec<Guarded>) -> Vec<String> {
        let known = Bindings::new(watch::channel(defaults()).1);
        for binding in bindings {
            known.follow(&Event::Apply(binding));
        }
        let issuer = Issuer::parse(ISSUER).unwrap();
        let found = orphans(listing, &id("orders"), &issuer, &known);
        found.into_iter().map(|it| it.name.clone()).collect()
    }

    #[test]
    fn a_credential_with_one_of_our_names_and_no_binding_is_an_orphan() {
        let listing = [listed(OURS, ISSUER), listed(OTHER, ISSUER)];
        assert_eq!(found(&listing, vec![]), [OURS, OTHER]);
        assert_eq!(found(&listing, vec![binding("orders", "")]), [OTHER]);
        // Whether the record can be its own or not.
        for issuer in ["i", ISSUER] {
            let recorded = format!(
                "{{name: {OTHER}, resourceId: '{}', issuer: '{issuer}', subject: s, audience: a, origin: Created}}",
                id("orders")
            );
            assert_eq!(found(&listing, vec![binding("api", &recorded)]), [OURS]);
        }
    }

    #[test]
    fn what_a_binding_records_of_its_own_is_none() {
        for origin in ["Created", "Pending"] {
            let recorded = format!(
                "{{name: {OURS}, resourceId: '{}', issuer: '{ISSUER}', subject: 'system:serviceaccount:shop:orders', \
                 audience: a, origin: {origin}}}",
                id("orders")
            );
            let listing = [listed(OURS, ISSUER)];
            let known = Bindings::new(watch::channel(defaults()).1);
            known.follow(&Event::Apply(binding("orders", &recorded)));
            let issuer = Issuer::parse(ISSUER).unwrap();
            let left = unrecorded(&listing, &id("orders"), &issuer, &known);
            assert!(left.is_empty(), "{origin}");
            let left = unrecorded(&listing, &id("invoices"), &issuer, &known);
            assert_eq!(left.len(), 1, "{origin}: on another identity");
        }
    }

    #[test]
    fn what_a_binding_that_cannot_be_read_may_have_made_is_none() {
        let listing = [listed(OURS, ISSUER)];
        for (namespace, expected) in [("shop", 0), ("other", 1)] {
            let found = found(&listing, vec![unreadable(namespace)]);
            assert_eq!(found.len(), expected, "{namespace}");
        }
    }

    #[test]
    fn what_may_be_somebody_elses_is_none() {
        let listing = [
            listed(OURS, "https://oidc.example"),
            listed("azwib-of-another-tool", ISSUER),
            listed("azwib-shop-orders-99bb76e0", ISSUER),
            listed("aks-identity-binding", ISSUER),
            ListedCredential {
                name: OURS.to_owned(),
                content: None,
            },
        ];
        assert!(found(&listing, vec![]).is_empty());
    }
}
