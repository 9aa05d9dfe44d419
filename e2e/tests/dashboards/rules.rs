//! The alerts, by promtool.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use azwib_e2e::assets;
use serde_json::Value;

use crate::{ALERTS, file};

const CASES: &str = "e2e/tests/dashboards/alerts_test.yaml";

fn promtool(args: &[&str]) -> anyhow::Result<String> {
    let [promtool, _] = assets::prometheus()?;
    let output = Command::new(promtool)
        .args(args)
        .current_dir(file("."))
        .output()?;
    let said = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
    anyhow::ensure!(output.status.success(), "{said}");
    Ok(said)
}

#[test]
fn promtool_finds_nothing_wrong_with_the_alerts() -> anyhow::Result<()> {
    let said = promtool(&["check", "rules", "--lint=all", "--lint-fatal", ALERTS])?;
    assert!(said.contains("SUCCESS"), "{said}");
    Ok(())
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() -> anyhow::Result<()> {
    promtool(&["test", "rules", CASES])?;
    let alerts: Value = serde_yaml_ng::from_str(&fs::read_to_string(file(ALERTS))?)?;
    let named = |list: &Value, key: &str| -> BTreeSet<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|it| it[key].as_str().unwrap().to_owned())
            .collect()
    };
    let alerts = named(&alerts["groups"][0]["rules"], "alert");
    let cases: Value = serde_yaml_ng::from_str(&fs::read_to_string(file(CASES))?)?;
    let (mut fire, mut stay_quiet) = (BTreeSet::new(), BTreeSet::new());
    for case in cases["tests"].as_array().unwrap() {
        for tried in case["alert_rule_test"].as_array().unwrap() {
            let name = tried["alertname"].as_str().unwrap().to_owned();
            let fires = tried["exp_alerts"]
                .as_array()
                .is_some_and(|it| !it.is_empty());
            let seen = if fires { &mut fire } else { &mut stay_quiet };
            seen.insert(name);
        }
    }
    assert_eq!(fire, alerts, "each fires in a case");
    assert_eq!(stay_quiet, alerts, "each does not in another");
    Ok(())
}

#[test]
fn a_case_that_is_wrong_is_noticed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(file("e2e/tests/dashboards"))?;
    let cases = fs::read_to_string(file(CASES))?;
    let wrong = cases
        .replace("../../../config", "../../../../config")
        .replacen(
            "exp_labels: {severity: critical",
            "exp_labels: {severity: info",
            1,
        );
    assert_ne!(wrong, cases);
    let path = folder.path().join("wrong_test.yaml");
    fs::write(&path, wrong)?;
    let refused = promtool(&["test", "rules", path.to_str().unwrap()]);
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("FAILED"), "{said}");
    Ok(())
}
