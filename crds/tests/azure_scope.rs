//! Scopes: what is read, what they hold, what is refused.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeSet, HashSet};

use azwib_crds::{
    AzureScope, InvalidAzureScope as Invalid, InvalidManagedIdentityId as InvalidId,
    ManagedIdentityId,
};
use proptest::prelude::*;

const SUBSCRIPTION: &str = "/subscriptions/0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f";
const GROUP: &str = "/subscriptions/0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f/resourceGroups/rg-shop";
const ID: &str = "/subscriptions/0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f/resourceGroups/rg-shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders";

fn scope(text: &str) -> AzureScope {
    AzureScope::parse(text).unwrap()
}

fn identity(group: &str, name: &str) -> ManagedIdentityId {
    ManagedIdentityId::new("0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f", group, name).unwrap()
}

#[test]
fn a_scope_is_a_subscription_a_group_or_an_identity_in_any_case() {
    for text in [SUBSCRIPTION, GROUP, ID] {
        assert_eq!(scope(text).as_str(), text);
        assert_eq!(scope(text).to_string(), text);
        let spellings = [text.to_owned(), text.to_lowercase(), text.to_uppercase()];
        let scopes = spellings.map(|spelling| scope(&spelling));
        assert_eq!(scopes.iter().collect::<HashSet<_>>().len(), 1);
        assert_eq!(scopes.iter().collect::<BTreeSet<_>>().len(), 1);
    }
    assert_eq!(
        AzureScope::of(&ID.parse().unwrap()),
        [SUBSCRIPTION, GROUP, ID].map(scope)
    );
}

#[test]
fn a_scope_holds_what_is_below_it_by_whole_names() {
    for (of, group, name, holds) in [
        (SUBSCRIPTION, "rg-shop", "orders", true),
        (SUBSCRIPTION, "any", "other", true),
        (GROUP, "rg-shop", "orders", true),
        (GROUP, "RG-Shop", "other", true),
        (GROUP, "rg-shop-eu", "orders", false),
        (GROUP, "rg-sho", "orders", false),
        (ID, "rg-shop", "ORDERS", true),
        (ID, "rg-shop", "orders-2", false),
        (ID, "rg-other", "orders", false),
        (
            "/subscriptions/1f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f",
            "rg-shop",
            "orders",
            false,
        ),
    ] {
        assert_eq!(
            scope(of).holds(&identity(group, name)),
            holds,
            "{of} {group} {name}"
        );
    }
}

#[test]
fn a_scope_holds_only_what_every_service_takes_for_its_own() {
    let of_group = |group: &str| scope(&format!("{SUBSCRIPTION}/resourceGroups/{group}"));
    for (group, other, holds) in [
        ("rg-größe", "RG-GRÖßE", true),
        ("ресурсы", "РЕСУРСЫ", true),
        ("rg-straße", "rg-strasse", false),
        ("rg-strasse", "rg-straße", false),
        ("rg-straße", "rg-STRAẞE", false),
        ("rg-\u{212a}", "rg-k", false),
        ("rg-ı", "rg-i", false),
        ("rg-ſ", "rg-s", false),
        ("rg-é", "rg-e", false),
    ] {
        assert_eq!(
            of_group(group).holds(&identity(other, "orders")),
            holds,
            "{group} {other}"
        );
        assert_eq!(of_group(group) == of_group(other), holds, "{group} {other}");
    }
}

#[test]
fn what_is_no_scope_is_refused_with_what_is_wrong() {
    let below = |rest: &str| format!("{SUBSCRIPTION}{rest}");
    for text in [
        String::new(),
        "/".to_owned(),
        "*".to_owned(),
        "/subscriptions".to_owned(),
        "/subscriptions/".to_owned() + "0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f/",
        SUBSCRIPTION.trim_start_matches('/').to_owned(),
        format!("https://management.azure.com{SUBSCRIPTION}"),
        "/providers/Microsoft.Management/managementGroups/all".to_owned(),
        below("/resourceGroups"),
        below("/resourceGroups/rg-shop/"),
        below("/resourceGroups/rg-shop/providers/Microsoft.ManagedIdentity"),
        below("/resourceGroups/rg-shop/providers/Microsoft.Storage/storageAccounts/orders"),
        below("/providers/Microsoft.Authorization/roleAssignments/x"),
        format!("{ID}/"),
        format!("{ID}/federatedIdentityCredentials/x"),
    ] {
        assert_eq!(AzureScope::parse(&text), Err(Invalid::Form), "{text}");
    }
    for (text, name) in [
        ("/subscriptions/shop".to_owned(), InvalidId::Subscription),
        ("/subscriptions/..".to_owned(), InvalidId::Subscription),
        ("/subscriptions/".to_owned(), InvalidId::Subscription),
        (below("/resourceGroups/."), InvalidId::ResourceGroupEnd),
        (below("/resourceGroups/.."), InvalidId::ResourceGroupEnd),
        (below("/resourceGroups/"), InvalidId::ResourceGroupLength(0)),
        (
            below("/resourceGroups/a%2e"),
            InvalidId::ResourceGroupCharacter('%'),
        ),
        (
            below("/resourceGroups/a*"),
            InvalidId::ResourceGroupCharacter('*'),
        ),
        (
            GROUP.replace("rg-shop", " rg-shop"),
            InvalidId::ResourceGroupCharacter(' '),
        ),
        (ID.replace("/orders", "/.."), InvalidId::NameLength(2)),
        (
            ID.replace("/orders", "/*rders"),
            InvalidId::NameCharacter('*'),
        ),
    ] {
        assert_eq!(AzureScope::parse(&text), Err(Invalid::Name(name)), "{text}");
    }
}

proptest! {
    #[test]
    fn a_text_is_an_identity_as_a_scope_exactly_where_it_is_one(text in "[/a-zA-Z.%*-]{0,40}", id in any::<bool>()) {
        let text = if id { format!("{}{text}", &ID[..ID.len() - 6]) } else { text };
        let id = ManagedIdentityId::parse(&text);
        let scope = AzureScope::parse(&text);
        if let Ok(id) = &id {
            prop_assert!(scope.as_ref().unwrap().holds(id));
        }
        if let Ok(scope) = scope {
            prop_assert_eq!(scope.as_str().split('/').count() == 9, id.is_ok());
        }
    }
}
