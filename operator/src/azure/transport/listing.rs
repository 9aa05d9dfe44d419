//! Makes listings of federated identity credentials decodable, and nothing else pass for one.
//!
//! The model of `azure_mgmt_msi` wants a subject in every credential, and one flexible credential (a claims
//! expression in its place) would make the whole listing fail: somebody else's object would keep azwib from its own.
//! On the other hand it takes any JSON object for an empty listing, after which all credentials would seem gone.

use azwib_crds::{CredentialName, MAX_CREDENTIAL_PROPERTY_CHARS};
use serde_json::{Map, Value, json};

/// No id of Azure's is longer.
const MAX_ID_CHARS: usize = 1024;

/// Whether the path is that of an identity's credentials, the next pages included.
pub(super) fn is_listing(path: &str) -> bool {
    path.rsplit('/')
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case("federatedIdentityCredentials"))
}

/// Reduces each credential of a listing to its id and name and, where they are all there, issuer, subject and audiences.
/// `None` for what is not a listing, and for one with a part that cannot be Azure's: what is not understood must not be
/// taken for another content.
pub(super) fn keep_what_is_understood(mut listing: Value) -> Option<Value> {
    for credential in listing.get_mut("value")?.as_array_mut()? {
        *credential = understood(credential)?;
    }
    Some(listing)
}

/// Whether the path is that of one credential.
pub(super) fn is_credential(path: &str) -> bool {
    path.rsplit_once('/')
        .is_some_and(|(parent, _)| is_listing(parent))
}

/// Reduces one credential that was read by itself to its id, name and content. `None` for an answer that is not a credential.
pub(super) fn keep_what_is_understood_of_one(credential: Value) -> Option<Value> {
    let has_properties = credential.get("properties")?.is_object();
    has_properties.then(|| understood(&credential)).flatten()
}

fn understood(credential: &Value) -> Option<Value> {
    let mut kept = Map::new();
    kept.insert("name".to_owned(), name(credential.get("name"))?);
    if let Some(id) = credential.get("id") {
        kept.insert("id".to_owned(), text(id, MAX_ID_CHARS)?.into());
    }
    if let Some(properties) = properties(credential.get("properties"))? {
        kept.insert("properties".to_owned(), properties);
    }
    Some(Value::Object(kept))
}

/// A name as Azure has them, whoever gave it.
/// Source: `pattern` of `federatedIdentityCredentialResourceName` in the specification of Microsoft.ManagedIdentity
fn name(name: Option<&Value>) -> Option<Value> {
    let name = name?.as_str()?;
    CredentialName::parse(name)
        .ok()
        .map(|name| name.as_str().into())
}

/// The content; `Some(None)` for a credential that has none of the ordinary kind.
fn properties(properties: Option<&Value>) -> Option<Option<Value>> {
    let Some(properties) = properties.filter(|it| !it.is_null()) else {
        return Some(None);
    };
    let properties = properties.as_object()?;
    let field = |name: &str| properties.get(name).filter(|it| !it.is_null());
    let part = |name: &str| match field(name) {
        Some(part) => text(part, MAX_CREDENTIAL_PROPERTY_CHARS).map(Some),
        None => Some(None),
    };
    let (issuer, subject) = (part("issuer")?, part("subject")?);
    let audiences = match field("audiences") {
        Some(audiences) => {
            let all = audiences.as_array()?.iter();
            let all = all.map(|it| text(it, MAX_CREDENTIAL_PROPERTY_CHARS));
            Some(all.collect::<Option<Vec<_>>>()?)
        }
        None => None,
    };
    // A flexible credential has a claims expression in place of its subject, which older versions of the API leave out.
    let is_flexible = field("claimsMatchingExpression").is_some();
    Some(match (issuer, subject, audiences) {
        (Some(issuer), Some(subject), Some(audiences)) if !is_flexible && !subject.is_empty() => {
            Some(json!({ "issuer": issuer, "subject": subject, "audiences": audiences }))
        }
        _ => None,
    })
}

