use azwib_crds::ResolvedIdentity;

use super::*;
use crate::binding::fixtures::binding;

/// A binding that goes, resolved or not, with this of its steps.
fn departing(suspended: bool, resolved: Option<bool>) -> DeletedBinding {
    let mut binding = binding("orders", 1, "");
    binding.spec.suspend = suspended;
    let status = binding.status.as_mut().unwrap();
    let id = crate::binding::fixtures::id("orders").to_string();
    status.identity = status
        .identity
        .take()
        .filter(|_| resolved == Some(true))
        .map(|identity| ResolvedIdentity {
            resource_id: Some(id),
            ..identity
        });
    if let Some(resolved) = resolved {
        let said = if resolved { "True" } else { "False" };
        status.conditions = serde_yaml_ng::from_str(&format!(
            "[{{type: IdentityResolved, status: '{said}', reason: r, message: m, lastTransitionTime: '2026-01-02T03:04:05Z'}}]"
        ))
        .unwrap();
    }
    DeletedBinding::from(&binding)
}

#[test]
fn what_may_have_been_lost_is_looked_for_and_what_was_never_there_is_not() {
    for (what, suspended, resolved, remembered, owns_account, expected) in [
        (
            "an older status of it",
            false,
            Some(true),
            false,
            false,
            true,
        ),
        ("its status was emptied", false, None, false, false, true),
        (
            "an identity that was never resolved",
            false,
            Some(false),
            false,
            false,
            false,
        ),
        (
            "an older status, and the account knows better",
            false,
            Some(false),
            false,
            true,
            true,
        ),
        (
            "an older status, and the operator knows better",
            false,
            Some(false),
            true,
            false,
            true,
        ),
        (
            "suspended before it made anything",
            true,
            Some(true),
            false,
            false,
            false,
        ),
        (
            "suspended, and its status was emptied",
            true,
            None,
            false,
            false,
            false,
        ),
        (
            "suspended, and the account knows that it was resolved",
            true,
            None,
            false,
            true,
            true,
        ),
        (
            "suspended once it had made one",
            true,
            Some(true),
            true,
            true,
            true,
        ),
    ] {
        let departing = departing(suspended, resolved);
        let found = may_be_lost(&departing, remembered, owns_account);
        assert_eq!(found, expected, "{what}");
    }
}
