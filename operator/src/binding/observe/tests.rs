use azwib_crds::Issuer;

use super::*;
use crate::binding::validate::validate;

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";

fn defaults() -> Defaults {
    Defaults {
        issuer: Issuer::parse("https://oidc.example/").unwrap(),
        subscription: Some(SUBSCRIPTION.to_owned()),
        resource_group: Some("rg".to_owned()),
    }
}

fn id(name: &str) -> ManagedIdentityId {
    ManagedIdentityId::new(SUBSCRIPTION, "rg", name).unwrap()
}

/// A binding of the identity `orders`, made at this second.
fn binding(name: &str, second: u8, more: &str) -> WorkloadIdentityBinding {
    serde_yaml_ng::from_str(&format!(
        "{{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {{name: {name}, namespace: shop, \
         uid: uid-{name}, creationTimestamp: '2026-01-02T03:04:{second:02}Z'{more}}}, spec: {{identity: {{name: orders}}}}, \
         status: {{observedGeneration: 1, identity: {{resourceId: r, clientId: client-{name}, principalId: p, tenantId: t}}}}}}"
    ))
    .unwrap()
}

const DELETED: &str = ", deletionTimestamp: '2026-01-02T04:00:00Z'";

#[test]
fn a_binding_counts_once_its_identity_was_resolved_and_until_it_is_deleted() {
    assert!(claimant(&binding("a", 1, "")).is_some());
    assert!(claimant(&binding("a", 1, DELETED)).is_none());
    let mut unresolved = binding("a", 1, "");
    unresolved.status.as_mut().unwrap().identity = None;
    assert!(claimant(&unresolved).is_none());
    unresolved.status = None;
    assert!(claimant(&unresolved).is_none());
}

#[test]
fn a_binding_counts_with_what_was_just_read_and_its_siblings_with_what_they_recorded() {
    let a = binding("a", 1, "");
    let siblings = [a.clone(), binding("b", 2, ""), binding("c", 3, DELETED)];
    let read = ResolvedIdentity {
        client_id: "client-new".to_owned(),
        ..a.status.clone().unwrap().identity.unwrap()
    };
    let counted = claimants(&a, &read, &siblings);
    let mut client_ids: Vec<_> = counted.iter().map(|it| it.client_id.as_str()).collect();
    client_ids.sort_unstable();
    assert_eq!(client_ids, ["client-b", "client-new"]);
}

#[test]
fn the_oldest_of_those_with_the_same_identity_makes_the_claim() {
    let (a, b, c) = (
        binding("a", 2, ""),
        binding("b", 2, ""),
        binding("c", 1, ""),
    );
    let all = [a.clone(), b.clone(), c.clone()];
    let older = |of: &WorkloadIdentityBinding| older_twin(of, &id("orders"), &all, &defaults());
    assert_eq!(older(&a).as_deref(), Some("c"));
    assert_eq!(older(&b).as_deref(), Some("c"));
    assert_eq!(older(&c), None);
    // Of those of the same second, names decide.
    let pair = [a.clone(), b.clone()];
    let older = |of: &WorkloadIdentityBinding| older_twin(of, &id("orders"), &pair, &defaults());
    assert_eq!(older(&a), None);
    assert_eq!(older(&b).as_deref(), Some("a"));
}

#[test]
fn neither_a_deleted_binding_nor_one_of_another_identity_is_a_twin() {
    let orders = id("orders");
    let twin = |sibling: &WorkloadIdentityBinding, identity: &ManagedIdentityId| {
        is_live_twin(sibling, Some("uid-b"), identity, &defaults())
    };
    assert!(twin(&binding("a", 1, ""), &orders));
    assert!(!twin(&binding("a", 1, DELETED), &orders));
    assert!(!twin(&binding("a", 1, ""), &id("stock")));
    assert!(!twin(&binding("b", 1, ""), &orders), "it is itself");
    // Azure compares ids without case.
    assert!(twin(&binding("a", 1, ""), &id("ORDERS")));
}

/// When the credential of [`recorded`] was acknowledged.
const ACKNOWLEDGED: &str = "2026-01-02T03:05:00Z";

/// A binding whose status records its own credential.
fn recorded(origin: &str, ready: &str) -> (WorkloadIdentityBinding, Desired) {
    let mut binding = binding("a", 1, "");
    let new = WorkloadIdentityBinding {
        status: None,
        ..binding.clone()
    };
    let desired = validate(&new, &defaults()).unwrap();
    let status = binding.status.as_mut().unwrap();
    status.credentials = serde_yaml_ng::from_str(&format!(
        "[{{name: {}, resourceId: r, issuer: i, subject: s, audience: before, origin: {origin}}}]",
        desired.claim.name
    ))
    .unwrap();
    status.conditions = serde_yaml_ng::from_str(&format!(
        "[{{type: CredentialReady, status: '{ready}', reason: r, message: m, lastTransitionTime: '{ACKNOWLEDGED}'}}]"
    ))
    .unwrap();
    (binding, desired)
}

#[test]
fn what_status_says_to_be_in_place_was_acknowledged_when_it_came_to_say_so() {
    let acknowledged = |origin, ready, client_id: &str, now: &str| {
        let (binding, desired) = recorded(origin, ready);
        let identity = ResolvedIdentity {
            client_id: client_id.to_owned(),
            ..binding.status.clone().unwrap().identity.unwrap()
        };
        let found = acknowledged(&binding, &desired, &identity, now.parse().unwrap());
        found.map(|(credential, ago)| (content_of(credential).audiences, ago.as_secs()))
    };
    let now = "2026-01-02T03:05:07Z";
    // What was written counts, also where the spec has changed since.
    let written = vec!["before".to_owned()];
    assert_eq!(
        acknowledged("Created", "True", "client-a", now),
        Some((written.clone(), 7))
    );
    assert_eq!(
        acknowledged("Created", "True", "client-a", "2026-01-02T03:04:00Z"),
        Some((written, 0)),
        "clocks differ"
    );
    assert_eq!(acknowledged("Created", "False", "client-a", now), None);
    assert_eq!(acknowledged("Pending", "False", "client-a", now), None);
    assert_eq!(acknowledged("Adopted", "True", "client-a", now), None);
    assert_eq!(
        acknowledged("Created", "True", "client-new", now),
        None,
        "it went with the identity"
    );
}
