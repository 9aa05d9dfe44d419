use super::*;

fn claimant(name: &str, seconds: i64, client_id: &str) -> Claimant {
    Claimant {
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

fn retained(name: &str, seconds: i64, client_id: &str) -> Claimant {
    Claimant {
        deletion_policy: DeletionPolicy::Retain,
        ..claimant(name, seconds, client_id)
    }
}

/// An account with these labels and annotations, and entries of managedFields as `manager/operation: [annotations]`.
fn account(yaml: &str) -> ExistingAccount {
    ExistingAccount::of(&serde_yaml_ng::from_str(yaml).unwrap())
}

/// What the API server shows once azwib has made an account for one binding.
const OURS: &str = r#"
    labels: {app.kubernetes.io/managed-by: azwib}
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
          f:labels: {"f:app.kubernetes.io/managed-by": {}}
          f:annotations:
            "f:azure.workload.identity/client-id": {}
            "f:azure.workload.identity/tenant-id": {}
            "f:azure.workload.identity/service-account-token-expiration": {}
          f:ownerReferences: {'k:{"uid":"uid-a"}': {}}
"#;

#[test]
fn an_account_that_is_missing_will_be_ours_and_is_tied_to_its_binding() {
    let wanted = configuration(&[claimant("a", 1, "client-a")], None);
    assert_eq!(wanted.origin, ServiceAccountOrigin::Created);
    assert!(wanted.force());
    assert_eq!(wanted.labels[MANAGED_BY], "azwib");
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
    let claimants = [claimant("a", 1, "client-a")];
    assert!(configuration(&claimants, Some(&meta)).is_in_place(&meta));
}

#[test]
fn every_kind_of_drift_on_our_account_needs_a_write() {
    let claimants = [claimant("a", 1, "client-a")];
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
            !configuration(&claimants, Some(&meta)).is_in_place(&meta),
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
        let wanted = configuration(&[claimant("a", 1, "client-a")], Some(&meta));
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
    let claimants = [claimant("b", 2, "client-b"), claimant("a", 1, "client-a")];
    assert_eq!(holder(&claimants, None).unwrap().name, "a");
    let carried = account(&OURS.replace("client-a", "client-b"));
    assert_eq!(holder(&claimants, Some(&carried)).unwrap().name, "b");
    let by_somebody_else = account("{annotations: {azure.workload.identity/client-id: client-b}}");
    assert_eq!(
        holder(&claimants, Some(&by_somebody_else)).unwrap().name,
        "a"
    );
    let same_age = [claimant("z", 1, "client-z"), claimant("a", 1, "client-a")];
    assert_eq!(holder(&same_age, None).unwrap().name, "a");
    assert!(holder(&[], None).is_none());
}

#[test]
fn one_retain_among_the_bindings_leaves_no_owner() {
    let all_delete = [claimant("a", 1, "client-a"), claimant("b", 2, "client-a")];
    assert_eq!(configuration(&all_delete, None).owner_references.len(), 2);
    let one_retain = [claimant("a", 1, "client-a"), retained("b", 2, "client-a")];
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
    let wanted = configuration(&[claimant("a", 1, "client-a")], Some(&meta));
    assert!(!wanted.annotations.contains_key(TOKEN_EXPIRATION));
    assert!(wanted.note.unwrap().contains("\"helm\""));
}

fn additional(name: &str, seconds: i64, client_id: &str) -> Claimant {
    Claimant {
        role: ServiceAccountRole::Additional,
        ..claimant(name, seconds, client_id)
    }
}

fn suspended(name: &str, seconds: i64, client_id: &str) -> Claimant {
    Claimant {
        suspended: true,
        ..claimant(name, seconds, client_id)
    }
}

#[test]
fn an_additional_identity_adds_no_annotations_but_owns_the_account_too() {
    let alone = configuration(&[additional("a", 1, "client-a")], None);
    assert!(alone.annotations.is_empty());
    assert_eq!(alone.owner_references.len(), 1);
    let claimants = [additional("a", 1, "client-a"), claimant("b", 2, "client-b")];
    assert_eq!(holder(&claimants, None).unwrap().name, "b");
    let both = configuration(&claimants, None);
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
    let leaving = claimant("a", 1, "client-a");
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
    assert_eq!(after.labels.len(), 1);
    assert!(after.owner_references.is_empty());
}

#[test]
fn a_binding_that_goes_leaves_the_account_to_those_that_remain() {
    let meta = account(OURS);
    let remaining = [claimant("b", 2, "client-b")];
    let after = configuration_after(&claimant("a", 1, "client-a"), &remaining, &meta);
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
        let wanted = configuration(&[claimant("a", 1, "client-a")], Some(&meta));
        assert_eq!(
            wanted.conflict(&meta),
            Some((CLIENT_ID, "helm")),
            "{operation}"
        );
        let same = kept("client-a", operation);
        let wanted = configuration(&[claimant("a", 1, "client-a")], Some(&same));
        assert_eq!(wanted.conflict(&same), None, "the same value is shared");
    }
    let ours = account(&OURS.replacen("client-id: client-a", "client-id: client-x", 1));
    let wanted = configuration(&[claimant("a", 1, "client-a")], Some(&ours));
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
    let wanted = configuration_after(&claimant("a", 1, "client-a"), &others, &account(OURS));
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
    let claimants = [claimant("a", 1, "client-a")];
    let existing = account(&taken);
    let wanted = configuration(&claimants, Some(&existing));
    assert_eq!(wanted.conflict(&existing), Some((CLIENT_ID, "platform")));
    let given_up = wanted.given_up(&existing).unwrap();
    assert!(!given_up.force());
    assert!(given_up.labels.is_empty() && given_up.owner_references.is_empty());
    let left: Vec<_> = given_up.annotations.keys().copied().collect();
    assert_eq!(left, [TOKEN_EXPIRATION, TENANT_ID]);

    let label = "f:labels: {\"f:app.kubernetes.io/managed-by\": {}}";
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
