use azwib_crds::{IdentityGrant, ManagedIdentityId};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::json;

use super::*;
use crate::grant::terms::Labels;

const SUBSCRIPTIONS: [&str; 2] = [
    "00000000-0000-0000-0000-000000000001",
    "00000000-0000-0000-0000-000000000002",
];
const GROUPS: [&str; 3] = ["rg-a", "rg-a-b", "RG-B"];
const IDENTITIES: [&str; 2] = ["one", "two"];
const NAMESPACES: [&str; 4] = ["a", "b", "c", "d"];
const LABELS: [(&str, &str); 4] = [("x", "1"), ("x", "2"), ("y", "1"), ("z", "")];
const ACCOUNTS: [&str; 4] = ["orders", "orders-1", "o*", "orders-*"];

fn scope() -> impl Strategy<Value = String> {
    (
        select(&SUBSCRIPTIONS[..]),
        select(&GROUPS[..]),
        select(&IDENTITIES[..]),
        0..3,
    )
        .prop_map(|(subscription, group, identity, depth)| {
            let subscription = format!("/subscriptions/{subscription}");
            let group = format!("{subscription}/resourceGroups/{group}");
            match depth {
                0 => subscription,
                1 => group,
                _ => format!(
                    "{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}"
                ),
            }
        })
}

fn some_labels() -> impl Strategy<Value = Labels> {
    subsequence(&LABELS[..], 0..=LABELS.len()).prop_map(|labels| {
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        labels.into_iter().map(owned).collect()
    })
}

fn grant() -> impl Strategy<Value = Option<Grant>> {
    (
        0..6_u8,
        prop::collection::vec(scope(), 1..3),
        subsequence(&NAMESPACES[..], 0..3),
        some_labels(),
        prop::option::of(subsequence(&ACCOUNTS[..], 1..3)),
    )
        .prop_map(|(name, scopes, namespaces, labels, accounts)| {
            let scopes: Vec<_> = scopes.iter().map(|it| json!({ "scope": it })).collect();
            let object: IdentityGrant = serde_json::from_value(json!({
                "apiVersion": "azwib.dev/v1alpha1",
                "kind": "IdentityGrant",
                "metadata": { "name": format!("g-{name}") },
                "spec": {
                    "identities": scopes,
                    "namespaces": { "names": namespaces, "selector": { "matchLabels": labels } },
                    "serviceAccounts": accounts.map(|it| json!({ "names": it })),
                },
            }))
            .unwrap();
            Grant::parse(&object).ok()
        })
}

/// A grant that comes, or the name of one that goes.
fn change() -> impl Strategy<Value = Result<Option<Grant>, String>> {
    prop_oneof![
        3 => grant().prop_map(Ok),
        1 => (0..6_u8).prop_map(|name| Err(format!("g-{name}"))),
    ]
}

proptest! {
    #[test]
    fn what_is_found_by_the_index_is_what_a_look_at_all_finds(
        changes in prop::collection::vec(change(), 0..20),
        subscription in select(&SUBSCRIPTIONS[..]),
        group in select(&GROUPS[..]),
        identity in select(&IDENTITIES[..]),
        namespace in select(&NAMESPACES[..]),
        labels in prop::option::of(some_labels()),
        account in select(&["orders", "orders-1", "other"][..]),
    ) {
        let mut grants = Grants::default();
        let mut plain = BTreeMap::new();
        for change in changes {
            match change {
                Ok(None) => {}
                Ok(Some(grant)) => {
                    let before = plain.insert(grant.name.clone(), grant.clone());
                    let replaced = grants.put(Arc::new(grant));
                    prop_assert_eq!(replaced.as_deref(), before.as_ref());
                }
                Err(name) => {
                    let (removed, expected) = (grants.remove(&name), plain.remove(&name));
                    prop_assert_eq!(removed.as_deref(), expected.as_ref());
                }
            }
        }
        let identity = ManagedIdentityId::new(subscription, group, identity).unwrap();
        let request = Request::new(&identity, namespace, labels.as_ref(), account);
        let found: Vec<_> = grants.covering(&request).iter().map(|it| it.name.clone()).collect();
        let expected: Vec<_> = plain.values().filter(|it| it.covers(&request)).map(|it| it.name.clone()).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(grants.len(), plain.len());
        for name in plain.keys() {
            grants.remove(name);
        }
        prop_assert!(grants.is_empty());
        prop_assert!(grants.by_scope.is_empty() && grants.by_namespace.is_empty() && grants.by_label.is_empty());
    }
}
