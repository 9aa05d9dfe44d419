use super::*;
use crate::binding::account::Field;
use crate::binding::account::TRACKING_MARKS;
use k8s_openapi::jiff::Timestamp;

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

#[test]
fn an_account_without_our_label_is_adopted_without_force_label_or_owner() {
    for meta in [
        account("{}"),
        // The label alone proves nothing: anybody can write it.
        account("{labels: {app.kubernetes.io/managed-by: azwib}}"),
    ] {
        let wanted = configuration(&[account_binding("a", 1, "client-a")], Some(&meta));
        assert_eq!(wanted.origin, ServiceAccountOrigin::Adopted);
        assert!(!wanted.force());
        assert!(wanted.labels.is_empty());
        assert!(wanted.owner_references.is_empty());
        assert_eq!(wanted.annotations.len(), 3);
    }
}

#[test]
fn an_account_that_a_tool_tracks_is_kept_elsewhere_even_with_our_label() {
    for mark in TRACKING_MARKS {
        let labelled = OURS.replacen("labels: {", &format!("labels: {{{mark}: x, "), 1);
        assert_eq!(
            origin(Some(&account(&labelled))),
            ServiceAccountOrigin::Adopted,
            "label {mark}"
        );
        let annotated = OURS.replacen(
            "annotations:\n",
            &format!("annotations:\n      {mark}: x\n"),
            1,
        );
        assert_eq!(
            origin(Some(&account(&annotated))),
            ServiceAccountOrigin::Adopted,
            "annotation {mark}"
        );
    }
}

#[test]
fn an_annotation_that_another_manager_applies_makes_the_account_kept_elsewhere() {
    let entry = |operation: &str| {
        format!(
            "{OURS}    - manager: flux\n      operation: {operation}\n      fieldsV1: {{\"f:metadata\": \
             {{\"f:annotations\": {{\"f:azure.workload.identity/client-id\": {{}}}}}}}}\n"
        )
    };
    assert_eq!(
        origin(Some(&account(&entry("Apply")))),
        ServiceAccountOrigin::Adopted
    );
    assert_eq!(
        origin(Some(&account(&entry("Update")))),
        ServiceAccountOrigin::Created,
        "a hand edit is drift, not ownership"
    );
}

#[test]
fn the_oldest_binding_holds_the_account_unless_it_carries_anothers_client_id_under_our_manager() {
    let account_bindings = [
        account_binding("b", 2, "client-b"),
        account_binding("a", 1, "client-a"),
    ];
    assert_eq!(default_binding(&account_bindings, None).unwrap().name, "a");
    let carried = account(&OURS.replace("client-a", "client-b"));
    assert_eq!(
        default_binding(&account_bindings, Some(&carried))
            .unwrap()
            .name,
        "b"
    );
    let by_somebody_else = account("{annotations: {azure.workload.identity/client-id: client-b}}");
    assert_eq!(
        default_binding(&account_bindings, Some(&by_somebody_else))
            .unwrap()
            .name,
        "a"
    );
    let same_age = [
        account_binding("z", 1, "client-z"),
        account_binding("a", 1, "client-a"),
    ];
    assert_eq!(default_binding(&same_age, None).unwrap().name, "a");
    assert!(default_binding(&[], None).is_none());
}

#[test]
fn one_retain_among_the_bindings_leaves_no_owner() {
    let all_delete = [
        account_binding("a", 1, "client-a"),
        account_binding("b", 2, "client-a"),
    ];
    assert_eq!(configuration(&all_delete, None).owner_references.len(), 2);
    let one_retain = [
        account_binding("a", 1, "client-a"),
        retained("b", 2, "client-a"),
    ];
    assert!(configuration(&one_retain, None).owner_references.is_empty());
}

#[test]
fn a_token_lifetime_of_another_manager_is_left_on_an_adopted_account() {
    let meta = account(
        r#"
        annotations: {azure.workload.identity/service-account-token-expiration: "7200"}
        managedFields:
        - manager: helm
          operation: Update
          fieldsV1: {"f:metadata": {"f:annotations": {"f:azure.workload.identity/service-account-token-expiration": {}}}}
        "#,
    );
    let wanted = configuration(&[account_binding("a", 1, "client-a")], Some(&meta));
    assert!(!wanted.annotations.contains_key(TOKEN_EXPIRATION));
    assert!(wanted.note.unwrap().contains("\"helm\""));
}

