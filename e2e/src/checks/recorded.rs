//! The checks over the records of a whole run. Without records they fail: a check of nothing proves nothing.

use std::fs;

use anyhow::{Context, ensure};

use super::kstatus::{Kstatus, breaches, kstatus};
use super::secrets::SecretSearch;
use crate::environment::recorder::{Records, SeenBinding};

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
}
