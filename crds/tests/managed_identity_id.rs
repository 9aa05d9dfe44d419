//! Resource ids of managed identities: what is read, how it is shown, what is refused.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeSet, HashSet};

use azwib_crds::{InvalidManagedIdentityId as Invalid, ManagedIdentityId};
use proptest::prelude::*;

const SUBSCRIPTION: &str = "0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f";
const ID: &str = "/subscriptions/0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f/resourceGroups/rg-shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders";

#[test]
fn an_id_is_read_into_its_names() {
    let id = ManagedIdentityId::parse(ID).unwrap();
    assert_eq!(id.subscription_id(), SUBSCRIPTION);
    assert_eq!(id.resource_group(), "rg-shop");
    assert_eq!(id.name(), "orders");
    assert_eq!(id.as_str(), ID);
    assert_eq!(id.to_string(), ID);
    assert_eq!(id.key(), ID.to_lowercase());
    assert_eq!(ID.parse(), Ok(id.clone()));
    assert_eq!(
        ManagedIdentityId::new(SUBSCRIPTION, "rg-shop", "orders"),
        Ok(id)
    );
}

#[test]
fn spellings_that_differ_in_case_are_one_identity_and_keep_the_names_they_were_given() {
    // "resourcegroups" is how Azure itself answers.
    let spellings = [
        ID.to_owned(),
        ID.replace("resourceGroups", "resourcegroups"),
        ID.to_lowercase(),
        ID.to_uppercase(),
        ID.replace("orders", "Orders"),
    ];
    let ids: Vec<_> = spellings
        .iter()
        .map(|text| ManagedIdentityId::parse(text).unwrap())
        .collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 1);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(
        ids[1].as_str(),
        ID,
        "fixed parts are shown in the canonical spelling"
    );
    assert_eq!(ids[3].resource_group(), "RG-SHOP");
    assert!(ids[4].as_str().ends_with("/userAssignedIdentities/Orders"));
}

fn of_group(group: &str) -> ManagedIdentityId {
    ManagedIdentityId::new(SUBSCRIPTION, group, "orders").unwrap()
}

#[test]
fn a_small_and_a_capital_letter_make_no_difference_in_any_alphabet() {
    for (group, other) in [
        ("rg", "Rg"),
        ("rg-größe", "RG-GRÖßE"),
        ("ресурсы", "РЕСУРСЫ"),
        ("ομάδας", "ΟΜΆΔΑς"),
        ("ǆ", "Ǆ"),
    ] {
        let (group, other) = (of_group(group), of_group(other));
        assert_eq!(group, other);
        assert_eq!(group.key(), other.key());
        assert_ne!(group.as_str(), other.as_str(), "each is shown as given");
    }
}

#[test]
fn groups_that_azure_may_have_beside_each_other_differ() {
    for (group, other) in [
        ("é", "e"),
        ("日本", "日木"),
        // Two letters for one.
        ("rg-größe", "rg-GRÖSSE"),
        ("rg-straße", "rg-STRAẞE"),
        ("ﬁ", "fi"),
        // Letters outside of ASCII whose pair is in it.
        ("\u{17f}", "s"),
        ("\u{212a}", "k"),
        ("ı", "i"),
        ("İ", "i"),
    ] {
        assert_ne!(of_group(group), of_group(other), "{group} {other}");
    }
}

#[test]
fn ids_of_different_identities_differ() {
    let id = ManagedIdentityId::parse(ID).unwrap();
    for other in [
        ID.replace("orders", "orders2"),
        ID.replace("rg-shop", "rg"),
        ID.replace("0f5d", "0f5e"),
    ] {
        assert_ne!(id, ManagedIdentityId::parse(&other).unwrap());
    }
}

#[test]
fn every_character_that_azure_admits_in_names_is_admitted() {
    for group in [
        "a",
        "_",
        "(rg)",
        "rg.shop_1-(x)",
        ".rg",
        "-",
        "größe",
        "РЕСУРСЫ",
        "日本語",
        "المجموعة",
        "ǅ٣",
        &"g".repeat(90),
        &"ß".repeat(90),
    ] {
        ManagedIdentityId::new(SUBSCRIPTION, group, "orders").unwrap();
    }
    for name in ["abc", "0_-", "A-B_c9", "9__", &"n".repeat(128)] {
        ManagedIdentityId::new(SUBSCRIPTION, "rg", name).unwrap();
    }
}

