use serde_json::{Value, json};

use super::*;

const SUBSCRIPTION: &str = "/subscriptions/00000000-0000-0000-0000-000000000001";

fn id(group: &str, name: &str) -> ManagedIdentityId {
    ManagedIdentityId::new("00000000-0000-0000-0000-000000000001", group, name).unwrap()
}

fn object(spec: Value) -> IdentityGrant {
    serde_json::from_value(json!({
        "apiVersion": "azwib.dev/v1alpha1",
        "kind": "IdentityGrant",
        "metadata": { "name": "shop" },
        "spec": spec,
    }))
    .unwrap()
}

fn parsed(spec: Value) -> Result<Grant, InvalidGrant> {
    Grant::parse(&object(spec))
}

/// A grant for the group `rg-shop`.
fn grant(namespaces: Value, accounts: Value) -> Grant {
    let mut spec = json!({
        "identities": [{ "scope": format!("{SUBSCRIPTION}/resourceGroups/rg-shop") }],
        "namespaces": namespaces,
    });
    if !accounts.is_null() {
        spec["serviceAccounts"] = json!({ "names": accounts });
    }
    parsed(spec).unwrap()
}

fn labels(labels: &[(&str, &str)]) -> Labels {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    labels.iter().map(owned).collect()
}

#[test]
fn a_grant_covers_an_account_of_its_namespaces_on_its_identities() {
    let by_name = json!({ "names": ["shop"] });
    let by_label = json!({ "selector": { "matchLabels": { "team": "shop", "stage": "live" } } });
    let both = json!({ "names": ["other"], "selector": { "matchLabels": { "team": "shop" } } });
    let live: &[_] = &[("team", "shop"), ("stage", "live"), ("more", "x")];
    let none: &[_] = &[];
    for (namespaces, accounts, group, namespace, carries, account, expected) in [
        (&by_name, Value::Null, "rg-shop", "shop", none, "any", true),
        (&by_name, Value::Null, "RG-SHOP", "shop", none, "any", true),
        (
            &by_name,
            Value::Null,
            "rg-shop-2",
            "shop",
            none,
            "any",
            false,
        ),
        (
            &by_name,
            Value::Null,
            "rg-shop",
            "shop-2",
            live,
            "any",
            false,
        ),
        (&by_label, Value::Null, "rg-shop", "shop", live, "any", true),
        (
            &by_label,
            Value::Null,
            "rg-shop",
            "shop",
            &live[..1],
            "any",
            false,
        ),
        (
            &by_label,
            Value::Null,
            "rg-shop",
            "shop",
            &[("team", "Shop"), ("stage", "live")],
            "any",
            false,
        ),
        (
            &by_label,
            Value::Null,
            "rg-shop",
            "shop",
            none,
            "any",
            false,
        ),
        (&both, Value::Null, "rg-shop", "other", none, "any", true),
        (
            &both,
            Value::Null,
            "rg-shop",
            "any",
            &live[..1],
            "any",
            true,
        ),
        (&both, Value::Null, "rg-shop", "any", none, "any", false),
        (
            &by_name,
            json!(["orders"]),
            "rg-shop",
            "shop",
            none,
            "orders",
            true,
        ),
        (
            &by_name,
            json!(["orders"]),
            "rg-shop",
            "shop",
            none,
            "orders-2",
            false,
        ),
        (
            &by_name,
            json!(["orders-*"]),
            "rg-shop",
            "shop",
            none,
            "orders-2",
            true,
        ),
        (
            &by_name,
            json!(["orders-*"]),
            "rg-shop",
            "shop",
            none,
            "orders",
            false,
        ),
        (
            &by_name,
            json!(["a", "orders*"]),
            "rg-shop",
            "shop",
            none,
            "orders",
            true,
        ),
    ] {
        let grant = grant(namespaces.clone(), accounts.clone());
        let carried = labels(carries);
        let request = Request::new(&id(group, "orders"), namespace, Some(&carried), account);
        assert_eq!(
            grant.covers(&request),
            expected,
            "{namespaces} {accounts} {group} {namespace} {carries:?} {account}"
        );
    }
}

#[test]
fn of_a_namespace_that_is_not_known_only_the_name_counts() {
    let by_name = grant(json!({ "names": ["shop"] }), Value::Null);
    let by_label = grant(
        json!({ "selector": { "matchLabels": { "a": "b" } } }),
        Value::Null,
    );
    let id = id("rg-shop", "orders");
    let request = Request::new(&id, "shop", None, "orders");
    assert!(by_name.covers(&request));
    assert!(!by_label.covers(&request));
}

#[test]
fn a_grant_that_cannot_be_read_says_which_part() {
    let good =
        json!({ "identities": [{ "scope": SUBSCRIPTION }], "namespaces": { "names": ["shop"] } });
    let with = |pointer: &str, value: Value| {
        let mut spec = good.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        spec.pointer_mut(parent).unwrap()[key] = value;
        spec
    };
    assert!(parsed(good.clone()).is_ok());
    for (spec, says) in [
        (
            with(
                "/identities",
                json!([{ "scope": SUBSCRIPTION }, { "scope": "/" }]),
            ),
            "spec.identities[1].scope: ",
        ),
        (
            with(
                "/identities",
                json!([{ "scope": format!("{SUBSCRIPTION}/resourceGroups/..") }]),
            ),
            "must not end with '.'",
        ),
        (with("/namespaces", json!({})), "neither names nor labels"),
        (
            with("/namespaces", json!({ "selector": { "matchLabels": {} } })),
            "neither names nor labels",
        ),
        (
            with("/serviceAccounts", json!({ "names": ["a", "*"] })),
            "a lone '*'",
        ),
        (
            with("/maxCredentialsPerIdentity", json!(0)),
            "spec.maxCredentialsPerIdentity is 0",
        ),
        (
            with("/maxCredentialsPerIdentity", json!(-3)),
            "spec.maxCredentialsPerIdentity is -3",
        ),
    ] {
        let error = parsed(spec.clone()).unwrap_err().to_string();
        assert!(error.contains(says), "{spec}: {error}");
    }
}

#[test]
fn a_change_concerns_who_is_covered_otherwise_than_before() {
    let namespaces = |names: Value| grant(json!({ "names": names }), Value::Null);
    let (shop, both) = (
        namespaces(json!(["shop"])),
        namespaces(json!(["shop", "other"])),
    );
    let quota = Grant {
        max_credentials_per_identity: Some(3),
        ..shop.clone()
    };
    let retain = Grant {
        allow_retain: true,
        ..shop.clone()
    };
    let renamed = Grant {
        name: "other".to_owned(),
        ..shop.clone()
    };
    let id = id("rg-shop", "orders");
    let of_shop = Request::new(&id, "shop", None, "orders");
    let of_other = Request::new(&id, "other", None, "orders");
    for (before, after, shop_is, other_is) in [
        (None, None, false, false),
        (None, Some(&shop), true, false),
        (Some(&shop), None, true, false),
        (Some(&shop), Some(&shop), false, false),
        (Some(&shop), Some(&both), false, true),
        (Some(&both), Some(&shop), false, true),
        (Some(&shop), Some(&quota), true, false),
        (Some(&shop), Some(&retain), true, false),
        (Some(&shop), Some(&renamed), true, false),
    ] {
        let found = [&of_shop, &of_other].map(|request| concerns(before, after, request));
        assert_eq!(found, [shop_is, other_is], "{before:?} {after:?}");
    }
}
