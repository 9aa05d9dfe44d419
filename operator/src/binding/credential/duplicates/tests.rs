use super::*;
use crate::binding::fixtures::{DELETED, binding, defaults, id};

/// What a binding of this generation says of itself.
fn says(
    mut binding: WorkloadIdentityBinding,
    (ready, reason): (&str, &str),
    (credential, reason_of_credential): (&str, &str),
) -> WorkloadIdentityBinding {
    binding.metadata.generation = Some(1);
    let condition = |type_: &str, status: &str, reason: &str| {
        serde_json::from_value(serde_json::json!({
            "type": type_, "status": status, "reason": reason, "message": "m",
            "lastTransitionTime": "2026-01-02T03:05:06Z",
        }))
        .unwrap()
    };
    binding.status.as_mut().unwrap().conditions = vec![
        condition("Ready", ready, reason),
        condition("CredentialReady", credential, reason_of_credential),
    ];
    binding
}

const GOOD: (&str, &str) = ("True", "InPlace");

fn ready(binding: WorkloadIdentityBinding) -> WorkloadIdentityBinding {
    says(binding, ("True", "Succeeded"), GOOD)
}

fn provided(binding: WorkloadIdentityBinding) -> WorkloadIdentityBinding {
    let reason = ("True", "ProvidedByOlderBinding");
    says(binding, reason, reason)
}

fn is_ready(stands: &OlderState) -> bool {
    matches!(stands, OlderState::Ready { .. })
}

#[test]
fn the_oldest_of_those_with_the_same_identity_is_the_applicant() {
    let (a, b, c) = (
        binding("a", 2, ""),
        binding("b", 2, ""),
        binding("c", 1, ""),
    );
    let all = [a.clone(), b.clone(), c.clone()];
    let older = |of: &WorkloadIdentityBinding, all: &[WorkloadIdentityBinding]| {
        older_duplicate(of, &id("orders"), all, &defaults()).map(|older| older.name)
    };
    assert_eq!(older(&a, &all).as_deref(), Some("c"));
    assert_eq!(older(&b, &all).as_deref(), Some("c"));
    assert_eq!(older(&c, &all), None);
    // Of those of the same second, names decide.
    let pair = [a.clone(), b.clone()];
    assert_eq!(older(&a, &pair), None);
    assert_eq!(older(&b, &pair).as_deref(), Some("a"));
    // Of three, the next one counts once the oldest is going.
    let going = [a.clone(), b.clone(), binding("c", 1, DELETED)];
    assert_eq!(older(&b, &going).as_deref(), Some("a"));
    assert_eq!(older(&a, &going), None);
}

#[test]
fn neither_a_deleted_binding_nor_one_of_another_identity_is_a_duplicate() {
    let orders = id("orders");
    let is_duplicate = |other: &WorkloadIdentityBinding, identity: &ManagedIdentityId| {
        is_living_duplicate(other, Some("uid-b"), identity, &defaults())
    };
    assert!(is_duplicate(&binding("a", 1, ""), &orders));
    assert!(!is_duplicate(&binding("a", 1, DELETED), &orders));
    assert!(!is_duplicate(&binding("a", 1, ""), &id("stock")));
    assert!(!is_duplicate(&binding("b", 1, ""), &orders), "it is itself");
    // Azure compares ids without case.
    assert!(is_duplicate(&binding("a", 1, ""), &id("ORDERS")));
}

#[test]
fn what_reaches_account_or_credential_has_to_be_the_same_and_nothing_else() {
    let younger = binding("b", 2, "");
    type Change = fn(&mut WorkloadIdentityBindingSpec);
    let others: [(Change, &str); 4] = [
        (
            |spec| spec.credential.audience = "api://x".to_owned(),
            "spec.credential.audience is api://x there and api://AzureADTokenExchange here",
        ),
        (
            |spec| spec.credential.adoption = azwib_crds::CredentialAdoption::Never,
            "spec.credential.adoption is Never there and IfIdentical here",
        ),
        (
            |spec| spec.service_account.role = azwib_crds::ServiceAccountRole::Additional,
            "spec.serviceAccount.role is Additional there and Default here",
        ),
        (
            |spec| spec.service_account.token_expiration_seconds = 7200,
            "spec.serviceAccount.tokenExpirationSeconds is 7200 there and 3600 here",
        ),
    ];
    for (change, expected) in others {
        let mut older = ready(binding("a", 1, ""));
        change(&mut older.spec);
        assert_eq!(
            stands(&older, &younger),
            OlderState::ForAnother(expected.to_owned())
        );
    }
    let same: [Change; 4] = [
        |spec| spec.deletion_policy = azwib_crds::DeletionPolicy::Retain,
        |spec| spec.suspend = true,
        |spec| {
            spec.service_account.creation = azwib_crds::ServiceAccountCreation::WhenCredentialReady;
        },
        |spec| spec.service_account.name = Some("a".to_owned()),
    ];
    for change in same {
        let mut older = ready(binding("a", 1, ""));
        change(&mut older.spec);
        assert!(is_ready(&stands(&older, &younger)));
    }
}

