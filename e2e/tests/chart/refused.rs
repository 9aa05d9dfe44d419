//! Values that are refused before anything is installed, and what is said then.

use std::fs;

use azwib_e2e::environment::repository;
use serde::Deserialize;
use serde_json::Value;

use crate::tools::template;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default = "azwib")]
    chart: String,
    values: Value,
    /// The version of Kubernetes, where it matters.
    kubernetes: Option<String>,
    /// Parts of the message.
    says: Vec<String>,
}

fn azwib() -> String {
    "azwib".to_owned()
}

#[test]
fn bad_values_are_refused_with_what_is_wrong() {
    let table = repository().join("e2e/tests/chart/refused.yaml");
    let rows: Vec<Row> = serde_yaml_ng::from_str(&fs::read_to_string(table).unwrap()).unwrap();
    assert!(rows.len() > 30, "{}", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let version = row.kubernetes.unwrap_or_default();
        let more = ["--kube-version", &version];
        let more: &[&str] = if version.is_empty() { &[] } else { &more };
        match template(&row.chart, &row.values, more) {
            Ok(_) => wrong.push(format!("{}: is not refused", row.values)),
            Err(message) => {
                let missing = row.says.iter().filter(|part| !message.contains(*part));
                wrong.extend(
                    missing.map(|it| format!("{}: {it:?} is not in {message}", row.values)),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
