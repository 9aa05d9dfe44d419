//! Makes listings of federated identity credentials decodable, and nothing else pass for one.
//!
//! The model of `azure_mgmt_msi` wants a subject in every credential, and one flexible credential (a claims
//! expression in its place) would make the whole listing fail: somebody else's object would keep azwib from its own.
//! On the other hand it takes any JSON object for an empty listing, after which all credentials would seem gone.

use serde_json::{Map, Value};

/// Whether the path is that of an identity's credentials, the next pages included.
pub(crate) fn is_listing(path: &str) -> bool {
    path.rsplit('/')
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case("federatedIdentityCredentials"))
}

/// Reduces each credential of a listing to its id and name and, where they are all there and of the expected form,
/// issuer, subject and audiences. `None` for what is not a listing.
pub(super) fn keep_what_is_understood(mut listing: Value) -> Option<Value> {
    for credential in listing.get_mut("value")?.as_array_mut()? {
        *credential = understood(credential);
    }
    Some(listing)
}

/// Whether the path is that of one credential.
pub(crate) fn is_credential(path: &str) -> bool {
    path.rsplit_once('/')
        .is_some_and(|(parent, _)| is_listing(parent))
}

/// The same for one credential that was read by itself. `None` for what is not one.
pub(super) fn keep_what_is_understood_of_one(credential: Value) -> Option<Value> {
    credential
        .get("properties")?
        .is_object()
        .then(|| understood(&credential))
}

fn understood(credential: &Value) -> Value {
    let mut kept = Map::new();
    for field in ["id", "name"] {
        if let Some(text @ Value::String(_)) = credential.get(field) {
            kept.insert(field.to_owned(), text.clone());
        }
    }
    if let Some(properties) = credential.get("properties").and_then(properties) {
        kept.insert("properties".to_owned(), properties);
    }
    Value::Object(kept)
}

fn properties(properties: &Value) -> Option<Value> {
    if properties
        .get("claimsMatchingExpression")
        .is_some_and(|expression| !expression.is_null())
    {
        return None;
    }
    let text = |field: &str| properties.get(field)?.as_str();
    let (issuer, subject) = (text("issuer")?, text("subject")?);
    let audiences = properties.get("audiences")?.as_array()?;
    audiences.iter().all(Value::is_string).then(
        || serde_json::json!({ "issuer": issuer, "subject": subject, "audiences": audiences }),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plain_credential_keeps_its_content() {
        let properties = json!({"issuer": "https://i/", "subject": "s", "audiences": ["a"]});
        let listing = json!({
            "value": [{"id": "/x", "name": "a", "type": "t", "properties": properties, "systemData": 1}],
            "nextLink": "https://arm/next",
        });
        assert_eq!(
            keep_what_is_understood(listing),
            Some(
                json!({"value": [{"id": "/x", "name": "a", "properties": properties}], "nextLink": "https://arm/next"})
            )
        );
    }

    #[test]
    fn what_is_not_understood_keeps_its_name_only() {
        for properties in [
            json!({"issuer": "https://i/", "audiences": ["a"], "claimsMatchingExpression": {"value": "x"}}),
            json!({"issuer": "https://i/", "subject": "", "audiences": ["a"], "claimsMatchingExpression": {"value": "x"}}),
            json!({"issuer": "https://i/", "subject": null, "audiences": ["a"]}),
            json!({"issuer": "https://i/", "subject": 7, "audiences": ["a"]}),
            json!({"issuer": "https://i/", "subject": "s", "audiences": "a"}),
            json!({"issuer": "https://i/", "subject": "s", "audiences": [1]}),
            json!({"subject": "s", "audiences": ["a"]}),
            json!({}),
            json!(null),
            json!([]),
        ] {
            let listing = json!({"value": [{"name": "a", "properties": properties}]});
            assert_eq!(
                keep_what_is_understood(listing),
                Some(json!({"value": [{"name": "a"}]})),
                "{properties}"
            );
        }
    }

    #[test]
    fn a_null_expression_does_not_hide_the_subject() {
        let listing = json!({"value": [{"name": "a", "properties":
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
        let flexible = json!({"name": "a", "properties": {"issuer": "https://i/", "claimsMatchingExpression": {"value": "x"}}});
        let kept = keep_what_is_understood_of_one(flexible);
        assert_eq!(kept, Some(json!({"name": "a"})));
        assert_eq!(keep_what_is_understood_of_one(json!({"name": "a"})), None);
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
