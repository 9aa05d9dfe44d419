//! The generated CustomResourceDefinition: what must hold for every field of it, now and later.

use azwib_crds::{
    DEFAULT_AUDIENCE, DEFAULT_TOKEN_EXPIRATION_SECONDS, DeletionPolicy, ServiceAccountCreation,
    ServiceAccountRole, WorkloadIdentityBinding, WorkloadIdentityBindingStatus, binding_crd, crds,
};
use serde_json::{Value, json};

fn definition() -> Value {
    serde_json::to_value(binding_crd()).unwrap_or_default()
}

fn root_schema() -> Value {
    root_schema_of(&definition())
}

fn root_schema_of(definition: &Value) -> Value {
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// The schemas of all resources, each with the name of its kind.
fn root_schemas() -> Vec<(String, Value)> {
    let definitions = crds().map(|crd| serde_json::to_value(crd).unwrap_or_default());
    let named = definitions.iter().map(|it| {
        let kind = it["spec"]["names"]["kind"].as_str().unwrap_or_default();
        (kind.to_owned(), root_schema_of(it))
    });
    named.collect()
}

/// Calls `visit` with the path of every field, and of every kind of list item, and its schema.
fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, visit);
    }
    if let Some(items) = schema.get("items") {
        walk(&format!("{path}[]"), items, visit);
    }
}

/// What keeps a schema from being accepted without warnings, with a bounded cost of its rules, and from meaning one thing only.
fn faults(schema: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    walk("", schema, &mut |path, field| {
        let mut fault = |what: &str| faults.push(format!("{path}: {what}"));
        let is = |name: &str| field["type"] == name;
        let bounded_string = field.get("maxLength").is_some()
            || field.get("enum").is_some()
            || field["format"] == "date-time";
        if is("string") && !bounded_string {
            fault("string without a maximum");
        }
        if is("array") && field.get("maxItems").is_none() {
            fault("list without a maximum");
        }
        let bounded_map =
            field.get("additionalProperties").is_some() && field.get("maxProperties").is_some();
        // No item is ever there.
        let of_no_list = path.ends_with("matchExpressions[]");
        if is("object") && field.get("properties").is_none() && !bounded_map && !of_no_list {
            fault("object without known fields");
        }
        if field.get("nullable").is_some() {
            fault("nullable");
        }
        if field["format"]
            .as_str()
            .is_some_and(|format| format.starts_with("uint"))
        {
            fault("unsigned format");
        }
        if field.get("type").is_none() {
            fault("no type");
        }
        if field["description"].as_str().is_none_or(str::is_empty)
            && !path.ends_with("[]")
            && !path.is_empty()
        {
            fault("no description");
        }
    });
    faults
}

#[test]
fn every_field_is_bounded_described_and_never_null() {
    for (kind, schema) in root_schemas() {
        assert_eq!(faults(&schema), Vec::<String>::new(), "{kind}");
    }
}

#[test]
fn the_walk_over_the_schema_sees_what_it_looks_for() {
    let schema = json!({"type": "object", "properties": {
        "text": {"type": "string", "description": "d"},
        "list": {"type": "array", "description": "d", "items": {"type": "object", "properties": {
            "inner": {"type": "string", "maxLength": 1, "nullable": true, "description": "d"},
        }}},
        "count": {"type": "integer", "format": "uint32"},
        "any": {"description": "d"},
        "map": {"type": "object", "description": "d"},
    }});
    let mut found = faults(&schema);
    found.sort();
    assert_eq!(
        found,
        [
            ".any: no type",
            ".count: no description",
            ".count: unsigned format",
            ".list: list without a maximum",
            ".list[].inner: nullable",
            ".map: object without known fields",
            ".text: string without a maximum",
        ]
    );
}

