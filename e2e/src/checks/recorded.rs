//! The checks over the records of a whole run. Without records they fail: a check of nothing proves nothing.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, ensure};

use super::kstatus::{Kstatus, breaches, kstatus};
use super::permissions::{Unseen, differences, granted};
use super::secrets::SecretSearch;
use crate::environment::recorder::{Decision, Records, SeenBinding};
use crate::environment::repository;

/// Rights that no audit log shows in use.
const UNSEEN: [Unseen; 1] = [Unseen {
    permission: "create serviceaccounts",
    reason: "an apply that makes an account is authorized as patch and as create, and logged as patch",
}];

/// What everybody who is signed in may read, by the role `system:discovery` of each cluster, and every ServiceAccount by
/// `system:service-account-issuer-discovery`.
const OF_EVERYBODY: [&str; 6] = [
    "get /apis/azwib.dev/v1alpha1",
    "get /openapi/v3/apis/azwib.dev/v1alpha1",
    "get /version",
    "get /apis",
    "get /.well-known/openid-configuration",
    "get /openid/v1/jwks",
];

/// No log of the operator contains a secret of its environment.
///
/// # Errors
/// One does: with the place. Or there are no logs at trace level, or an environment with logs has no secrets.
pub fn no_log_contains_a_secret(environments: &[Records]) -> anyhow::Result<()> {
    let mut traces = 0;
    let mut found = Vec::new();
    for records in environments {
        let logs = records.operator_logs()?;
        if logs.is_empty() {
            continue;
        }
        let secrets = records.secrets().context("no secrets are recorded")?;
        let search = SecretSearch::of(secrets.iter().map(String::as_str));
        ensure!(!search.is_empty(), "no secrets are recorded");
        for path in logs {
            let log = fs::read(&path)?;
            let log = String::from_utf8_lossy(&log);
            traces += usize::from(log.contains("TRACE"));
            let findings = search.findings(&log).into_iter();
            found.extend(findings.map(|finding| format!("{}: {finding}", path.display())));
        }
    }
    ensure!(traces > 0, "no log at trace level is recorded");
    ensure!(
        found.is_empty(),
        "secrets are logged:\n{}",
        found.join("\n")
    );
    Ok(())
}

/// Every status of every binding keeps the contract of [`super::kstatus`].
///
/// # Errors
/// One does not: with what it breaks. Or no binding was seen on its way and at its end.
pub fn every_status_keeps_the_contract(environments: &[Records]) -> anyhow::Result<()> {
    let mut found = Vec::new();
    let (mut on_its_way, mut done) = (false, false);
    for records in environments {
        let seen = records.bindings()?;
        on_its_way |= seen.iter().any(|it| reads_as(it, Kstatus::InProgress));
        done |= seen.iter().any(|it| reads_as(it, Kstatus::Current));
        found.extend(breaches(&seen));
    }
    ensure!(
        on_its_way && done,
        "no binding was seen on its way and done"
    );
    ensure!(found.is_empty(), "broken statuses:\n{}", found.join("\n"));
    Ok(())
}

/// Every reason of the reference was in a condition of some binding.
///
/// # Errors
/// No test has brought one about.
pub fn every_reason_was_seen(environments: &[Records]) -> anyhow::Result<()> {
    let reference = repository().join("docs/reference/conditions.md");
    let listed = listed_reasons(&fs::read_to_string(reference)?)?;
    let mut missing = listed;
    for records in environments {
        for seen in records.bindings()? {
            let conditions = seen.status["conditions"].as_array();
            let reasons = conditions.into_iter().flatten();
            for reason in reasons.filter_map(|it| it["reason"].as_str()) {
                missing.remove(reason);
            }
        }
    }
    let missing: Vec<_> = missing.into_iter().collect();
    ensure!(
        missing.is_empty(),
        "reasons that no test has brought about: {}",
        missing.join(", ")
    );
    Ok(())
}

/// The reasons in the first column of the table of reasons.
fn listed_reasons(reference: &str) -> anyhow::Result<BTreeSet<String>> {
    let table = reference.split_once("## Reasons").context("no reasons")?.1;
    let table = table.split_once("<!-- end of").context("no end")?.0;
    let rows = table.lines();
    let listed: BTreeSet<_> = rows
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    ensure!(!listed.is_empty(), "no reason is listed");
    Ok(listed)
}

/// What the operator used of the API server, over all environments, is what config/rbac gives it, both ways.
///
/// # Errors
/// There is a difference. Or the requests of an environment in which a binding was done were not recorded.
pub fn the_operator_used_what_it_is_given(environments: &[Records]) -> anyhow::Result<()> {
    let mut used = used(environments)?;
    used.retain(|it| !OF_EVERYBODY.contains(&it.as_str()));
    let found = differences(&given()?, &used, &UNSEEN);
    ensure!(
        found.is_empty(),
        "the operator's roles in config/rbac and what was used differ:\n{}",
        found.join("\n")
    );
    Ok(())
}

