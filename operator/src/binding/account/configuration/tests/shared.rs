//! An account that several bindings share, and what is left when one of them goes.

use super::*;

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
