//! The generated definition of `IdentityGrant`. What holds for every field of every resource is in `schema.rs`.
#![allow(clippy::unwrap_used)]

use azwib_crds::{IdentityGrant, IdentityGrantStatus, grant_crd};
use serde_json::{Value, json};

fn definition() -> Value {
    serde_json::to_value(grant_crd()).unwrap()
}

#[test]
fn the_resource_is_named_as_documented() {
    let definition = definition();
    assert_eq!(definition["metadata"]["name"], "identitygrants.azwib.dev");
    let spec = &definition["spec"];
    assert_eq!(spec["scope"], "Cluster");
    assert_eq!(spec["names"]["shortNames"], json!(["azgrant"]));
    assert_eq!(spec["names"]["categories"], json!(["azure"]));
    assert_eq!(spec["versions"][0]["name"], "v1alpha1");
    assert_eq!(spec["versions"][0]["subresources"], json!({"status": {}}));
}

#[test]
fn a_full_object_is_written_back_as_it_was_read() {
    let object = json!({
        "apiVersion": "azwib.dev/v1alpha1",
        "kind": "IdentityGrant",
        "metadata": {"name": "shop", "generation": 2},
        "spec": {
            "identities": [{"scope": "/subscriptions/00000000-0000-0000-0000-000000000000"}],
            "namespaces": {"names": ["shop"], "selector": {"matchLabels": {"team": "shop"}}},
            "serviceAccounts": {"names": ["orders", "orders-*"]},
            "maxCredentialsPerIdentity": 5,
            "allowRetain": true,
        },
        "status": {
            "observedGeneration": 2,
            "bindings": 7,
            "conditions": [{
                "type": "Ready",
                "status": "True",
                "reason": "Succeeded",
                "message": "",
                "observedGeneration": 2,
                "lastTransitionTime": "2026-01-02T03:04:05Z",
            }],
        },
    });
    let grant: IdentityGrant = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(serde_json::to_value(grant).unwrap(), object);
}

#[test]
fn a_minimal_grant_is_for_all_accounts_without_a_quota_and_without_retain() {
    let grant: IdentityGrant = serde_json::from_value(json!({
        "apiVersion": "azwib.dev/v1alpha1",
        "kind": "IdentityGrant",
        "metadata": {"name": "shop"},
        "spec": {
            "identities": [{"scope": "/subscriptions/00000000-0000-0000-0000-000000000000"}],
            "namespaces": {"names": ["shop"]},
        },
    }))
    .unwrap();
    assert_eq!(grant.spec.service_accounts, None);
    assert_eq!(grant.spec.max_credentials_per_identity, None);
    assert!(!grant.spec.allow_retain);
    assert_eq!(grant.status, None);
    assert_eq!(IdentityGrantStatus::default().observed_generation, -1);
}