#[test]
fn an_older_duplicate_that_is_not_ready_is_named_with_its_reason() {
    let younger = binding("b", 2, "");
    let refused = says(
        binding("a", 1, ""),
        ("False", "PolicyDenied"),
        ("False", "PolicyDenied"),
    );
    assert_eq!(
        stands(&refused, &younger),
        OlderState::Unready(Some(Reason::PolicyDenied))
    );
    let suspended = says(
        binding("a", 1, ""),
        ("False", "Suspended"),
        ("Unknown", "Pending"),
    );
    assert_eq!(
        stands(&suspended, &younger),
        OlderState::Unready(Some(Reason::Suspended))
    );
    // Whoever can write a status may write what is no reason of ours.
    let strange = says(
        binding("a", 1, ""),
        ("False", "Whatever"),
        ("False", "Whatever"),
    );
    assert_eq!(stands(&strange, &younger), OlderState::Unready(None));
    let mut new = binding("a", 1, "");
    new.status = None;
    assert_eq!(stands(&new, &younger), OlderState::Unready(None));
}

#[test]
fn a_spec_that_was_not_looked_at_gives_nothing_and_takes_nothing_away() {
    let mut changed = ready(binding("a", 1, ""));
    changed.metadata.generation = Some(2);
    let new = binding("b", 2, "");
    assert_eq!(stands(&changed, &new), OlderState::Unready(None));
    assert!(is_ready(&stands(&changed, &provided(new.clone()))));
    // Somebody else has taken off a condition, or all of the status.
    let mut robbed = ready(binding("a", 1, ""));
    if let Some(status) = &mut robbed.status {
        status.conditions.retain(|it| it.type_ == "Ready");
    }
    let mut without = ready(binding("a", 1, ""));
    without.status = None;
    let strange = says(
        binding("a", 1, ""),
        ("False", "Whatever"),
        ("False", "Whatever"),
    );
    for older in [robbed, without, strange] {
        assert_eq!(stands(&older, &new), OlderState::Unready(None));
        assert!(is_ready(&stands(&older, &provided(new.clone()))));
    }
}

#[test]
fn a_duplicate_that_is_provided_itself_provides() {
    // The oldest of three is gone, and the next one has not said so yet.
    let next = provided(binding("a", 1, ""));
    assert!(is_ready(&stands(&next, &binding("b", 2, ""))));
}

#[test]
fn younger_duplicates_are_told_what_matters_to_them() {
    let told = |before: &WorkloadIdentityBinding, after: &WorkloadIdentityBinding| {
        super::says(before.status.as_ref()) != super::says(after.status.as_ref())
    };
    let a = || binding("a", 1, "");
    let good = ready(a());
    let denied = says(a(), ("False", "PolicyDenied"), ("False", "PolicyDenied"));
    let locked = says(a(), ("False", "ScopeLocked"), ("False", "ScopeLocked"));
    assert!(told(&a(), &good), "its first status");
    assert!(told(&good, &denied));
    assert!(told(&denied, &good));
    assert!(told(&denied, &locked), "its reason is named");
    let mut observed = good.clone();
    observed.status.as_mut().unwrap().observed_generation = 2;
    assert!(told(&good, &observed), "a new spec was looked at");
    let mut words = denied.clone();
    words.status.as_mut().unwrap().conditions[0].message = "other words".to_owned();
    assert!(!told(&denied, &words));
    assert!(!told(&good, &provided(a())), "it is Ready all the same");
}
