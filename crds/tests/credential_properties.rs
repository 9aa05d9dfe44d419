//! Issuer, subject, audience and client id: what is kept exactly, and what is refused.

use azwib_crds::{
    Audience, ClientId, DEFAULT_AUDIENCE, InvalidAudience, InvalidClientId, InvalidIssuer,
    InvalidSubject, Issuer, Subject,
};
use proptest::prelude::*;

#[test]
fn issuers_are_kept_byte_for_byte() {
    for text in [
        "https://westeurope.oic.prod-aks.azure.com/0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f/8a1f/",
        "https://oidc.example",
        "https://oidc.example/",
        "https://oidc.example//",
        "https://OIDC.Example:443/Path",
        "https://127.0.0.1:8443/cluster",
        "https://[::1]:8443/",
        "https://oidc.example/a%20b",
        "https://oidc.example/a@b",
        "https://kubernetes.default.svc.cluster.local",
    ] {
        let issuer = Issuer::parse(text).unwrap();
        assert_eq!(issuer.as_str(), text);
        assert_eq!(issuer.to_string(), text);
        assert_eq!(text.parse(), Ok(issuer));
    }
}

#[test]
fn a_slash_at_the_end_or_another_case_is_another_issuer() {
    let issuer = Issuer::parse("https://oidc.example/a").unwrap();
    for other in [
        "https://oidc.example/a/",
        "https://oidc.example/A",
        "https://OIDC.example/a",
    ] {
        assert_ne!(issuer, Issuer::parse(other).unwrap());
    }
}

#[test]
fn issuers_that_entra_could_not_use_are_refused_with_the_reason() {
    let long = format!("https://oidc.example/{}", "x".repeat(10_000));
    let cases = [
        ("", InvalidIssuer::Empty),
        (long.as_str(), InvalidIssuer::TooLong(10_021)),
        ("http://oidc.example", InvalidIssuer::NotHttps),
        ("HTTPS://oidc.example", InvalidIssuer::NotHttps),
        ("oidc.example", InvalidIssuer::NotHttps),
        ("https:/oidc.example", InvalidIssuer::NotHttps),
        ("https:oidc.example", InvalidIssuer::NotHttps),
        ("file:///etc/passwd", InvalidIssuer::NotHttps),
        ("https://user:secret@oidc.example/", InvalidIssuer::UserInfo),
        ("https://@oidc.example/", InvalidIssuer::UserInfo),
        ("https://oidc.example/?a=b", InvalidIssuer::Query),
        ("https://oidc.example?", InvalidIssuer::Query),
        ("https://oidc.example/#a", InvalidIssuer::Fragment),
        ("https://oidc.example#", InvalidIssuer::Fragment),
        ("https://oidc.example/..", InvalidIssuer::DotSegment),
        ("https://oidc.example/./a", InvalidIssuer::DotSegment),
        ("https://oidc.example/a/../b", InvalidIssuer::DotSegment),
        ("https://oidc.example/%2e%2E/b", InvalidIssuer::DotSegment),
        ("https://oidc.example/.%2e/b", InvalidIssuer::DotSegment),
        (" https://oidc.example", InvalidIssuer::Character(' ')),
        ("https://oidc.example ", InvalidIssuer::Character(' ')),
        ("https://oidc.example/\n", InvalidIssuer::Character('\n')),
        ("https://oidc.ex\tample/", InvalidIssuer::Character('\t')),
        ("https://oidc.example/\0", InvalidIssuer::Character('\0')),
        ("https://oidc.example\\a", InvalidIssuer::Character('\\')),
        (
            "https://oidc.example/{tenant}",
            InvalidIssuer::Character('{'),
        ),
        ("https://größe.example/", InvalidIssuer::Character('ö')),
        (
            "https://oidc.example/\u{200b}",
            InvalidIssuer::Character('\u{200b}'),
        ),
    ];
    for (text, reason) in cases {
        assert_eq!(Issuer::parse(text), Err(reason), "{text:.80}");
    }
    for text in [
        "https://",
        "https:///a",
        "https://:443/",
        "https://a b/",
        "https://oidc.example:99999/",
        "https://[::1/",
    ] {
        assert!(Issuer::parse(text).is_err(), "{text}");
    }
}

#[test]
fn an_issuer_may_have_exactly_600_characters() {
    let base = "https://oidc.example/";
    let longest = format!("{base}{}", "x".repeat(600 - base.len()));
    Issuer::parse(&longest).unwrap();
    assert_eq!(
        Issuer::parse(&format!("{longest}x")),
        Err(InvalidIssuer::TooLong(601))
    );
}

#[test]
fn the_subject_of_a_service_account_is_the_one_in_its_tokens() {
    let subject = Subject::of_service_account("shop", "orders.v2");
    assert_eq!(subject.as_str(), "system:serviceaccount:shop:orders.v2");
    assert_eq!(
        Subject::parse("system:serviceaccount:shop:orders.v2"),
        Ok(subject)
    );
    let longest = Subject::of_service_account(&"n".repeat(63), &"s".repeat(253));
    assert_eq!(longest.as_str().len(), 339);
    assert_eq!(Subject::parse(longest.as_str()), Ok(longest));
}

