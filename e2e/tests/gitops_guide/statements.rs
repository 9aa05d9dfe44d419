//! Each statement of the guide about GitOps is run by a test, or says with which tool and version it was seen.

use std::fs;

use azwib_e2e::environment::repository;

use crate::guide;

/// The tools that ran against azwib, as the guide names them.
const TOOLS: [&str; 3] = [
    "Argo CD 3.2.11",
    "Flux's kustomize-controller 1.9.5",
    "Helm 4.3.1",
];
/// At the end of a statement, or in brackets within it.
const SEEN: &str = "een with ";

/// How a statement begins, the file of a test that runs it (below `e2e/tests`), and the test.
const SHOWN_BY: &[(&str, &str, &str)] = &[
    (
        "On an account that azwib made, it puts",
        "binding/account_changes.rs",
        "edits_of_a_created_account_are_put_back",
    ),
    (
        "| one of azwib's annotations is removed",
        "gitops_guide/edits_by_hand.rs",
        "an_annotation_that_a_hand_removes_is_put_back",
    ),
    (
        "| client id or tenant id is changed",
        "gitops_guide/edits_by_hand.rs",
        "a_client_id_that_a_hand_changes_stays_until_the_line_of_the_guide_lets_go",
    ),
    (
        "| client id or tenant id is changed",
        "gitops_guide/edits_by_hand.rs",
        "an_account_of_kubectl_apply_keeps_what_a_hand_changes_as_well",
    ),
    (
        "| the same, with kubectl,",
        "gitops_guide/edits_by_hand.rs",
        "flux_repairs_what_kubectl_changed_and_nobody_elses",
    ),
    (
        "| the same, with another program than kubectl,",
        "gitops_guide/edits_by_hand.rs",
        "flux_repairs_what_kubectl_changed_and_nobody_elses",
    ),
    (
        "| the lifetime of tokens is changed",
        "gitops_guide/edits_by_hand.rs",
        "a_lifetime_that_a_hand_changes_stays_and_is_mentioned",
    ),
    (
        "To let go of an annotation",
        "gitops_guide/edits_by_hand.rs",
        "a_client_id_that_a_hand_changes_stays_until_the_line_of_the_guide_lets_go",
    ),
    (
        "What stands here was tried.",
        "gitops_guide/statements.rs",
        "every_statement_is_run_by_a_test_or_was_seen_with_a_tool",
    ),
    (
        "**A sync can wait for a binding.**",
        "after_all/recorded.rs",
        "every_status_that_was_seen_reads_in_the_order_of_kstatus",
    ),
    (
        "**A new identity is a new binding.**",
        "gitops_guide/bindings.rs",
        "an_edit_to_another_identity_or_account_is_refused_to_every_tool",
    ),
    (
        "**What is applied onto a binding that is being deleted is lost.**",
        "gitops_guide/bindings.rs",
        "what_is_applied_onto_a_binding_that_is_going_goes_with_it",
    ),
    (
        "**A new binding with `suspend: true` holds every wait**",
        "gitops_guide/bindings.rs",
        "a_suspended_binding_holds_a_wait_only_where_it_was_never_ready",
    ),
    (
        "**Accounts that azwib made** carry no mark",
        "gitops_guide/accounts.rs",
        "an_account_carries_none_of_the_marks_of_its_binding",
    ),
    (
        "**Without a gap: `PruneLast=true`",
        "gitops_guide/bindings.rs",
        "a_renamed_binding_is_ready_beside_the_old_one_which_goes_last",
    ),
    (
        "**Never `Replace=true`",
        "gitops_guide/replacement.rs",
        "a_replacement_drops_finalizer_and_annotations_and_they_come_back",
    ),
    (
        "**Never `Replace=true`",
        "gitops_guide/replacement.rs",
        "a_binding_that_is_deleted_right_after_a_replacement_leaves_its_credential",
    ),
    (
        "**Never `Replace=true`",
        "admission/finalizer.rs",
        "an_editor_of_bindings_takes_the_finalizer_off_in_no_way",
    ),
    (
        "**`--wait` waits for bindings**",
        "config.rs",
        "editors_of_a_namespace_may_write_bindings_and_viewers_may_read_them",
    ),
    (
        "**To take an account that azwib made into a chart**",
        "gitops_guide/accounts.rs",
        "a_chart_takes_an_account_that_azwib_made_by_force_only",
    ),
];

/// The paragraphs, list items and table rows of these parts of the guide, each in one line and without the mark of a list.
fn statements() -> Vec<String> {
    let guide = guide();
    let part = |from: &str, to: &str| {
        let (_, rest) = guide.split_once(from).expect(from);
        rest.split_once(to).expect(to).0.to_owned()
    };
    let by_hand = part(
        "\n### Edits by hand\n",
        "\nTo see who owns which annotation",
    );
    let gitops = part("\n## GitOps\n", "\n## ");
    [by_hand, gitops]
        .iter()
        .flat_map(|part| blocks(part))
        .collect()
}

fn blocks(part: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let (mut in_code, mut begins) = (false, true);
    for line in part.lines().map(str::trim) {
        if line.starts_with("```") {
            in_code = !in_code;
        }
        if in_code || line.is_empty() || line.starts_with('#') || line.starts_with("```") {
            begins = true;
        } else if line.starts_with("|---") {
            // What stands above it is the head of a table.
            blocks.pop();
        } else if begins || line.starts_with("- ") || line.starts_with('|') {
            blocks.push(line.trim_start_matches("- ").to_owned());
            begins = false;
        } else if let Some(block) = blocks.last_mut() {
            block.push(' ');
            block.push_str(line);
        }
    }
    blocks
}

#[test]
fn every_statement_is_run_by_a_test_or_was_seen_with_a_tool() {
    for statement in statements() {
        let is_run = SHOWN_BY
            .iter()
            .any(|(beginning, ..)| statement.starts_with(beginning));
        let is_seen = statement.contains(SEEN);
        assert!(is_run || is_seen, "neither run nor seen: {statement}");
    }
}

#[test]
fn what_was_seen_names_a_tool_and_its_version() {
    let mut unnamed: Vec<&str> = TOOLS.to_vec();
    for statement in statements() {
        for after in statement.split(SEEN).skip(1) {
            let tool = TOOLS.iter().find(|tool| after.starts_with(**tool));
            assert!(tool.is_some(), "which tool: {statement}");
            unnamed.retain(|unnamed| Some(unnamed) != tool);
        }
    }
    assert!(unnamed.is_empty(), "{unnamed:?}");
}

#[test]
fn each_of_these_tests_and_statements_is_there() {
    let statements = statements();
    for (beginning, file, test) in SHOWN_BY {
        let stands = statements.iter().any(|it| it.starts_with(beginning));
        assert!(stands, "the guide says nothing that begins so: {beginning}");
        let source = fs::read_to_string(repository().join("e2e/tests").join(file)).unwrap();
        assert!(source.contains(&format!("fn {test}()")), "{file}: {test}");
    }
}