/// Authorization refused no request of the operator, in any environment. No test takes rights of config/rbac away, so
/// there is one exception: what the operator is given, once a test has restarted the API server, which knows no roles for
/// a moment when it starts.
///
/// # Errors
/// It refused one. Or nothing was recorded.
pub fn the_operator_was_forbidden_nothing(environments: &[Records]) -> anyhow::Result<()> {
    ensure!(!used(environments)?.is_empty(), "no request is recorded");
    let given = given()?;
    let mut found = Vec::new();
    for records in environments {
        let requests = records.requests()?.into_iter();
        let forbidden = requests.filter(|it| match it.decision {
            Decision::Allowed => false,
            Decision::Forbidden => true,
            Decision::ForbiddenAfterRestart => {
                !given.contains(&it.permission) && !OF_EVERYBODY.contains(&it.permission.as_str())
            }
        });
        found.extend(forbidden.map(|it| format!("{}: {}", records.name(), it.permission)));
    }
    ensure!(found.is_empty(), "forbidden:\n{}", found.join("\n"));
    Ok(())
}

fn given() -> anyhow::Result<BTreeSet<String>> {
    let mut given = BTreeSet::new();
    for role in ["role.yaml", "leader_election_role.yaml"] {
        let file = repository().join("config/rbac").join(role);
        given.extend(granted(&fs::read_to_string(file)?)?);
    }
    Ok(given)
}

fn used(environments: &[Records]) -> anyhow::Result<BTreeSet<String>> {
    let mut used = BTreeSet::new();
    for records in environments {
        let requests = records.requests()?;
        let mut bindings = records.bindings()?.into_iter();
        ensure!(
            !requests.is_empty() || !bindings.any(|it| reads_as(&it, Kstatus::Current)),
            "{}: a binding was done, and no request is recorded",
            records.name()
        );
        let allowed = requests
            .into_iter()
            .filter(|it| it.decision == Decision::Allowed);
        used.extend(allowed.map(|it| it.permission));
    }
    Ok(used)
}

