//! An account that somebody else has made, keeps or changes.

use super::*;

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

#[test]
fn marks_that_our_manager_does_not_own_prove_nothing() {
    let existing = account(&OURS.replacen("manager: azwib", "manager: velero-server", 1));
    let adopted = origin(Some(&existing));
    assert_eq!(adopted, ServiceAccountOrigin::Adopted);
    let updated = account(&OURS.replacen("operation: Apply", "operation: Update", 1));
    assert_eq!(origin(Some(&updated)), ServiceAccountOrigin::Adopted);
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
