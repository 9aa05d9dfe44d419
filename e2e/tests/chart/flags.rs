//! Each flag of the operator can be set by a value.

use std::collections::BTreeSet;
use std::fs;

use azwib_e2e::environment::repository;

use crate::values::rows;

/// Flags without a value, each with the reason.
const WITHOUT_VALUE: [(&str, &str); 2] = [
    (
        "AZWIB_SERVICE_ACCOUNT_TOKEN_FILE",
        "in a pod it is the pod's own token",
    ),
    (
        "AZWIB_LEADER_ELECTION_NAMESPACE",
        "in a pod it is the pod's own namespace, where the Role is",
    ),
];

/// The variables of all flags, from the table of the reference, which a test keeps to the code.
fn variables() -> BTreeSet<String> {
    let page = fs::read_to_string(repository().join("docs/reference/flags.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `--"));
    rows.map(|row| row.split('`').nth(3).unwrap().to_owned())
        .collect()
}

#[test]
fn each_flag_is_set_by_a_value() {
    let variables = variables();
    assert!(variables.len() > 30, "{variables:?}");
    let changes: Vec<String> = rows().iter().flat_map(|row| row.changes.clone()).collect();
    let is_set = |variable: &str| {
        let in_settings = format!("+ ConfigMap settings: data/{variable} = ");
        let in_pod = format!("/name = \"{variable}\"");
        // The webhook makes the variable of the annotation.
        let annotation = variable
            .replace("AZURE_", "")
            .replace('_', "-")
            .to_lowercase();
        let by_webhook = format!("azure.workload.identity/{annotation} = ");
        changes.iter().any(|it| {
            it.starts_with(&in_settings) || it.ends_with(&in_pod) || it.contains(&by_webhook)
        })
    };
    let without = variables.iter().map(String::as_str);
    let without: BTreeSet<_> = without.filter(|it| !is_set(it)).collect();
    let expected: BTreeSet<_> = WITHOUT_VALUE
        .iter()
        .map(|(variable, _)| *variable)
        .collect();
    assert_eq!(without, expected);
}

#[test]
fn each_setting_of_the_chart_is_the_variable_of_a_flag() {
    let known = variables();
    for row in rows() {
        for change in row.changes {
            let Some((_, setting)) = change.split_once("ConfigMap settings: data/") else {
                continue;
            };
            let variable = setting.split(' ').next().unwrap();
            assert!(known.contains(variable), "{}: {variable}", row.value);
        }
    }
}
