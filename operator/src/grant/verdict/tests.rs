use azwib_crds::{IdentityGrant, ManagedIdentityId};
use serde_json::json;

use super::*;

fn grants(all: &[(&str, bool)]) -> Grants {
    let mut grants = Grants::default();
    for (name, allow_retain) in all {
        let object: IdentityGrant = serde_json::from_value(json!({
            "apiVersion": "azwib.dev/v1alpha1",
            "kind": "IdentityGrant",
            "metadata": { "name": name },
            "spec": {
                "identities": [{ "scope": "/subscriptions/00000000-0000-0000-0000-000000000001" }],
                "namespaces": { "names": ["shop"] },
                "allowRetain": allow_retain,
            },
        }))
        .unwrap();
        grants.put(Arc::new(Grant::parse(&object).unwrap()));
    }
    grants
}

fn identity() -> ManagedIdentityId {
    ManagedIdentityId::new("00000000-0000-0000-0000-000000000001", "rg-shop", "orders").unwrap()
}

#[test]
fn the_grant_that_is_named_goes_on_being_named_while_it_covers() {
    let id = identity();
    let request = Request::new(&id, "shop", None, "orders");
    for (all, named, expected) in [
        (&[("b", false)][..], None, "b"),
        (&[("a", false), ("b", false)], None, "a"),
        (&[("a", false), ("b", false)], Some("b"), "b"),
        (&[("a", false), ("b", false)], Some("c"), "a"),
    ] {
        match Verdict::of(&grants(all), &request, named) {
            Verdict::Granted { by, .. } => assert_eq!(by.name, expected, "{all:?} {named:?}"),
            Verdict::NotGranted(missing) => panic!("{all:?} {named:?}: {missing}"),
        }
    }
}

#[test]
fn retain_is_allowed_where_any_grant_allows_it() {
    let id = identity();
    let request = Request::new(&id, "shop", None, "orders");
    for (all, expected) in [
        (&[("a", false)][..], false),
        (&[("a", true)], true),
        (&[("a", false), ("b", true)], true),
    ] {
        let verdict = Verdict::of(&grants(all), &request, Some("a"));
        let Verdict::Granted { may_retain, .. } = verdict else {
            panic!("{all:?}: {verdict:?}");
        };
        assert_eq!(may_retain, expected, "{all:?}");
    }
}

#[test]
fn who_is_not_granted_is_told_what_a_grant_would_have_to_cover() {
    let id = identity();
    let request = Request::new(&id, "other", None, "orders");
    let verdict = Verdict::of(&grants(&[("a", true)]), &request, Some("a"));
    assert!(!verdict.is_granted());
    let Verdict::NotGranted(missing) = verdict else {
        panic!("{verdict:?}");
    };
    let words = missing.to_string();
    for part in [
        id.as_str(),
        "\"other\"",
        "\"orders\"",
        "ask the platform team",
    ] {
        assert!(words.contains(part), "{words}");
    }
    assert!(
        !words.contains("\"a\""),
        "grants for others are nobody's business: {words}"
    );
}