fn additional(name: &str, seconds: i64, client_id: &str) -> AccountBinding {
    AccountBinding {
        role: ServiceAccountRole::Additional,
        ..account_binding(name, seconds, client_id)
    }
}

fn suspended(name: &str, seconds: i64, client_id: &str) -> AccountBinding {
    AccountBinding {
        suspended: true,
        ..account_binding(name, seconds, client_id)
    }
}

#[test]
fn an_additional_identity_adds_no_annotations_but_owns_the_account_too() {
    let alone = configuration(&[additional("a", 1, "client-a")], None);
    assert!(alone.annotations.is_empty());
    assert_eq!(alone.owner_references.len(), 1);
    let account_bindings = [
        additional("a", 1, "client-a"),
        account_binding("b", 2, "client-b"),
    ];
    assert_eq!(default_binding(&account_bindings, None).unwrap().name, "b");
    let both = configuration(&account_bindings, None);
    assert_eq!(both.annotations[CLIENT_ID], "client-b");
    assert_eq!(both.owner_references.len(), 2);
}

#[test]
fn the_annotations_of_a_suspended_holder_stay_exactly_as_they_are() {
    let drifted = account(&OURS.replacen("\"3600\"", "\"7200\"", 1));
    let wanted = configuration(&[suspended("a", 1, "client-a")], Some(&drifted));
    assert_eq!(wanted.annotations[TOKEN_EXPIRATION], "7200");
    assert!(wanted.is_in_place(&drifted));
    // What somebody else has taken meanwhile is not taken back.
    let taken = account(&OURS.replacen(
        "            \"f:azure.workload.identity/tenant-id\": {}\n",
        "",
        1,
    ));
    let wanted = configuration(&[suspended("a", 1, "client-a")], Some(&taken));
    assert!(!wanted.annotations.contains_key(TENANT_ID));
    assert!(
        configuration(&[suspended("a", 1, "client-a")], None)
            .annotations
            .is_empty()
    );
}

#[test]
fn the_last_binding_leaves_an_account_of_ours_to_the_garbage_collector_and_strips_an_adopted_one() {
    let leaving = account_binding("a", 1, "client-a");
    let ours = configuration_after(&leaving, &[], &account(OURS));
    assert!(ours.annotations.is_empty());
    assert_eq!(ours.owner_references.len(), 1, "its owner takes it along");
    let adopted = configuration_after(&leaving, &[], &account("{}"));
    assert!(
        adopted.annotations.is_empty()
            && adopted.labels.is_empty()
            && adopted.owner_references.is_empty()
    );
}

#[test]
fn the_last_binding_with_retain_leaves_everything_but_the_tie() {
    let after = configuration_after(&retained("a", 1, "client-a"), &[], &account(OURS));
    assert_eq!(after.annotations.len(), 3);
    assert_eq!(after.labels.len(), 2);
    assert!(after.owner_references.is_empty());
}

#[test]
fn a_binding_that_goes_leaves_the_account_to_those_that_remain() {
    let meta = account(OURS);
    let remaining = [account_binding("b", 2, "client-b")];
    let after = configuration_after(&account_binding("a", 1, "client-a"), &remaining, &meta);
    assert_eq!(after.annotations[CLIENT_ID], "client-b");
    assert_eq!(after.owner_references.len(), 1);
    assert_eq!(after.owner_references[0].name, "b");
}

#[test]
fn a_retained_identity_stays_on_the_account_when_only_additional_ones_remain() {
    let meta = account(OURS);
    let remaining = [additional("b", 2, "client-b")];
    let after = configuration_after(&retained("a", 1, "client-a"), &remaining, &meta);
    assert_eq!(after.annotations[CLIENT_ID], "client-a");
    assert!(after.owner_references.is_empty());
}

#[test]
fn another_managers_client_id_on_an_adopted_account_is_a_conflict_before_anything_is_tried() {
    let kept = |value: &str, operation: &str| {
        account(&format!(
            "{{annotations: {{azure.workload.identity/client-id: {value}}}, managedFields: [{{manager: helm, operation: \
             {operation}, fieldsV1: {{'f:metadata': {{'f:annotations': {{'f:azure.workload.identity/client-id': {{}}}}}}}}}}]}}"
        ))
    };
    for operation in ["Apply", "Update"] {
        let meta = kept("client-x", operation);
        let wanted = configuration(&[account_binding("a", 1, "client-a")], Some(&meta));
        assert_eq!(
            wanted.conflict(&meta),
            Some((CLIENT_ID, "helm")),
            "{operation}"
        );
        let same = kept("client-a", operation);
        let wanted = configuration(&[account_binding("a", 1, "client-a")], Some(&same));
        assert_eq!(wanted.conflict(&same), None, "the same value is shared");
    }
    let ours = account(&OURS.replacen("client-id: client-a", "client-id: client-x", 1));
    let wanted = configuration(&[account_binding("a", 1, "client-a")], Some(&ours));
    assert_eq!(
        wanted.conflict(&ours),
        None,
        "our own account is applied by force"
    );
}

