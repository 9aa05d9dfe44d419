//! Every query of alerts and dashboard, in Prometheus' engine over the stored scrapes.

use std::fs;
use std::path::Path;
use std::process::Command;

use azwib_e2e::assets;

use crate::{ALERTS, file, writes};

const DASHBOARD: &str = "config/grafana/azwib.json";
const EXPECTED: &str = "e2e/tests/dashboards/expected.yaml";
const SCRAPES: &str = "e2e/tests/dashboards/scrapes";

fn run(alerts: &Path, dashboard: &Path, more: &[&str]) -> anyhow::Result<String> {
    let [_, engine] = assets::prometheus()?;
    let flag = |name: &str, path: &Path| format!("-{name}={}", path.display());
    let output = Command::new(engine)
        .args([
            flag("scrapes", &file(SCRAPES)),
            flag("rules", alerts),
            flag("dashboard", dashboard),
            flag("expected", &file(EXPECTED)),
        ])
        .args(more)
        .output()?;
    let errors = String::from_utf8(output.stderr)?;
    anyhow::ensure!(output.status.success(), "{errors}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn every_query_returns_what_it_should() -> anyhow::Result<()> {
    let (alerts, dashboard) = (file(ALERTS), file(DASHBOARD));
    if writes() {
        run(&alerts, &dashboard, &["-write"])?;
    }
    let said = run(&alerts, &dashboard, &[])?;
    assert!(said.contains("return what they should"), "{said}");
    Ok(())
}

/// What is said of alerts and dashboard with one text changed.
fn with(changed: &str, from: &str, to: &str) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let of = |path: &str| -> anyhow::Result<_> {
        let text = fs::read_to_string(file(path))?;
        let copy = folder.path().join(Path::new(path).file_name().unwrap());
        let is_changed = path == changed;
        assert!(!is_changed || text.contains(from), "{from}");
        fs::write(
            &copy,
            if is_changed {
                text.replace(from, to)
            } else {
                text
            },
        )?;
        Ok(copy)
    };
    let (alerts, dashboard) = (of(ALERTS)?, of(DASHBOARD)?);
    let refused = run(&alerts, &dashboard, &[]);
    Ok(refused.expect_err(from).to_string())
}

#[test]
fn a_query_that_is_wrong_is_noticed() -> anyhow::Result<()> {
    let said = with(
        ALERTS,
        "azwib_orphaned_credentials",
        "azwib_orphan_credentials",
    )?;
    let expected =
        "alert AzwibOrphanedCredentials: no metric of azwib is called azwib_orphan_credentials";
    assert!(said.contains(expected), "{said}");
    let said = with(DASHBOARD, "status=\\\"True\\\"", "status=\\\"False\\\"")?;
    assert!(said.contains("panel Ready A:\n  should return"), "{said}");
    let said = with(
        DASHBOARD,
        "azwib_bindings{",
        "azwib_bindings{nobody=\\\"x\\\", ",
    )?;
    assert!(said.contains("it returns nothing"), "{said}");
    let said = with(DASHBOARD, "sum(azwib_bindings", "sum(azwib_bindings{")?;
    assert!(said.contains("parse error"), "{said}");
    let said = with(DASHBOARD, "$namespace", "$cell")?;
    assert!(said.contains("a variable that is not known here"), "{said}");
    Ok(())
}