#[test]
fn the_spec_has_only_fields_whose_behaviour_exists() {
    let mut paths = Vec::new();
    walk(
        "spec",
        &root_schema()["properties"]["spec"],
        &mut |path, _| paths.push(path.to_owned()),
    );
    assert_eq!(
        paths,
        [
            "spec",
            "spec.credential",
            "spec.credential.adoption",
            "spec.credential.audience",
            "spec.deletionPolicy",
            "spec.identity",
            "spec.identity.name",
            "spec.identity.resourceGroup",
            "spec.identity.resourceId",
            "spec.identity.subscriptionId",
            "spec.serviceAccount",
            "spec.serviceAccount.creation",
            "spec.serviceAccount.name",
            "spec.serviceAccount.role",
            "spec.serviceAccount.tokenExpirationSeconds",
            "spec.suspend",
        ]
    );
}

#[test]
fn a_status_that_nobody_wrote_does_not_pass_for_a_finished_one() {
    for (kind, root) in root_schemas() {
        let status = &root["properties"]["status"];
        assert_eq!(status["default"], json!({"observedGeneration": -1}));
        for (name, field) in status["properties"].as_object().into_iter().flatten() {
            assert_eq!(
                field.get("default"),
                None,
                "{kind}: {name} would show up in the default status"
            );
        }
    }
    assert_eq!(
        WorkloadIdentityBindingStatus::default().observed_generation,
        -1
    );
    let read: WorkloadIdentityBindingStatus = serde_json::from_value(json!({})).unwrap();
    assert_eq!(read, WorkloadIdentityBindingStatus::default());
}

#[test]
fn each_object_of_the_status_has_one_owner_and_the_lists_are_merged_by_their_keys() {
    let root = root_schema();
    let status = &root["properties"]["status"]["properties"];
    for object in ["identity", "serviceAccount"] {
        assert_eq!(status[object]["x-kubernetes-map-type"], "atomic");
    }
    for (list, key, most) in [("conditions", "type", 32), ("credentials", "name", 4)] {
        assert_eq!(status[list]["x-kubernetes-list-type"], "map", "{list}");
        assert_eq!(
            status[list]["x-kubernetes-list-map-keys"],
            json!([key]),
            "{list}"
        );
        assert_eq!(status[list]["maxItems"], most, "{list}");
        assert_eq!(status[list]["items"]["x-kubernetes-map-type"], "atomic");
    }
}

#[test]
fn the_resource_is_named_as_documented() {
    let definition = definition();
    assert_eq!(
        definition["metadata"]["name"],
        "workloadidentitybindings.azwib.dev"
    );
    assert_eq!(
        definition["metadata"]["labels"]["app.kubernetes.io/name"],
        "azwib"
    );
    let spec = &definition["spec"];
    assert_eq!(spec["group"], "azwib.dev");
    assert_eq!(spec["scope"], "Namespaced");
    assert_eq!(spec["names"]["shortNames"], json!(["azwib"]));
    assert_eq!(spec["names"]["categories"], json!(["azure"]));
    assert_eq!(spec["versions"][0]["name"], "v1alpha1");
    assert_eq!(spec["versions"][0]["subresources"], json!({"status": {}}));
}

