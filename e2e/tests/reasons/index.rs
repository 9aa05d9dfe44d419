//! Which test shows which reason with its message: file below `e2e/tests/`, and the test.

use std::collections::BTreeSet;
use std::fs;

use azwib_e2e::environment::repository;

/// Each line is held to the test that it names, and all of them to the reference of conditions.
const SHOWN_BY: &[(&str, &str, &str)] = &[
    (
        "Succeeded",
        "reasons/on_the_way.rs",
        "each_step_on_the_way_is_told",
    ),
    (
        "Pending",
        "reasons/on_the_way.rs",
        "a_step_that_is_not_reached_is_pending",
    ),
    (
        "Propagating",
        "reasons/on_the_way.rs",
        "each_step_on_the_way_is_told",
    ),
    (
        "GrantsNotRequired",
        "reasons/on_the_way.rs",
        "each_step_on_the_way_is_told",
    ),
    (
        "IssuerConfigured",
        "reasons/on_the_way.rs",
        "each_step_on_the_way_is_told",
    ),
    (
        "Resolved",
        "reasons/on_the_way.rs",
        "each_step_on_the_way_is_told",
    ),
    (
        "Applied",
        "reasons/on_the_way.rs",
        "each_step_on_the_way_is_told",
    ),
    (
        "InPlace",
        "reasons/on_the_way.rs",
        "each_step_on_the_way_is_told",
    ),
    (
        "Creating",
        "reasons/on_the_way.rs",
        "each_step_on_the_way_is_told",
    ),
    (
        "InvalidSpec",
        "unreadable.rs",
        "a_binding_that_cannot_be_read_is_told_so_and_disturbs_no_other",
    ),
    (
        "IdentityInvalid",
        "binding/unresolved.rs",
        "a_name_without_a_default_is_invalid_and_names_the_flag",
    ),
    (
        "IdentityNotFound",
        "binding/unresolved.rs",
        "an_identity_that_is_made_later_is_found",
    ),
    (
        "AuthorizationFailed",
        "binding/permission.rs",
        "without_permission_to_read_the_identity_nothing_is_made_until_it_is_granted",
    ),
    (
        "AuthorizationFailed",
        "reasons/credential_refused.rs",
        "a_missing_permission_to_write_is_named",
    ),
    (
        "AzureAuthenticationFailed",
        "sign_in.rs",
        "an_operator_that_azure_does_not_trust_says_so_until_its_credential_is_created",
    ),
    (
        "AzureUnavailable",
        "azure_outage/out_of_reach.rs",
        "a_binding_made_while_azure_is_down_says_so_and_becomes_ready_afterwards",
    ),
    (
        "ServiceAccountConflict",
        "binding/adopted_account.rs",
        "another_managers_client_id_is_a_conflict_that_names_it_and_heals_when_it_goes",
    ),
    (
        "ServiceAccountConflict",
        "binding/shared_account.rs",
        "of_two_identities_on_one_account_the_younger_waits_for_the_account",
    ),
    (
        "ServiceAccountRefused",
        "reasons/service_account.rs",
        "a_quota_without_room_for_an_account_is_named",
    ),
    (
        "ServiceAccountRefused",
        "reasons/refusals.rs",
        "a_webhook_that_nobody_answers_for_is_named_and_a_cleanup_that_it_holds_up_is_let_go",
    ),
    (
        "ServiceAccountLimitReached",
        "binding/shared_account.rs",
        "of_very_many_bindings_of_an_account_the_oldest_hundred_are_served",
    ),
    (
        "BindingRefused",
        "reasons/refusals.rs",
        "a_policy_that_refuses_the_finalizer_is_named_until_it_is_lifted",
    ),
    (
        "CleanedUp",
        "reasons/refusals.rs",
        "a_binding_whose_finalizer_may_not_go_says_that_the_rest_is_cleaned_up",
    ),
    (
        "NamespaceTerminating",
        "reasons/service_account.rs",
        "an_account_that_goes_with_its_namespace_is_not_made_again",
    ),
    (
        "WaitingForTurn",
        "lost_writes.rs",
        "a_write_lost_before_its_effect_is_not_sent_again_before_the_settle_time",
    ),
    (
        "Throttled",
        "reasons/credential_refused.rs",
        "throttled_writes_are_waited_for",
    ),
    (
        "CredentialLimitReached",
        "binding/slots.rs",
        "the_twenty_first_credential_is_not_written_until_one_of_the_others_goes",
    ),
    (
        "CredentialExists",
        "binding/slots.rs",
        "our_issuer_and_subject_under_another_name_are_named_and_left",
    ),
    (
        "DuplicateBinding",
        "binding/duplicates.rs",
        "a_duplicate_that_asks_for_something_else_says_what_and_takes_over",
    ),
    (
        "ProvidedByOlderBinding",
        "binding/duplicates.rs",
        "a_new_binding_for_the_same_is_ready_beside_the_old_one_and_stays_so_when_that_goes",
    ),
    (
        "RegionNotSupported",
        "reasons/credential_refused.rs",
        "a_region_without_federated_credentials_is_named",
    ),
    (
        "PolicyDenied",
        "reasons/credential_refused.rs",
        "a_policy_that_denies_credentials_is_named",
    ),
    (
        "ScopeLocked",
        "reasons/credential_refused.rs",
        "a_lock_on_the_identity_is_named",
    ),
    (
        "AzureConflict",
        "reasons/credential_refused.rs",
        "a_conflict_in_azure_is_told_as_one_and_does_not_stall_at_once",
    ),
    (
        "RequestRefused",
        "reasons/credential_refused.rs",
        "a_refusal_of_another_kind_is_passed_on",
    ),
    (
        "IdentityChanged",
        "restarts.rs",
        "another_default_moves_no_binding_and_the_old_one_finds_everything_in_place",
    ),
    (
        "IssuerChanged",
        "restarts.rs",
        "another_issuer_moves_no_credential_and_the_old_one_finds_everything_in_place",
    ),
    (
        "WaitingForCredential",
        "binding/when_credential_ready.rs",
        "the_account_is_made_once_the_credential_had_its_propagation_time",
    ),
    (
        "Suspended",
        "binding/suspension.rs",
        "a_binding_that_is_suspended_from_the_start_says_so_and_makes_nothing",
    ),
];

#[test]
fn each_of_these_tests_is_there_and_its_file_names_the_reason() {
    for (reason, file, test) in SHOWN_BY {
        let path = repository().join("e2e/tests").join(file);
        let source = fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"));
        for part in [format!("async fn {test}()"), format!("\"{reason}\"")] {
            assert!(source.contains(&part), "{file} lacks {part}");
        }
    }
}

#[test]
fn every_reason_of_the_reference_is_shown_by_a_test() {
    let reference = repository().join("docs/reference/conditions.md");
    let reference = fs::read_to_string(reference).unwrap();
    let (_, reasons) = reference.split_once("## Reasons").unwrap();
    let (reasons, _) = reasons.split_once("<!-- end of").unwrap();
    let listed: BTreeSet<_> = reasons
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let shown: BTreeSet<_> = SHOWN_BY.iter().map(|(reason, ..)| *reason).collect();
    assert_eq!(shown, listed);
}
