use super::*;
use crate::binding::account::Field;
use crate::binding::account::TRACKING_MARKS;
use k8s_openapi::jiff::Timestamp;

mod others;
mod shared;

fn account_binding(name: &str, seconds: i64, client_id: &str) -> AccountBinding {
    AccountBinding {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        created: Some(Timestamp::from_second(seconds).unwrap()),
        role: ServiceAccountRole::Default,
        suspended: false,
        client_id: client_id.to_owned(),
        tenant_id: "tenant".to_owned(),
        token_expiration_seconds: 3600,
        deletion_policy: DeletionPolicy::Delete,
    }
}

fn retained(name: &str, seconds: i64, client_id: &str) -> AccountBinding {
    AccountBinding {
        deletion_policy: DeletionPolicy::Retain,
        ..account_binding(name, seconds, client_id)
    }
}

/// An account with these labels and annotations, and entries of managedFields as `manager/operation: [annotations]`.
fn account(yaml: &str) -> ExistingAccount {
    ExistingAccount::of(&serde_yaml_ng::from_str(yaml).unwrap())
}

/// What the API server shows once azwib has made an account for one binding.
const OURS: &str = r#"
    labels: {app.kubernetes.io/managed-by: azwib, azwib.dev/origin: Created}
    annotations:
      azure.workload.identity/client-id: client-a
      azure.workload.identity/tenant-id: tenant
      azure.workload.identity/service-account-token-expiration: "3600"
    ownerReferences:
    - {apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, name: a, uid: uid-a}
    managedFields:
    - manager: azwib
      operation: Apply
      fieldsV1:
        f:metadata:
          f:labels: {"f:app.kubernetes.io/managed-by": {}, "f:azwib.dev/origin": {}}
          f:annotations:
            "f:azure.workload.identity/client-id": {}
            "f:azure.workload.identity/tenant-id": {}
            "f:azure.workload.identity/service-account-token-expiration": {}
          f:ownerReferences: {'k:{"uid":"uid-a"}': {}}
"#;

#[test]
fn an_account_that_is_missing_will_be_ours_and_is_tied_to_its_binding() {
    let wanted = configuration(&[account_binding("a", 1, "client-a")], None);
    assert_eq!(wanted.origin, ServiceAccountOrigin::Created);
    assert!(wanted.force());
    assert_eq!(wanted.labels[MANAGED_BY], "azwib");
    assert_eq!(wanted.labels[ORIGIN], "Created");
    assert_eq!(wanted.annotations[CLIENT_ID], "client-a");
    assert_eq!(wanted.annotations[TENANT_ID], "tenant");
    assert_eq!(wanted.annotations[TOKEN_EXPIRATION], "3600");
    assert_eq!(wanted.owner_references.len(), 1);
    assert_eq!(wanted.owner_references[0].uid, "uid-a");
    assert_eq!(wanted.owner_references[0].controller, None);
    assert_eq!(wanted.owner_references[0].block_owner_deletion, None);
}

#[test]
fn an_account_as_it_should_be_needs_no_write() {
    let meta = account(OURS);
    let account_bindings = [account_binding("a", 1, "client-a")];
    assert!(configuration(&account_bindings, Some(&meta)).is_in_place(&meta));
}

#[test]
fn every_kind_of_drift_on_our_account_needs_a_write() {
    let account_bindings = [account_binding("a", 1, "client-a")];
    for (from, to, what) in [
        (
            "client-id: client-a",
            "client-id: client-x",
            "another client id",
        ),
        (
            "      azure.workload.identity/tenant-id: tenant\n",
            "",
            "no tenant id",
        ),
        (
            "expiration: \"3600\"",
            "expiration: \"7200\"",
            "another lifetime",
        ),
        (
            "            \"f:azure.workload.identity/tenant-id\": {}\n",
            "",
            "a field that we do not own",
        ),
        (
            "            \"f:azure.workload.identity/tenant-id\": {}\n",
            "            \"f:azure.workload.identity/tenant-id\": {}\n            \"f:extra\": {}\n",
            "a field that we own too much",
        ),
        (
            "name: a, uid: uid-a}",
            "name: a, uid: uid-b}",
            "another owner",
        ),
    ] {
        let drifted = OURS.replacen(from, to, 1);
        assert_ne!(drifted, OURS, "{what}");
        let meta = account(&drifted);
        assert!(
            !configuration(&account_bindings, Some(&meta)).is_in_place(&meta),
            "{what}"
        );
    }
}

