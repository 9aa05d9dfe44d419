//! Alerts, dashboard and documents belong together: each alert has a runbook, and what documents call a metric is one.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use azwib_e2e::environment::repository;
use serde_json::Value;

const RUNBOOKS: &str = "https://github.com/azwib/azwib/blob/main/docs/runbooks.md#";

/// How the names of metrics begin that azwib has.
const PREFIXES: [&str; 6] = [
    "azwib_",
    "azure_",
    "controller_runtime_",
    "leader_election_",
    "rest_client_",
    "workqueue_",
];

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

fn yaml(path: &str) -> Value {
    serde_yaml_ng::from_str(&text(path)).unwrap()
}

#[test]
fn the_alerts_of_the_chart_are_those_of_config_prometheus() {
    let rule = yaml("config/prometheus/prometheus_rule.yaml");
    assert_eq!(rule["spec"], yaml("config/charts/azwib/files/alerts.yaml"));
}

#[test]
fn each_alert_has_a_runbook_that_says_what_it_means_how_to_look_and_what_to_do() {
    let rule = yaml("config/prometheus/prometheus_rule.yaml");
    let alerts = rule["spec"]["groups"][0]["rules"].as_array().unwrap();
    let runbooks = text("docs/runbooks.md");
    let sections: Vec<_> = runbooks
        .split("\n## ")
        .skip(1)
        .map(|section| section.split_once('\n').unwrap())
        .collect();
    let names: Vec<_> = alerts
        .iter()
        .map(|it| it["alert"].as_str().unwrap())
        .collect();
    let described: Vec<_> = sections.iter().map(|(name, _)| *name).collect();
    assert_eq!(described, names, "docs/runbooks.md has them in their order");
    for (alert, (name, section)) in alerts.iter().zip(sections) {
        let url = alert["annotations"]["runbook_url"].as_str().unwrap();
        assert_eq!(url, format!("{RUNBOOKS}{}", name.to_lowercase()));
        for part in ["**Means**", "**Look**", "**do**"] {
            let (section, part) = (section.to_lowercase(), part.to_lowercase());
            assert!(section.contains(&part), "{name} lacks {part}");
        }
        for part in ["summary", "description"] {
            assert!(alert["annotations"][part].is_string(), "{name}: {part}");
        }
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}"
        );
    }
}

/// The names in the table of the reference, which a test keeps to what the operator shows, and those of the parts of histograms.
fn metrics() -> BTreeSet<String> {
    let reference = text("docs/reference/metrics.md");
    let (table, _) = reference.split_once("\n## Labels").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let mut metrics = BTreeSet::new();
    for row in rows {
        let mut cells = row.trim_matches('|').split(" | ").map(str::trim);
        let name = cells.next().unwrap().trim_matches('`').to_owned();
        if cells.next() == Some("histogram") {
            metrics.extend(["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")));
        }
        metrics.insert(name);
    }
    assert!(metrics.len() > 30, "{metrics:?}");
    metrics
}

fn files(folder: &Path, of_kind: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, of_kind, found);
        } else if path.extension().is_some_and(|it| it == of_kind) {
            found.push(path);
        }
    }
}

/// The words of a text that look like metrics, and like a family of them where they end with a star.
fn named(text: &str) -> BTreeSet<&str> {
    let is_of_name = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == '*';
    let words = text.split(|it| !is_of_name(it));
    words
        .filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)))
        .collect()
}

/// Words that begin alike and are no metrics.
const OTHERS: [&str; 5] = [
    "azure_core",
    "azure_identity",
    "azure_mgmt_msi",
    "azure_writes",
    "azwib_operator",
];

fn unknown(text: &str, metrics: &BTreeSet<String>) -> Vec<String> {
    let is_known = |word: &str| match word.split_once('*') {
        None => metrics.contains(word) || OTHERS.contains(&word),
        Some((prefix, _)) => metrics.iter().any(|it| it.starts_with(prefix)),
    };
    let unknown = named(text).into_iter().filter(|word| !is_known(word));
    unknown.map(str::to_owned).collect()
}

#[test]
fn documents_alerts_and_dashboard_name_only_metrics_that_there_are() {
    let metrics = metrics();
    let root = repository();
    let mut all = vec![
        root.join("README.md"),
        root.join("config/grafana/azwib.json"),
        root.join("config/prometheus/prometheus_rule.yaml"),
    ];
    files(&root.join("docs"), "md", &mut all);
    files(&root.join("config"), "md", &mut all);
    let mut found = 0;
    for file in all {
        let text = text(&file);
        found += named(&text).len();
        let unknown = unknown(&text, &metrics);
        assert!(unknown.is_empty(), "{}: {unknown:?}", file.display());
    }
    assert!(found > 100, "{found}");
    let made_up =
        "`azwib_orphans` and `workqueue_*`, `azure_requests_time_seconds_bucket`, azure_core";
    assert_eq!(unknown(made_up, &metrics), ["azwib_orphans"]);
}
