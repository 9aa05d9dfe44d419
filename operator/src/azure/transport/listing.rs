//! Makes listings of federated identity credentials decodable.
//!
//! The model of `azure_mgmt_msi` wants a subject in every credential, and one flexible credential (a claims
//! expression in its place) would make the whole listing fail: somebody else's object would keep azwib from its own.

use serde_json::{Map, Value};

/// Reduces each credential of a listing to its id and name and, where they are all there and of the expected form,
/// issuer, subject and audiences. What is not a listing stays as it is.
pub(super) fn keep_what_is_understood(mut listing: Value) -> Value {
    if let Some(Value::Array(credentials)) = listing.get_mut("value") {
        for credential in credentials {
            *credential = understood(credential);
        }
    }
    listing
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
            json!({"value": [{"id": "/x", "name": "a", "properties": properties}], "nextLink": "https://arm/next"})
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
                json!({"value": [{"name": "a"}]}),
                "{properties}"
            );
        }
    }

    #[test]
    fn a_null_expression_does_not_hide_the_subject() {
        let listing = json!({"value": [{"name": "a", "properties":
            {"issuer": "https://i/", "subject": "s", "audiences": ["a"], "claimsMatchingExpression": null}}]});
        assert!(keep_what_is_understood(listing)["value"][0]["properties"].is_object());
    }

    #[test]
    fn what_is_not_a_listing_stays_as_it_is() {
        for other in [
            json!({"name": "a"}),
            json!([1]),
            json!({"value": {"a": 1}}),
            json!(null),
        ] {
            assert_eq!(keep_what_is_understood(other.clone()), other);
        }
    }
}