#[test]
fn columns_are_few_unless_more_are_asked_for() {
    let definition = definition();
    let columns = definition["spec"]["versions"][0]["additionalPrinterColumns"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let names = |wide: bool| -> Vec<&str> {
        let of_width = columns
            .iter()
            .filter(|column| (column["priority"].as_i64().unwrap_or(0) > 0) == wide);
        of_width
            .filter_map(|column| column["name"].as_str())
            .collect()
    };
    assert_eq!(
        names(false),
        ["Ready", "Reason", "Identity", "ServiceAccount", "Age"]
    );
    assert_eq!(names(true), ["Credential", "ResourceID", "Message"]);
}

#[test]
fn a_minimal_binding_is_read_with_the_defaults_that_the_schema_gives() {
    let binding: WorkloadIdentityBinding = serde_yaml_ng::from_str(
        "apiVersion: azwib.dev/v1alpha1
kind: WorkloadIdentityBinding
metadata: {name: orders, namespace: shop}
spec: {identity: {name: orders}}",
    )
    .unwrap();
    assert_eq!(binding.spec.identity.name.as_deref(), Some("orders"));
    assert_eq!(binding.spec.service_account.name, None);
    assert_eq!(
        binding.spec.service_account.token_expiration_seconds,
        DEFAULT_TOKEN_EXPIRATION_SECONDS
    );
    assert_eq!(binding.spec.credential.audience, DEFAULT_AUDIENCE);
    let account = &binding.spec.service_account;
    assert_eq!(account.role, ServiceAccountRole::Default);
    assert_eq!(account.creation, ServiceAccountCreation::Immediate);
    assert_eq!(binding.spec.deletion_policy, DeletionPolicy::Delete);
    assert!(!binding.spec.suspend);
    assert_eq!(binding.status, None);

    let root = root_schema();
    let spec = &root["properties"]["spec"]["properties"];
    assert_eq!(spec["serviceAccount"]["default"], json!({}));
    assert_eq!(spec["credential"]["default"], json!({}));
    assert_eq!(
        spec["serviceAccount"]["properties"]["tokenExpirationSeconds"]["default"],
        3600
    );
    assert_eq!(
        spec["credential"]["properties"]["audience"]["default"],
        "api://AzureADTokenExchange"
    );
    let account = &spec["serviceAccount"]["properties"];
    assert_eq!(account["role"]["default"], "Default");
    assert_eq!(account["creation"]["default"], "Immediate");
    assert_eq!(spec["deletionPolicy"]["default"], "Delete");
    assert_eq!(spec["suspend"]["default"], false);
}

#[test]
fn a_full_object_is_written_back_as_it_was_read() {
    let object = json!({
        "apiVersion": "azwib.dev/v1alpha1",
        "kind": "WorkloadIdentityBinding",
        "metadata": {"name": "orders", "namespace": "shop", "generation": 3},
        "spec": {
            "identity": {
                "name": "orders",
                "resourceGroup": "rg-shop",
                "subscriptionId": "00000000-0000-0000-0000-000000000000",
            },
            "serviceAccount": {
                "name": "orders",
                "role": "Additional",
                "creation": "WhenCredentialReady",
                "tokenExpirationSeconds": 86400,
            },
            "credential": {"audience": "openshift", "adoption": "Never"},
            "deletionPolicy": "Retain",
            "suspend": true,
        },
        "status": {
            "observedGeneration": 3,
            "identity": {"resourceId": "/subscriptions/…", "clientId": "c", "principalId": "p", "tenantId": "t"},
            "serviceAccount": {"name": "orders", "origin": "Adopted"},
            "credentials": [{
                "name": "azwib-shop-orders-0",
                "resourceId": "/subscriptions/…",
                "issuer": "https://oidc.example/",
                "subject": "system:serviceaccount:shop:orders",
                "audience": "openshift",
                "origin": "Pending",
            }],
            "conditions": [{
                "type": "Ready",
                "status": "False",
                "reason": "Creating",
                "message": "",
                "observedGeneration": 3,
                "lastTransitionTime": "2026-01-02T03:04:05Z",
            }],
        },
    });
    let binding: WorkloadIdentityBinding = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(serde_json::to_value(binding).unwrap(), object);
    // A later version records application identities, which have neither; what it stores is read, and kept as it is.
    let mut of_application = object;
    of_application["status"]["identity"] = json!({"clientId": "c", "tenantId": "t"});
    let credential = &mut of_application["status"]["credentials"][0];
    credential.as_object_mut().unwrap().remove("resourceId");
    credential["id"] = json!("00000000-0000-0000-0000-000000000001");
    let binding: WorkloadIdentityBinding = serde_json::from_value(of_application.clone()).unwrap();
    assert_eq!(serde_json::to_value(binding).unwrap(), of_application);
}
