//! Whether the CustomResourceDefinitions of the cluster are those of this version: an older one has the API server drop the fields
//! that it does not know, from every write, and a newer one may store objects in a version that this operator does not know.

mod stored;

use std::collections::BTreeSet;

use azwib_crds::crds;
use http::Request;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use serde_json::Value;

/// Where the API server says what it knows of azwib's kinds; everybody who is signed in may read it.
const SCHEMA: &str = "/openapi/v3/apis/azwib.dev/v1alpha1";

/// How many fields are named.
const NAMED: usize = 5;

/// Says in the log how the installed definitions differ from those of this version, as far as that matters.
pub async fn say_if_others(client: &Client) {
    let own = crds();
    stored::say_if_stored_otherwise(client, &own).await;
    say_if_older(client, own).await;
}

/// Says in the log which fields of this version the installed definitions do not have.
async fn say_if_older(
    client: &Client,
    definitions: impl IntoIterator<Item = CustomResourceDefinition>,
) {
    let served = match schema(client).await {
        Ok(served) => served,
        Err(error) => {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                "cannot read whether the CustomResourceDefinitions are those of this version"
            );
            return;
        }
    };
    for definition in definitions {
        let Ok(own) = serde_json::to_value(&definition) else {
            continue;
        };
        let kind = definition.spec.names.kind;
        let own = &own["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let missing = missing(own, &served, &kind);
        if missing.is_empty() {
            continue;
        }
        let named: Vec<_> = missing.iter().take(NAMED).cloned().collect();
        tracing::warn!(
            kind,
            fields = named.join(", "),
            count = missing.len(),
            "the CustomResourceDefinition is older than this operator, and the API server drops these fields: kubectl apply -k config/crd \
             of this version"
        );
    }
}

async fn schema(client: &Client) -> Result<Value, kube::Error> {
    let request = Request::get(SCHEMA).body(vec![]);
    let request = request.map_err(kube::Error::HttpError)?;
    client.request(request).await
}

/// The fields of our schema that the served one of this kind does not have. Nothing where the kind is not served: that shows where it
/// is listed.
fn missing(own: &Value, served: &Value, kind: &str) -> BTreeSet<String> {
    let schemas = served["components"]["schemas"].as_object();
    let suffix = format!(".{kind}");
    let served = schemas
        .into_iter()
        .flatten()
        .find(|(name, _)| name.ends_with(&suffix));
    let mut found = BTreeSet::new();
    if let Some((_, served)) = served {
        for part in ["spec", "status"] {
            let (own, served) = (&own["properties"][part], &served["properties"][part]);
            compare(own, served, part, &mut found);
        }
    }
    found
}

fn compare(own: &Value, served: &Value, path: &str, missing: &mut BTreeSet<String>) {
    if served.is_null() {
        missing.insert(path.to_owned());
        return;
    }
    if served["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    if own["items"].is_object() {
        compare(
            &own["items"],
            &served["items"],
            &format!("{path}[]"),
            missing,
        );
    }
    for (name, own) in own["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        compare(own, &served["properties"][name], &path, missing);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_that_is_not_served_is_named_by_its_path() {
        let own = json!({ "properties": {
            "spec": { "properties": { "a": {}, "list": { "items": { "properties": { "b": {}, "c": {} } } } } },
            "status": { "properties": { "d": { "properties": { "e": {} } } } },
        } });
        let of =
            |schema: Value| json!({ "components": { "schemas": { "dev.azwib.v1.Kind": schema } } });
        assert_eq!(missing(&own, &of(own.clone()), "Kind"), BTreeSet::new());
        let older = json!({ "properties": {
            "spec": { "properties": { "a": {}, "more": {}, "list": { "items": { "properties": { "b": {} } } } } },
            "status": { "properties": {} },
        } });
        let named = missing(&own, &of(older), "Kind");
        assert_eq!(Vec::from_iter(named), ["spec.list[].c", "status.d"]);
        assert_eq!(missing(&own, &of(json!({})), "Other"), BTreeSet::new());
    }
}
