//! Credentials that bear one of our names and belong to no binding: left by a binding that was let go, or by one that
//! retained its credential. They are told of. What no grant covers is a [leftover](crate::binding::cleanup::leftovers).

use std::collections::{BTreeSet, HashSet};

use azwib_crds::{CredentialName, Issuer, Subject, WorkloadIdentityBinding};
use kube::ResourceExt;

use super::applicants::Account;
use crate::azure::ListedCredential;
use crate::binding::validate::service_account_name;

/// How a derived name begins, and how many hexadecimal digits it ends with (see [`CredentialName::derive`]).
const PREFIX: &str = "azwib-";
const HASH_DIGITS: usize = 32;

/// The credentials in a listing whose names have the form of ours, with our issuer, that none of the bindings of this identity
/// records or would give. Where a namespace has a binding that cannot be read, nobody can say.
pub fn orphans<'a>(
    listing: &'a [ListedCredential],
    issuer: &Issuer,
    bindings: &[&WorkloadIdentityBinding],
    unreadable: &BTreeSet<String>,
) -> Vec<&'a ListedCredential> {
    let derived = |binding: &&WorkloadIdentityBinding| {
        let namespace = binding.namespace().unwrap_or_default();
        let derived = CredentialName::derive(issuer, &namespace, &service_account_name(binding));
        derived.as_str().to_ascii_lowercase()
    };
    let given: HashSet<_> = bindings.iter().map(derived).collect();
    let mut orphans = unrecorded(listing, issuer, bindings, unreadable);
    orphans.retain(|credential| !given.contains(&credential.name.to_ascii_lowercase()));
    orphans
}

/// The same, whatever the bindings would give: those that none of them records.
pub fn unrecorded<'a>(
    listing: &'a [ListedCredential],
    issuer: &Issuer,
    bindings: &[&WorkloadIdentityBinding],
    unreadable: &BTreeSet<String>,
) -> Vec<&'a ListedCredential> {
    let recorded: HashSet<_> = bindings
        .iter()
        .flat_map(|binding| binding.status.iter())
        .flat_map(|status| &status.credentials)
        .map(|credential| credential.name.to_ascii_lowercase())
        .collect();
    let candidates = listing.iter().filter(|credential| {
        let content = credential.content.as_ref();
        has_derived_form(&credential.name)
            && content.is_some_and(|content| {
                let namespace = namespace_of(&content.subject);
                content.issuer == issuer.as_str()
                    && !namespace.is_some_and(|namespace| unreadable.contains(namespace))
            })
    });
    candidates
        .filter(|credential| !recorded.contains(&credential.name.to_ascii_lowercase()))
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
    use super::*;
    use crate::azure::CredentialContent;

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

    fn binding(account: &str, recorded: &str) -> WorkloadIdentityBinding {
        serde_yaml_ng::from_str(&format!(
            "{{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {{name: orders, namespace: shop}}, \
             spec: {{identity: {{name: orders}}, serviceAccount: {{name: {account}}}}}, status: {{observedGeneration: 1, \
             credentials: [{recorded}]}}}}"
        ))
        .unwrap()
    }

    fn found(listing: &[ListedCredential], bindings: &[&WorkloadIdentityBinding]) -> Vec<String> {
        let issuer = Issuer::parse(ISSUER).unwrap();
        let found = orphans(listing, &issuer, bindings, &BTreeSet::new());
        found.into_iter().map(|it| it.name.clone()).collect()
    }

    #[test]
    fn a_credential_with_one_of_our_names_and_no_binding_is_an_orphan() {
        let listing = [listed(OURS, ISSUER), listed(OTHER, ISSUER)];
        assert_eq!(found(&listing, &[]), [OURS, OTHER]);
        assert_eq!(found(&listing, &[&binding("orders", "")]), [OTHER]);
        let recorded = format!(
            "{{name: {OTHER}, resourceId: r, issuer: i, subject: s, audience: a, origin: Created}}"
        );
        assert_eq!(found(&listing, &[&binding("api", &recorded)]), [OURS]);
    }

    #[test]
    fn what_a_binding_that_cannot_be_read_may_have_made_is_none() {
        let (listing, issuer) = ([listed(OURS, ISSUER)], Issuer::parse(ISSUER).unwrap());
        for (namespace, expected) in [("shop", 0), ("other", 1)] {
            let unreadable = BTreeSet::from([namespace.to_owned()]);
            let found = orphans(&listing, &issuer, &[], &unreadable);
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
        assert!(found(&listing, &[]).is_empty());
    }
}
