use super::*;
use crate::binding::fixtures::{DELETED, binding, defaults, id};

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