/// A text of one line, and no longer than Azure takes it.
fn text(value: &Value, most: usize) -> Option<&str> {
    let text = value.as_str()?;
    (text.chars().count() <= most && !text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plain_credential_keeps_its_content() {
        let properties = json!({"issuer": "https://i/", "subject": "s", "audiences": ["a"]});
        let listing = json!({
            "value": [{"id": "/x", "name": "abc", "type": "t", "properties": properties, "systemData": 1}],
            "nextLink": "https://arm/next",
        });
        assert_eq!(
            keep_what_is_understood(listing),
            Some(
                json!({"value": [{"id": "/x", "name": "abc", "properties": properties}], "nextLink": "https://arm/next"})
            )
        );
    }

    #[test]
    fn what_is_not_understood_keeps_its_name_only() {
        for properties in [
            json!({"issuer": "https://i/", "audiences": ["a"], "claimsMatchingExpression": {"value": "x"}}),
            json!({"issuer": "https://i/", "subject": "", "audiences": ["a"], "claimsMatchingExpression": {"value": "x"}}),
            json!({"issuer": "https://i/", "subject": null, "audiences": ["a"]}),
            json!({"issuer": "https://i/", "subject": "", "audiences": ["a"]}),
            json!({"subject": "s", "audiences": ["a"]}),
            json!({}),
            json!(null),
        ] {
            let listing = json!({"value": [{"name": "abc", "properties": properties}]});
            assert_eq!(
                keep_what_is_understood(listing),
                Some(json!({"value": [{"name": "abc"}]})),
                "{properties}"
            );
        }
    }

    #[test]
    fn a_part_that_cannot_be_of_azure_makes_it_no_answer() {
        let good = json!({"issuer": "https://i/", "subject": "s", "audiences": ["a"]});
        let with = |field: &str, value: Value| {
            let mut properties = good.clone();
            properties[field] = value;
            json!({"name": "abc", "properties": properties})
        };
        let long = "x".repeat(601);
        for credential in [
            with("subject", json!(7)),
            with("subject", json!("a\nb")),
            with("subject", json!(long)),
            with("issuer", json!({"url": "https://i/"})),
            with("issuer", json!("https://i/\u{0}")),
            with("issuer", json!(long)),
            with("audiences", json!("a")),
            with("audiences", json!([1])),
            with("audiences", json!(["a", "\u{7f}"])),
            with("audiences", json!([long])),
            json!({"name": "abc", "properties": []}),
            json!({"name": "abc", "properties": "none"}),
            json!({"properties": good}),
            json!({"name": null, "properties": good}),
            json!({"name": "", "properties": good}),
            json!({"name": "a b", "properties": good}),
            json!({"name": "abc\u{202e}", "properties": good}),
            json!({"name": "x".repeat(121), "properties": good}),
            json!({"name": "abc", "id": 7, "properties": good}),
            json!("abc"),
            json!(null),
        ] {
            let listing = json!({"value": [with("subject", json!("s")), credential]});
            assert_eq!(keep_what_is_understood(listing), None, "{credential}");
        }
    }

    #[test]
    fn a_null_expression_does_not_hide_the_subject() {
        let listing = json!({"value": [{"name": "abc", "properties":
            {"issuer": "https://i/", "subject": "s", "audiences": ["a"], "claimsMatchingExpression": null}}]});
        let kept = keep_what_is_understood(listing).expect("is a listing");
        assert!(kept["value"][0]["properties"].is_object());
    }

    #[test]
    fn what_is_not_a_listing_does_not_pass_for_one() {
        for other in [
            json!({}),
            json!({"values": []}),
            json!({"value": {"a": 1}}),
            json!({"value": null}),
            json!([1]),
            json!(null),
        ] {
            assert_eq!(keep_what_is_understood(other.clone()), None, "{other}");
        }
    }

    #[test]
    fn a_credential_by_itself_is_read_as_in_a_listing() {
        let flexible = json!({"name": "abc", "properties": {"issuer": "https://i/", "claimsMatchingExpression": {"value": "x"}}});
        let kept = keep_what_is_understood_of_one(flexible);
        assert_eq!(kept, Some(json!({"name": "abc"})));
        assert_eq!(keep_what_is_understood_of_one(json!({"name": "abc"})), None);
    }

    #[test]
    fn a_listing_is_known_by_its_path() {
        let identity = "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/n";
        for name in [
            "federatedIdentityCredentials",
            "federatedidentitycredentials",
        ] {
            assert!(is_listing(&format!("{identity}/{name}")));
        }
        assert!(!is_listing(identity));
        assert!(!is_listing(&format!(
            "{identity}/federatedIdentityCredentials/a"
        )));
        assert!(is_credential(&format!(
            "{identity}/federatedIdentityCredentials/a"
        )));
        assert!(!is_credential(identity));
    }
}