#[test]
fn subjects_are_compared_exactly() {
    assert_ne!(
        Subject::of_service_account("shop", "orders"),
        Subject::parse("system:serviceaccount:shop:Orders").unwrap()
    );
}

#[test]
fn subjects_that_no_token_carries_are_refused_with_the_reason() {
    let cases = [
        ("", InvalidSubject::Empty),
        (&"x".repeat(601), InvalidSubject::TooLong(601)),
        (&"é".repeat(601), InvalidSubject::TooLong(601)),
        (" a", InvalidSubject::SurroundingWhitespace),
        ("a\u{a0}", InvalidSubject::SurroundingWhitespace),
        ("a\n", InvalidSubject::SurroundingWhitespace),
        ("a\nb", InvalidSubject::ControlCharacter),
        ("a\0b", InvalidSubject::ControlCharacter),
        ("a\u{85}b", InvalidSubject::ControlCharacter),
    ];
    for (text, reason) in cases {
        assert_eq!(Subject::parse(text), Err(reason), "{text:.50}");
    }
    Subject::parse(&"é".repeat(600)).unwrap();
}

#[test]
fn audiences_may_be_any_one_text() {
    for text in [
        DEFAULT_AUDIENCE,
        "openshift",
        "https://vercel.com/shop",
        "a b",
        "日本",
        "x",
        &"x".repeat(600),
    ] {
        let audience = Audience::parse(text).unwrap();
        assert_eq!(audience.as_str(), text);
        assert_eq!(text.parse(), Ok(audience));
    }
}

#[test]
fn audiences_that_no_token_carries_are_refused_with_the_reason() {
    let cases = [
        ("", InvalidAudience::Empty),
        (&"x".repeat(10_000), InvalidAudience::TooLong(10_000)),
        (" ", InvalidAudience::SurroundingWhitespace),
        ("a ", InvalidAudience::SurroundingWhitespace),
        ("\u{2003}a", InvalidAudience::SurroundingWhitespace),
        ("a\r\nb", InvalidAudience::ControlCharacter),
        ("a\u{7f}b", InvalidAudience::ControlCharacter),
    ];
    for (text, reason) in cases {
        assert_eq!(Audience::parse(text), Err(reason), "{text:.50}");
    }
}

#[test]
fn client_ids_are_shown_in_lower_case() {
    let id = ClientId::parse("0F5D2C1E-9D3A-4B6C-8E7F-1A2B3C4D5E6F").unwrap();
    assert_eq!(id.as_str(), "0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f");
    assert_eq!(ClientId::parse(id.as_str()), Ok(id));
}

#[test]
fn other_texts_than_a_guid_in_its_usual_form_are_no_client_id() {
    for text in [
        "",
        "0f5d2c1e9d3a4b6c8e7f1a2b3c4d5e6f",
        "{0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f}",
        "urn:uuid:0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f",
        "0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6",
        "0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6ff",
        "0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6g",
        "0f5d2c1-e9d3a-4b6c-8e7f-1a2b3c4d5e6f",
        " 0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f",
        "0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6\n",
        "../../../../../../../../../../../../",
        &"0".repeat(10_000),
        "０f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e",
    ] {
        assert_eq!(
            ClientId::parse(text),
            Err(InvalidClientId::NotAGuid),
            "{text:.60}"
        );
    }
}

proptest! {
    #[test]
    fn what_is_accepted_as_an_issuer_is_unchanged_and_means_one_url(text in "https://[a-z0-9.@:-]{1,12}(/[ -~]{0,6}){0,3}") {
        if let Ok(issuer) = Issuer::parse(&text) {
            prop_assert_eq!(issuer.as_str(), &text);
            let url = url::Url::parse(&text).unwrap();
            prop_assert_eq!(url.scheme(), "https");
            prop_assert!(url.host().is_some() && url.query().is_none() && url.fragment().is_none());
            prop_assert!(url.username().is_empty() && url.password().is_none());
            // The path is not rewritten, so discovery asks for what the tokens name.
            let path = text.splitn(4, '/').nth(3).unwrap_or_default();
            prop_assert_eq!(&url.path()[1..], path);
        }
    }

    #[test]
    fn a_guid_reads_back_in_lower_case(text in "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}") {
        let id = ClientId::parse(&text).unwrap();
        prop_assert_eq!(id.to_string(), text.to_lowercase());
        prop_assert_eq!(ClientId::parse(&id.to_string()), Ok(id));
    }

    #[test]
    fn what_is_accepted_is_never_changed(text in any::<String>()) {
        if let Ok(subject) = Subject::parse(&text) {
            prop_assert_eq!(subject.as_str(), &text);
        }
        if let Ok(audience) = Audience::parse(&text) {
            prop_assert_eq!(audience.as_str(), &text);
        }
        if let Ok(issuer) = Issuer::parse(&text) {
            prop_assert_eq!(issuer.as_str(), &text);
        }
        if let Ok(id) = ClientId::parse(&text) {
            prop_assert_eq!(id.as_str(), text.to_lowercase());
        }
    }
}