#[test]
fn texts_of_another_form_are_refused() {
    let child = format!("{ID}/federatedIdentityCredentials/x");
    let cases = [
        "",
        "/",
        "orders",
        &ID[1..],
        &format!("/{ID}"),
        &format!("{ID}/"),
        &format!(" {ID}"),
        &child,
        &format!("https://management.azure.com{ID}"),
        &ID.replace("userAssignedIdentities", "systemAssignedIdentities"),
        &ID.replace("Microsoft.ManagedIdentity", "Microsoft.Compute"),
        &ID.replace("resourceGroups", "resourceGroup"),
        &ID.replace("/providers", "//providers"),
        &ID.replace('/', "\\"),
        &ID.replace('/', "%2F"),
        // A letter that lower-cases to an ASCII one (the Kelvin sign) is not that letter.
        &ID.replace("ManagedIdentity", "Managed\u{130}dentity"),
        &"/".repeat(10_000),
        &format!("{ID}{}", "/a".repeat(5_000)),
    ];
    for text in cases {
        assert_eq!(
            ManagedIdentityId::parse(text),
            Err(Invalid::Form),
            "{text:.200}"
        );
    }
}

#[test]
fn names_that_azure_refuses_are_refused_with_the_reason() {
    let long = "x".repeat(10_000);
    let (group_of_91, name_of_129) = ("x".repeat(91), "x".repeat(129));
    let cases = [
        ("", "rg", "orders", Invalid::Subscription),
        ("shop", "rg", "orders", Invalid::Subscription),
        (
            "0f5d2c1e9d3a4b6c8e7f1a2b3c4d5e6f",
            "rg",
            "orders",
            Invalid::Subscription,
        ),
        (
            "{0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f}",
            "rg",
            "orders",
            Invalid::Subscription,
        ),
        (
            "0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6g",
            "rg",
            "orders",
            Invalid::Subscription,
        ),
        (
            "0f5d2c1e-9d3a-4b6c-8e7f1a2b3c4d-5e6f",
            "rg",
            "orders",
            Invalid::Subscription,
        ),
        (
            "../../../../../../../../../../../../",
            "rg",
            "orders",
            Invalid::Subscription,
        ),
        (SUBSCRIPTION, "", "orders", Invalid::ResourceGroupLength(0)),
        (
            SUBSCRIPTION,
            &long,
            "orders",
            Invalid::ResourceGroupLength(10_000),
        ),
        (
            SUBSCRIPTION,
            &group_of_91,
            "orders",
            Invalid::ResourceGroupLength(91),
        ),
        (SUBSCRIPTION, "rg", &name_of_129, Invalid::NameLength(129)),
        (SUBSCRIPTION, "..", "orders", Invalid::ResourceGroupEnd),
        (SUBSCRIPTION, ".", "orders", Invalid::ResourceGroupEnd),
        (SUBSCRIPTION, "rg.", "orders", Invalid::ResourceGroupEnd),
        (
            SUBSCRIPTION,
            "a/b",
            "orders",
            Invalid::ResourceGroupCharacter('/'),
        ),
        (
            SUBSCRIPTION,
            "a\\b",
            "orders",
            Invalid::ResourceGroupCharacter('\\'),
        ),
        (
            SUBSCRIPTION,
            "a%2Fb",
            "orders",
            Invalid::ResourceGroupCharacter('%'),
        ),
        (
            SUBSCRIPTION,
            "%2e%2e",
            "orders",
            Invalid::ResourceGroupCharacter('%'),
        ),
        (
            SUBSCRIPTION,
            "a?b",
            "orders",
            Invalid::ResourceGroupCharacter('?'),
        ),
        (
            SUBSCRIPTION,
            "a#b",
            "orders",
            Invalid::ResourceGroupCharacter('#'),
        ),
        (
            SUBSCRIPTION,
            "a b",
            "orders",
            Invalid::ResourceGroupCharacter(' '),
        ),
        (
            SUBSCRIPTION,
            " rg",
            "orders",
            Invalid::ResourceGroupCharacter(' '),
        ),
        (
            SUBSCRIPTION,
            "rg\n",
            "orders",
            Invalid::ResourceGroupCharacter('\n'),
        ),
        (
            SUBSCRIPTION,
            "rg\0",
            "orders",
            Invalid::ResourceGroupCharacter('\0'),
        ),
        // A mark on a letter, a letter that is a number, and what is neither letter nor digit.
        (
            SUBSCRIPTION,
            "o\u{308}",
            "orders",
            Invalid::ResourceGroupCharacter('\u{308}'),
        ),
        (
            SUBSCRIPTION,
            "Ⅷ",
            "orders",
            Invalid::ResourceGroupCharacter('Ⅷ'),
        ),
        (
            SUBSCRIPTION,
            "rg😀",
            "orders",
            Invalid::ResourceGroupCharacter('😀'),
        ),
        (
            SUBSCRIPTION,
            "rg\u{a0}",
            "orders",
            Invalid::ResourceGroupCharacter('\u{a0}'),
        ),
        (
            SUBSCRIPTION,
            "rg\u{202e}",
            "orders",
            Invalid::ResourceGroupCharacter('\u{202e}'),
        ),
        (SUBSCRIPTION, "rg", "", Invalid::NameLength(0)),
        (SUBSCRIPTION, "rg", "ab", Invalid::NameLength(2)),
        (SUBSCRIPTION, "rg", &long, Invalid::NameLength(10_000)),
        (SUBSCRIPTION, "rg", "..", Invalid::NameLength(2)),
        (SUBSCRIPTION, "rg", "...", Invalid::NameCharacter('.')),
        (SUBSCRIPTION, "rg", "a/b", Invalid::NameCharacter('/')),
        (SUBSCRIPTION, "rg", "a%2Fb", Invalid::NameCharacter('%')),
        (SUBSCRIPTION, "rg", "orders ", Invalid::NameCharacter(' ')),
        (SUBSCRIPTION, "rg", "orders\t", Invalid::NameCharacter('\t')),
        (SUBSCRIPTION, "rg", "ordérs", Invalid::NameCharacter('é')),
        (
            SUBSCRIPTION,
            "rg",
            "\u{ff4f}rders",
            Invalid::NameCharacter('\u{ff4f}'),
        ),
        (SUBSCRIPTION, "rg", "-orders", Invalid::NameStart),
        (SUBSCRIPTION, "rg", "_orders", Invalid::NameStart),
    ];
    for (subscription, group, name, reason) in cases {
        assert_eq!(
            ManagedIdentityId::new(subscription, group, name),
            Err(reason),
            "{subscription:.50} {group:.50} {name:.50}"
        );
    }
}

