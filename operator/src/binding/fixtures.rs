//! Bindings for tests.

use azwib_crds::{Issuer, ManagedIdentityId, WorkloadIdentityBinding};

use super::validate::Defaults;

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";

pub(super) fn defaults() -> Defaults {
    Defaults {
        issuer: Issuer::parse("https://oidc.example/").unwrap(),
        unknown_issuer: None,
        subscription: Some(SUBSCRIPTION.to_owned()),
        resource_group: Some("rg".to_owned()),
    }
}

pub(super) fn id(name: &str) -> ManagedIdentityId {
    ManagedIdentityId::new(SUBSCRIPTION, "rg", name).unwrap()
}

/// A binding of the identity `orders`, made at this second.
pub(super) fn binding(name: &str, second: u8, more: &str) -> WorkloadIdentityBinding {
    serde_yaml_ng::from_str(&format!(
        "{{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {{name: {name}, namespace: shop, \
         uid: uid-{name}, creationTimestamp: '2026-01-02T03:04:{second:02}Z'{more}}}, spec: {{identity: {{name: orders}}}}, \
         status: {{observedGeneration: 1, identity: {{resourceId: r, clientId: client-{name}, principalId: p, tenantId: t}}}}}}"
    ))
    .unwrap()
}

/// To be put behind the other metadata.
pub(super) const DELETED: &str = ", deletionTimestamp: '2026-01-02T04:00:00Z'";