fn reads_as(seen: &SeenBinding, expected: Kstatus) -> bool {
    serde_json::from_value(seen.status.clone())
        .is_ok_and(|status| kstatus(seen, &status) == expected)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJvcmRlcnMifQ.c2lnbmF0dXJl";

    /// Records in a folder of their own, with these logs and secrets.
    fn records(logs: &[&str], secrets: &[&str]) -> (tempfile::TempDir, Records) {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::at(folder.path().to_owned());
        for log in logs {
            fs::write(records.operator_log(), log).unwrap();
        }
        for secret in secrets {
            records.note_secret(secret).unwrap();
        }
        (folder, records)
    }

    fn refusal(logs: &[&str], secrets: &[&str]) -> String {
        let (_folder, records) = records(logs, secrets);
        let outcome = no_log_contains_a_secret(&[records]);
        outcome.map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_log_with_a_secret_is_named_and_one_without_passes() {
        assert_eq!(refusal(&["TRACE all is well"], &[TOKEN]), "");
        let leak = "TRACE authorization: Bearer eyJzdWIiOiJvcmRlcnMifQ";
        let refusal = refusal(&["TRACE all is well", leak], &[TOKEN]);
        assert!(refusal.contains(".log: line 1: eyJzdWIi…"), "{refusal}");
    }

    #[test]
    fn traces_with_a_secret_are_named() {
        let (_folder, records) = records(&["TRACE all is well"], &[TOKEN]);
        fs::write(records.traces(), b"\x0a\xff\x16eyJzdWIiOiJvcmRlcnMifQ\x12").unwrap();
        let refusal = no_log_contains_a_secret(&[records])
            .unwrap_err()
            .to_string();
        assert!(refusal.contains(".otlp: line 2: eyJzdWIi…"), "{refusal}");
    }

    #[test]
    fn a_search_of_nothing_or_for_nothing_fails() {
        assert!(no_log_contains_a_secret(&[]).is_err());
        assert!(refusal(&[], &[TOKEN]).contains("no log at trace level"));
        assert!(refusal(&["INFO azwib starts"], &[TOKEN]).contains("no log at trace level"));
        assert!(refusal(&["TRACE"], &[]).contains("no secrets"));
        assert!(refusal(&["TRACE"], &["short"]).contains("no secrets"));
    }

    #[test]
    fn a_check_of_no_statuses_fails() {
        assert!(every_status_keeps_the_contract(&[]).is_err());
        let (folder, records) = records(&[], &[]);
        let write = |status: serde_json::Value| {
            let seen = json!({
                "namespace": "shop", "name": "orders", "uid": "1", "generation": 1, "terminating": false,
                "status": status,
            });
            fs::write(folder.path().join("bindings.jsonl"), format!("{seen}\n")).unwrap();
        };
        write(json!({ "observedGeneration": -1 }));
        let refusal = every_status_keeps_the_contract(std::slice::from_ref(&records));
        assert!(refusal.unwrap_err().to_string().contains("was seen"));
        write(json!({ "observedGeneration": 1 }));
        let seen = records.bindings().unwrap();
        assert!(!breaches(&seen).is_empty());
    }

    #[test]
    fn a_reason_that_no_binding_showed_is_named() {
        let error = every_reason_was_seen(&[]).unwrap_err().to_string();
        assert!(error.contains("Succeeded, "), "{error}");
        let (folder, records) = records(&[], &[]);
        let condition = json!({ "type": "Ready", "reason": "Succeeded" });
        let seen = json!({
            "namespace": "shop", "name": "orders", "uid": "1", "generation": 1, "terminating": false,
            "status": { "conditions": [condition] },
        });
        fs::write(folder.path().join("bindings.jsonl"), format!("{seen}\n")).unwrap();
        let error = every_reason_was_seen(&[records]).unwrap_err().to_string();
        assert!(error.contains("Propagating"), "{error}");
        assert!(!error.contains("Succeeded"), "{error}");
    }

    /// Records of these requests, and of no binding.
    fn records_of_requests(requests: &[(&str, Decision)]) -> (tempfile::TempDir, Records) {
        let (folder, records) = records(&[], &[]);
        let lines = requests.iter().map(|(permission, decision)| {
            let line = json!({ "permission": permission, "decision": decision });
            format!("{line}\n")
        });
        fs::write(
            folder.path().join("requests.jsonl"),
            lines.collect::<String>(),
        )
        .unwrap();
        fs::write(folder.path().join("bindings.jsonl"), "").unwrap();
        (folder, records)
    }

    #[test]
    fn uses_are_taken_together_over_all_environments_and_a_refused_one_is_none() {
        let (_one, one) = records_of_requests(&[("get namespaces", Decision::Allowed)]);
        let (_other, other) = records_of_requests(&[
            ("list pods", Decision::Allowed),
            ("get secrets", Decision::Forbidden),
        ]);
        let environments = [one, other];
        let used = used(&environments).unwrap();
        assert_eq!(
            used.iter().collect::<Vec<_>>(),
            ["get namespaces", "list pods"]
        );
        let refusal = the_operator_used_what_it_is_given(&environments).unwrap_err();
        let refusal = refusal.to_string();
        for expected in [
            "used without being granted: list pods",
            "granted and used by no test: patch workloadidentitybindings.azwib.dev",
        ] {
            assert!(refusal.contains(expected), "{refusal}");
        }
        assert!(!refusal.contains("get namespaces"), "{refusal}");
    }

    #[test]
    fn a_run_that_used_all_of_config_rbac_passes_and_one_without_requests_fails() {
        let mut all = given().unwrap();
        for unseen in UNSEEN {
            assert!(all.remove(unseen.permission));
        }
        all.extend(OF_EVERYBODY.map(str::to_owned));
        let allowed: Vec<_> = all.iter().map(|it| (&**it, Decision::Allowed)).collect();
        let (_folder, records) = records_of_requests(&allowed);
        the_operator_used_what_it_is_given(&[records]).unwrap();
        assert!(the_operator_used_what_it_is_given(&[]).is_err());
    }

    #[test]
    fn a_forbidden_request_is_named_and_a_run_without_requests_fails() {
        let allowed = ("get namespaces", Decision::Allowed);
        let (_folder, fine) = records_of_requests(&[allowed]);
        the_operator_was_forbidden_nothing(std::slice::from_ref(&fine)).unwrap();
        let (_folder, refused) =
            records_of_requests(&[allowed, ("get namespaces", Decision::Forbidden)]);
        let error = the_operator_was_forbidden_nothing(&[fine, refused.clone()]).unwrap_err();
        let expected = format!("forbidden:\n{}: get namespaces", refused.name());
        assert_eq!(error.to_string(), expected);
        assert!(the_operator_was_forbidden_nothing(&[]).is_err());
    }

    #[test]
    fn an_api_server_that_has_just_started_may_refuse_what_is_given_and_nothing_else() {
        let allowed = ("get namespaces", Decision::Allowed);
        let early = ["get namespaces", "get /.well-known/openid-configuration"];
        let early = early.map(|it| (it, Decision::ForbiddenAfterRestart));
        let (_folder, fine) = records_of_requests(&[allowed, early[0], early[1]]);
        the_operator_was_forbidden_nothing(&[fine]).unwrap();
        let beyond = ("get secrets", Decision::ForbiddenAfterRestart);
        let (_folder, refused) = records_of_requests(&[allowed, beyond]);
        let error = the_operator_was_forbidden_nothing(&[refused]).unwrap_err();
        assert!(error.to_string().ends_with(": get secrets"), "{error}");
    }

    #[test]
    fn an_environment_whose_requests_were_not_recorded_is_no_proof() {
        let (folder, records) = records_of_requests(&[]);
        assert!(used(std::slice::from_ref(&records)).unwrap().is_empty());
        let done = json!({
            "namespace": "shop", "name": "orders", "uid": "1", "generation": 1, "terminating": false,
            "status": { "observedGeneration": 1 },
        });
        fs::write(folder.path().join("bindings.jsonl"), format!("{done}\n")).unwrap();
        let error = used(&[records]).unwrap_err().to_string();
        assert!(error.contains("no request is recorded"), "{error}");
    }
}