#[test]
fn an_id_cannot_smuggle_a_path_in_its_names() {
    for (from, to) in [
        ("rg-shop", ".."),
        ("orders", ".."),
        ("orders", "%2e%2e"),
        ("rg-shop", "a%2Fb"),
        ("orders", "a?b"),
    ] {
        let text = ID.replace(from, to);
        assert!(ManagedIdentityId::parse(&text).is_err(), "{text}");
    }
}

#[test]
fn messages_say_what_to_do_and_do_not_repeat_long_input() {
    let message = ManagedIdentityId::parse("orders").unwrap_err().to_string();
    assert!(
        message.contains("/subscriptions/<subscription>/resourceGroups/<group>"),
        "{message}"
    );
    assert!(message.contains("az identity show --query id"), "{message}");
    let message = ManagedIdentityId::new(SUBSCRIPTION, &"x".repeat(10_000), "orders")
        .unwrap_err()
        .to_string();
    assert!(message.len() < 200, "{message}");
}

prop_compose! {
    fn names()(
        subscription in "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
        group in "[a-zA-Z0-9_().-]{0,89}[a-zA-Z0-9_()-]",
        name in "[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}",
    ) -> (String, String, String) {
        (subscription, group, name)
    }
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same_names((subscription, group, name) in names()) {
        let id = ManagedIdentityId::new(&subscription, &group, &name).unwrap();
        let read = ManagedIdentityId::parse(&id.to_string()).unwrap();
        prop_assert_eq!(read.as_str(), id.as_str());
        prop_assert_eq!(read.subscription_id(), subscription);
        prop_assert_eq!(read.resource_group(), group);
        prop_assert_eq!(read.name(), name);
    }

    #[test]
    fn case_never_makes_another_identity((subscription, group, name) in names()) {
        let id = ManagedIdentityId::new(&subscription, &group, &name).unwrap();
        let upper = ManagedIdentityId::parse(&id.as_str().to_uppercase()).unwrap();
        let lower = ManagedIdentityId::parse(id.key()).unwrap();
        prop_assert_eq!(&upper, &id);
        prop_assert_eq!(&lower, &id);
        prop_assert_eq!(upper.key(), lower.as_str().to_lowercase());
    }

    #[test]
    fn the_key_is_an_id_of_the_same_identity_in_any_alphabet(group in "[\\p{L}\\p{Nd}]{1,30}") {
        let id = of_group(&group);
        let of_key = ManagedIdentityId::parse(id.key()).unwrap();
        prop_assert_eq!(&of_key, &id);
        prop_assert_eq!(of_key.key(), id.key());
    }

    /// Whatever is accepted is safe as a path of a request: nothing that a URL parser would read as something else.
    #[test]
    fn what_is_accepted_survives_a_url_unchanged(group in "[a-zA-Z0-9_().%/\\\\?#: ö-]{1,12}", name in "[a-zA-Z0-9_.%/\\\\?# ö-]{2,12}") {
        let text = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}");
        if let Ok(id) = ManagedIdentityId::parse(&text) {
            let url = url::Url::parse(&format!("https://management.example{id}")).unwrap();
            // Escaped once, where it is not ASCII; what is not escaped is not touched.
            let path = percent_encoding::percent_decode_str(url.path()).decode_utf8_lossy();
            prop_assert_eq!(path, id.as_str());
            prop_assert_eq!(url.path().split('/').count(), 9);
        }
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,200}") {
        let _ = ManagedIdentityId::parse(&text);
        let _ = ManagedIdentityId::new(&text, &text, &text);
    }
}
