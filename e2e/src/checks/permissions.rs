//! What the operator is given, against what it has used: each right in one line, `verb resource/subresource.group`.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde::Deserialize;

use crate::control_plane::permission;

/// A right that no audit log can show in use, and why the operator has it nevertheless.
#[derive(Debug, Clone, Copy)]
pub struct Unseen {
    pub permission: &'static str,
    pub reason: &'static str,
}

/// What is read of a Role or a ClusterRole.
#[derive(Deserialize)]
struct Rules {
    kind: String,
    #[serde(default)]
    rules: Vec<PolicyRule>,
}

/// Every right of the role, which names verbs and resources one by one.
///
/// # Errors
/// It is neither Role nor ClusterRole, or it says more than such a list can: a wildcard, the name of an object, a path.
pub fn granted(role: &str) -> anyhow::Result<BTreeSet<String>> {
    let role: Rules = serde_yaml_ng::from_str(role).context("reading the role")?;
    let is_role = ["Role", "ClusterRole"].contains(&&*role.kind);
    ensure!(is_role, "neither Role nor ClusterRole: {}", role.kind);
    let mut granted = BTreeSet::new();
    for rule in role.rules {
        let is_limited = rule.resource_names.is_some() || rule.non_resource_urls.is_some();
        ensure!(
            !is_limited,
            "neither names nor paths are known here: {rule:?}"
        );
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                let lines = rule.verbs.iter();
                granted.extend(lines.map(|verb| permission(verb, resource, group)));
            }
        }
    }
    let wildcard = granted.iter().find(|line| line.contains('*'));
    ensure!(wildcard.is_none(), "a wildcard: {wildcard:?}");
    Ok(granted)
}

/// Where the two differ, apart from what cannot be seen. An exception that excuses nothing is a difference too.
pub fn differences(
    granted: &BTreeSet<String>,
    used: &BTreeSet<String>,
    unseen: &[Unseen],
) -> Vec<String> {
    let excused: BTreeSet<_> = unseen.iter().map(|it| it.permission.to_owned()).collect();
    let unused: BTreeSet<_> = granted.difference(used).cloned().collect();
    let beyond = used.difference(granted);
    let idle = unused.difference(&excused);
    let stale = excused.difference(&unused);
    beyond
        .map(|it| format!("used without being granted: {it}"))
        .chain(idle.map(|it| format!("granted and used by no test: {it}")))
        .chain(stale.map(|it| format!("an exception that is none: {it}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: Unseen = Unseen {
        permission: "create serviceaccounts",
        reason: "made up",
    };

    fn set(lines: &[&str]) -> BTreeSet<String> {
        lines.iter().map(|&line| line.to_owned()).collect()
    }

    fn role(rules: &str) -> anyhow::Result<BTreeSet<String>> {
        granted(&format!(
            "{{ apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{}}, rules: [{rules}] }}"
        ))
    }

    #[test]
    fn what_is_granted_and_used_has_no_differences() {
        let granted = set(&["get namespaces", "create serviceaccounts"]);
        let used = set(&["get namespaces"]);
        assert!(differences(&granted, &used, &[CREATE]).is_empty());
    }

    #[test]
    fn every_other_pair_of_sets_is_a_difference() {
        let namespaces = set(&["get namespaces"]);
        let both = set(&["get namespaces", "create serviceaccounts"]);
        let none = set(&[]);
        for (granted, used, unseen, expected) in [
            (
                &none,
                &namespaces,
                &[][..],
                "used without being granted: get namespaces",
            ),
            (
                &namespaces,
                &none,
                &[],
                "granted and used by no test: get namespaces",
            ),
            (
                &both,
                &namespaces,
                &[],
                "granted and used by no test: create serviceaccounts",
            ),
            // What is excused is used after all, or is not granted any more.
            (
                &both,
                &both,
                &[CREATE],
                "an exception that is none: create serviceaccounts",
            ),
            (
                &namespaces,
                &namespaces,
                &[CREATE],
                "an exception that is none: create serviceaccounts",
            ),
        ] {
            assert_eq!(differences(granted, used, unseen), [expected]);
        }
    }

    #[test]
    fn an_exception_does_not_excuse_a_use_that_is_not_granted() {
        let used = set(&["create serviceaccounts"]);
        let differences = differences(&set(&[]), &used, &[CREATE]);
        assert!(
            differences[0].starts_with("used without"),
            "{differences:?}"
        );
    }

    #[test]
    fn a_role_is_read_to_its_last_verb() {
        let rules = "{ apiGroups: [azwib.dev], resources: [bindings, bindings/status], verbs: [get, patch] }, \
                     { apiGroups: [\"\"], resources: [namespaces], verbs: [get] }";
        assert_eq!(
            role(rules).unwrap(),
            set(&[
                "get bindings.azwib.dev",
                "get bindings/status.azwib.dev",
                "get namespaces",
                "patch bindings.azwib.dev",
                "patch bindings/status.azwib.dev",
            ])
        );
    }

    #[test]
    fn a_role_that_a_list_cannot_hold_is_refused() {
        for rule in [
            "{ apiGroups: [\"\"], resources: [namespaces], verbs: [\"*\"] }",
            "{ apiGroups: [\"\"], resources: [\"*\"], verbs: [get] }",
            "{ apiGroups: [\"\"], resources: [namespaces], resourceNames: [shop], verbs: [get] }",
            "{ nonResourceURLs: [/version], verbs: [get] }",
        ] {
            assert!(role(rule).is_err(), "{rule}");
        }
    }
}