/// What an older version made: without the mark.
fn of_older_version() -> String {
    OURS.replacen(", azwib.dev/origin: Created", "", 1)
        .replacen(", \"f:azwib.dev/origin\": {}", "", 1)
}

#[test]
fn what_azwib_has_made_is_known_by_what_its_manager_owns_whatever_a_policy_makes_of_the_common_label()
 {
    let account_bindings = [account_binding("a", 1, "client-a")];
    let common = "f:labels: {\"f:app.kubernetes.io/managed-by\": {}";
    for (yaml, what) in [
        (OURS.to_owned(), "as it was made"),
        (
            OURS.replacen("managed-by: azwib", "managed-by: platform", 1),
            "a policy has changed the common label",
        ),
        (
            OURS.replacen("managed-by: azwib", "managed-by: platform", 1)
                .replacen(common, "f:labels: {\"f:x\": {}", 1)
                .replacen("\"f:x\": {}, ", "", 1),
            "somebody has taken the common label over by hand",
        ),
        (
            OURS.replacen("azwib.dev/origin: Created", "azwib.dev/origin: x", 1),
            "a policy has changed the mark",
        ),
    ] {
        let existing = account(&yaml);
        assert_eq!(
            origin(Some(&existing)),
            ServiceAccountOrigin::Created,
            "{what}"
        );
        let wanted = configuration(&account_bindings, Some(&existing));
        assert!(wanted.is_in_place(&existing), "{what}");
    }
}

#[test]
fn what_an_older_version_has_made_is_ours_and_gets_the_mark() {
    let account_bindings = [account_binding("a", 1, "client-a")];
    let without_label = of_older_version()
        .replacen("managed-by: azwib", "managed-by: platform", 1)
        .replacen(
            "f:labels: {\"f:app.kubernetes.io/managed-by\": {}}",
            "f:labels: {}",
            1,
        );
    for yaml in [
        of_older_version(),
        of_older_version().replacen("managed-by: azwib", "managed-by: platform", 1),
        // The reference to its binding shows it as well.
        without_label,
    ] {
        let existing = account(&yaml);
        assert_eq!(origin(Some(&existing)), ServiceAccountOrigin::Created);
        let wanted = configuration(&account_bindings, Some(&existing));
        assert_eq!(wanted.labels[ORIGIN], "Created");
        assert!(!wanted.is_in_place(&existing), "the mark is missing");
    }
}

#[test]
fn what_came_back_is_compared_with_what_was_asked_for() {
    let account_bindings = [account_binding("a", 1, "client-a")];
    let asked = configuration(&account_bindings, Some(&account(OURS)));
    for (from, to, field, found) in [
        (
            "client-id: client-a",
            "client-id: client-x",
            CLIENT_ID,
            Some("client-x"),
        ),
        (
            "      azure.workload.identity/tenant-id: tenant\n",
            "",
            TENANT_ID,
            None,
        ),
        (
            "expiration: \"3600\"",
            "expiration: \"7200\"",
            TOKEN_EXPIRATION,
            Some("7200"),
        ),
    ] {
        let answer = account(&OURS.replacen(from, to, 1));
        let found_there: Vec<_> = asked.differences(&answer).collect();
        let [difference] = &*found_there else {
            panic!("{found_there:?}");
        };
        assert_eq!(difference.field, Field::Annotation(field));
        assert_eq!(difference.found.as_deref(), found);
    }
    let stripped = account(&OURS.replacen("name: a, uid: uid-a}", "name: a, uid: uid-x}", 1));
    let difference = asked.differences(&stripped).next().unwrap();
    assert_eq!(difference.field, Field::Owner("a".to_owned()));
    // Nobody depends on the values of labels.
    let labelled = account(&OURS.replacen("managed-by: azwib", "managed-by: platform", 1));
    assert_eq!(asked.differences(&labelled).next(), None);
    assert_eq!(asked.differences(&account(OURS)).next(), None);
}
