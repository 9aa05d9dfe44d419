//! Names of federated identity credentials: what Azure admits, and the names that azwib derives.

use azwib_crds::{CredentialName, InvalidCredentialName as Invalid, Issuer};
use proptest::prelude::*;

/// Made outside of the project. A derived name is permanent: a failure here means that every existing credential would be
/// orphaned.
const VECTORS: [(&str, &str, &str, &str); 4] = [
    (
        "https://oidc.example/",
        "shop",
        "orders",
        "azwib-shop-orders-99bb76e015ed7c8774a80011f8ebdf81",
    ),
    (
        "https://oidc.example",
        "shop",
        "orders",
        "azwib-shop-orders-9b752ea0e800d9df6e7084491abd335b",
    ),
    (
        "https://oidc.example/",
        "shop",
        "orders.v2",
        "azwib-shop-orders-v2-7b24f96fe49cb0fec3f9a6dfbf03da2e",
    ),
    (
        "https://oidc.example/",
        "a-b",
        "c",
        "azwib-a-b-c-f50496b9c71a411d5413f8f72b764a72",
    ),
];

#[test]
fn derived_names_are_those_of_the_vectors() {
    for (issuer, namespace, account, name) in VECTORS {
        let issuer = Issuer::parse(issuer).unwrap();
        assert_eq!(
            CredentialName::derive(&issuer, namespace, account).as_str(),
            name
        );
    }
}

#[test]
fn the_same_readable_part_does_not_make_the_same_name() {
    let issuer = Issuer::parse("https://oidc.example/").unwrap();
    let one = CredentialName::derive(&issuer, "a-b", "c");
    let other = CredentialName::derive(&issuer, "a", "b-c");
    assert_eq!(one.as_str()[..12], other.as_str()[..12]);
    assert_ne!(one, other);
}

#[test]
fn the_readable_part_is_in_lower_case_and_one_dash_stands_for_each_other_character() {
    let issuer = Issuer::parse("https://oidc.example/").unwrap();
    let name = CredentialName::derive(&issuer, "Shop", "a_b..ö");
    assert_eq!(
        &name.as_str()[..name.as_str().len() - 33],
        "azwib-shop-a-b---"
    );
}

#[test]
fn the_longest_names_of_kubernetes_make_a_name_that_azure_admits() {
    let issuer = Issuer::parse("https://oidc.example/").unwrap();
    let name = CredentialName::derive(&issuer, &"n".repeat(63), &"s".repeat(253));
    assert_eq!(name.as_str().len(), "azwib-".len() + 48 + 1 + 32);
    assert!(
        name.as_str()
            .starts_with(&format!("azwib-{}-", "n".repeat(48)))
    );
    CredentialName::parse(name.as_str()).unwrap();
}

#[test]
fn names_that_azure_admits_are_kept_as_they_are() {
    for text in [
        "abc",
        "0-_",
        "A_b-C",
        "aks-identity-binding",
        &"x".repeat(120),
    ] {
        let name = CredentialName::parse(text).unwrap();
        assert_eq!(name.as_str(), text);
        assert_eq!(name.to_string(), text);
        assert_eq!(text.parse(), Ok(name));
    }
}

#[test]
fn names_that_azure_refuses_are_refused_with_the_reason() {
    let cases = [
        ("", Invalid::Length(0)),
        ("ab", Invalid::Length(2)),
        (&"x".repeat(121), Invalid::Length(121)),
        (&"x".repeat(10_000), Invalid::Length(10_000)),
        ("-abc", Invalid::Start),
        ("_abc", Invalid::Start),
        ("a.b", Invalid::Character('.')),
        ("...", Invalid::Character('.')),
        ("../x", Invalid::Character('.')),
        ("a/b", Invalid::Character('/')),
        ("a%2Fb", Invalid::Character('%')),
        ("abc=", Invalid::Character('=')),
        (" abc", Invalid::Character(' ')),
        ("abc\n", Invalid::Character('\n')),
        ("ab\0", Invalid::Character('\0')),
        ("äbc", Invalid::Character('ä')),
        ("ab\u{200b}", Invalid::Character('\u{200b}')),
    ];
    for (text, reason) in cases {
        assert_eq!(CredentialName::parse(text), Err(reason), "{text:.50}");
    }
}

/// Short issuers, with and without a path and a slash at the end.
fn issuer() -> impl Strategy<Value = Issuer> {
    "https://[a-z]{1,8}\\.example(/[a-zA-Z0-9-]{1,10}){0,2}/?"
        .prop_filter_map("not an issuer", |text| Issuer::parse(&text).ok())
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(text in "[a-zA-Z0-9][a-zA-Z0-9_-]{2,119}") {
        let name = CredentialName::parse(&text).unwrap();
        prop_assert_eq!(name.as_str(), &text);
        prop_assert_eq!(CredentialName::parse(&name.to_string()), Ok(name));
    }

    /// The account is a string of a spec: even one that the API server would have refused makes a valid name.
    #[test]
    fn a_derived_name_is_always_one_that_azure_admits(issuer in issuer(), namespace in any::<String>(), account in any::<String>()) {
        let name = CredentialName::derive(&issuer, &namespace, &account);
        prop_assert!(name.as_str().len() <= 120);
        prop_assert!(name.as_str().starts_with("azwib-"));
        prop_assert_eq!(CredentialName::parse(name.as_str()), Ok(name));
    }

    #[test]
    fn a_derived_name_depends_on_nothing_else(issuer in issuer(), namespace in "[a-z-]{1,9}", account in "[a-z.-]{1,9}") {
        prop_assert_eq!(
            CredentialName::derive(&issuer, &namespace, &account),
            CredentialName::derive(&issuer.clone(), &namespace.clone(), &account.clone())
        );
    }

    /// Few letters, so that the same texts come up cut in different places.
    #[test]
    fn different_inputs_have_different_names(
        one in (issuer(), "[ab.-]{1,3}", "[ab.-]{1,3}"),
        other in (issuer(), "[ab.-]{1,3}", "[ab.-]{1,3}"),
    ) {
        prop_assume!(one != other);
        prop_assert_ne!(
            CredentialName::derive(&one.0, &one.1, &one.2),
            CredentialName::derive(&other.0, &other.1, &other.2)
        );
    }

    #[test]
    fn a_cut_elsewhere_makes_another_name(issuer in issuer(), text in "[a-z-]{2,20}", at in any::<(prop::sample::Index, prop::sample::Index)>()) {
        let (first, second) = (at.0.index(text.len() + 1), at.1.index(text.len() + 1));
        prop_assume!(first != second);
        prop_assert_ne!(
            CredentialName::derive(&issuer, &text[..first], &text[first..]),
            CredentialName::derive(&issuer, &text[..second], &text[second..])
        );
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in any::<String>()) {
        let _ = CredentialName::parse(&text);
    }
}
