//! The simulator shares no types with what is tested against it, so that a mistake cannot cancel itself out.
#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is how a failure is told; clippy.toml spares test functions only, not what they call"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// The platform that this was built for, by the compiler's word.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.unwrap().to_owned()
}

#[test]
fn the_simulator_depends_on_neither_the_operator_nor_its_api_types_nor_azures_client() {
    // What other platforms need is not there where only this one was built for, and nothing is fetched in a test.
    let platform = host();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names: BTreeMap<String, String> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let edges: BTreeMap<String, Vec<String>> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| {
            let dependencies = node["dependencies"].as_array().unwrap();
            (text(&node["id"]), dependencies.iter().map(text).collect())
        })
        .collect();
    let root = names
        .iter()
        .find(|(_, name)| *name == env!("CARGO_PKG_NAME"))
        .unwrap()
        .0;
    let mut reached = BTreeSet::from([root]);
    let mut next = vec![root];
    while let Some(id) = next.pop() {
        next.extend(
            edges[id]
                .iter()
                .filter(|dependency| reached.insert(dependency)),
        );
    }
    let reached: BTreeSet<&str> = reached.into_iter().map(|id| names[id].as_str()).collect();
    assert!(
        reached.contains("axum"),
        "the graph was not followed: {reached:?}"
    );
    for forbidden in [
        "azwib-crds",
        "azwib-operator",
        "azwib-e2e",
        "azure_mgmt_msi",
        "azure_core",
        "azure_identity",
    ] {
        assert!(!reached.contains(forbidden), "it depends on {forbidden}");
    }
}