#[test]
fn annotations_of_an_identity_that_is_gone_and_retained_stay_under_additional_ones() {
    let existing = account(OURS);
    let others = [additional("b", 2, "client-b")];
    let wanted = configuration(&others, Some(&existing));
    assert_eq!(wanted.annotations[CLIENT_ID], "client-a");
    assert_eq!(wanted.annotations[TENANT_ID], "tenant");
    // A binding that has become Additional is not gone.
    let demoted = [additional("a", 1, "client-a")];
    let wanted = configuration(&demoted, Some(&existing));
    assert!(wanted.annotations.is_empty());
}

#[test]
fn with_its_holder_the_annotations_go_though_additional_ones_remain() {
    let others = [additional("b", 2, "client-b")];
    let wanted = configuration_after(
        &account_binding("a", 1, "client-a"),
        &others,
        &account(OURS),
    );
    assert!(wanted.annotations.is_empty());
    assert_eq!(wanted.owner_references[0].uid, "uid-b");
    // What an additional binding that goes finds there is not its own.
    let wanted = configuration_after(&additional("c", 3, "client-c"), &others, &account(OURS));
    assert_eq!(wanted.annotations[CLIENT_ID], "client-a");
}

#[test]
fn an_account_that_another_manager_takes_over_is_given_up_but_for_what_we_still_hold() {
    let ours = "            \"f:azure.workload.identity/client-id\": {}\n";
    let theirs = "    - {manager: platform, operation: Apply, fieldsV1: {f:metadata: {f:annotations: \
                  {\"f:azure.workload.identity/client-id\": {}}}}}\n";
    let taken = OURS
        .replacen("client-id: client-a", "client-id: client-x", 1)
        .replacen(ours, "", 1)
        + theirs;
    let account_bindings = [account_binding("a", 1, "client-a")];
    let existing = account(&taken);
    let wanted = configuration(&account_bindings, Some(&existing));
    assert_eq!(wanted.conflict(&existing), Some((CLIENT_ID, "platform")));
    let given_up = wanted.given_up(&existing).unwrap();
    assert!(!given_up.force());
    assert!(given_up.labels.is_empty() && given_up.owner_references.is_empty());
    let left: Vec<_> = given_up.annotations.keys().copied().collect();
    assert_eq!(left, [TOKEN_EXPIRATION, TENANT_ID]);

    let label = "f:labels: {\"f:app.kubernetes.io/managed-by\": {}, \"f:azwib.dev/origin\": {}}";
    let reference = "f:ownerReferences: {'k:{\"uid\":\"uid-a\"}': {}}";
    let without =
        taken
            .replacen(label, "f:labels: {}", 1)
            .replacen(reference, "f:ownerReferences: {}", 1);
    assert_eq!(
        wanted.given_up(&account(&without)),
        None,
        "nothing is left to give up"
    );
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
fn marks_that_our_manager_does_not_own_prove_nothing() {
    let existing = account(&OURS.replacen("manager: azwib", "manager: velero-server", 1));
    let adopted = origin(Some(&existing));
    assert_eq!(adopted, ServiceAccountOrigin::Adopted);
    let updated = account(&OURS.replacen("operation: Apply", "operation: Update", 1));
    assert_eq!(origin(Some(&updated)), ServiceAccountOrigin::Adopted);
}

#[test]
fn a_reference_that_was_taken_off_is_not_put_on_again_for_a_binding_that_goes() {
    let leaving = account_binding("a", 1, "client-a");
    let reference = "    ownerReferences:\n    - {apiVersion: azwib.dev/v1alpha1, kind: \
                     WorkloadIdentityBinding, name: a, uid: uid-a}\n";
    let orphaned = OURS.replacen(reference, "", 1).replacen(
        "f:ownerReferences: {'k:{\"uid\":\"uid-a\"}': {}}",
        "f:ownerReferences: {}",
        1,
    );
    assert!(!orphaned.contains("uid-a"), "{orphaned}");
    let existing = account(&orphaned);
    let after = configuration_after(&leaving, &[], &existing);
    assert_eq!(after.owner_references, []);
    assert_eq!(after.new_owners, Vec::<String>::new());
    let why = why_left(&leaving, false, &after, &existing).unwrap();
    assert!(why.contains("--cascade=orphan"), "{why}");
    // A live binding refers to it again, once it is certain that it is one.
    let live = configuration(std::slice::from_ref(&leaving), Some(&existing));
    assert_eq!(live.new_owners, ["a"]);
}

#[test]
fn bindings_that_go_together_take_their_account_along() {
    let both = OURS
        .replacen(
            "name: a, uid: uid-a}\n",
            "name: a, uid: uid-a}\n    - {apiVersion: azwib.dev/v1alpha1, kind: \
             WorkloadIdentityBinding, name: b, uid: uid-b}\n",
            1,
        )
        .replacen(
            "'k:{\"uid\":\"uid-a\"}': {}",
            "'k:{\"uid\":\"uid-a\"}': {}, 'k:{\"uid\":\"uid-b\"}': {}",
            1,
        );
    let existing = account(&both);
    let after = configuration_after(&account_binding("a", 1, "client-a"), &[], &existing);
    let uids: Vec<_> = after.owner_references.iter().map(|it| &*it.uid).collect();
    assert_eq!(uids, ["uid-a", "uid-b"]);
    let why = why_left(
        &account_binding("a", 1, "client-a"),
        false,
        &after,
        &existing,
    );
    assert_eq!(why, None);
}

#[test]
fn an_account_that_is_left_is_left_for_a_reason() {
    let leaving = account_binding("a", 1, "client-a");
    let kept = format!(
        "{OURS}    - {{manager: gitops, operation: Apply, fieldsV1: {{f:metadata: {{f:labels: {{f:team: {{}}}}}}}}}}\n"
    );
    let tracked = OURS.replacen(
        "labels: {",
        "labels: {kustomize.toolkit.fluxcd.io/name: x, ",
        1,
    );
    let owned = OURS.replacen(
        "    ownerReferences:\n",
        "    ownerReferences:\n    - {apiVersion: v1, kind: ConfigMap, name: other, uid: u}\n",
        1,
    );
    for (leaving, is_orphaned, yaml, why) in [
        (&leaving, false, OURS, None),
        (&retained("a", 1, "client-a"), false, OURS, Some("Retain")),
        (&leaving, false, &kept, Some("\"gitops\" applies it")),
        (
            &leaving,
            false,
            &tracked,
            Some("kustomize.toolkit.fluxcd.io/name"),
        ),
        (&leaving, false, "{}", Some("did not make it")),
        (&leaving, true, OURS, Some("--cascade=orphan")),
        (
            &leaving,
            false,
            &owned,
            Some("another owner, ConfigMap other"),
        ),
    ] {
        let existing = account(yaml);
        let after = configuration_after(leaving, &[], &existing);
        let said = why_left(leaving, is_orphaned, &after, &existing);
        match (&said, why) {
            (None, None) => {}
            (Some(said), Some(why)) => assert!(said.contains(why), "{said}"),
            _ => panic!("{said:?}, and not {why:?}"),
        }
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

#[test]
fn what_was_changed_is_told_with_who_has_done_it() {
    let account_bindings = [account_binding("a", 1, "client-a")];
    let edited = OURS
        .replacen("client-id: client-a", "client-id: client-x", 1)
        .replacen(
            "            \"f:azure.workload.identity/client-id\": {}\n",
            "",
            1,
        )
        + "    - {manager: kubectl-edit, operation: Update, fieldsV1: {f:metadata: {f:annotations: \
           {\"f:azure.workload.identity/client-id\": {}}}}}\n";
    let existing = account(&edited);
    let wanted = configuration(&account_bindings, Some(&existing));
    let drift = wanted.drift(Some(&existing));
    assert_eq!(drift.field, Field::Annotation(CLIENT_ID));
    assert_eq!(drift.by.as_deref(), Some("kubectl-edit"));
    let removed =
        account(&OURS.replacen("      azure.workload.identity/tenant-id: tenant\n", "", 1));
    let drift = wanted.drift(Some(&removed));
    assert_eq!(
        (drift.field, drift.by),
        (Field::Annotation(TENANT_ID), None)
    );
    assert_eq!(wanted.drift(None).field, Field::Account);
}
