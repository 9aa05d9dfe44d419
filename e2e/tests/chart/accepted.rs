//! The operator itself takes the settings that the chart renders.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use azwib_e2e::supervisor::binary_beside;
use serde_json::{Value, json};

use crate::objects::Objects;
use crate::tools::rendered;
use crate::values::{rows, with};

const CLIENT_ID: &str = "00000000-0000-0000-0000-000000000001";
const TENANT_ID: &str = "00000000-0000-0000-0000-000000000002";

/// What the operator says once all settings are right, and it looks for a cluster.
const LOOKS_FOR_A_CLUSTER: &str = "cannot tell how to reach the API server";

/// The operator's arguments and variables, as its container would have them.
fn started_as(all: &Objects) -> (Vec<String>, BTreeMap<String, String>) {
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let of_kind = |kind: &str| all.iter().find(|(key, _)| key.starts_with(kind));
    let (_, settings) = of_kind("ConfigMap ").unwrap();
    let data = settings["data"].as_object().unwrap();
    let mut variables: BTreeMap<_, _> =
        data.iter().map(|(it, to)| (it.clone(), text(to))).collect();
    let template = &all["Deployment azwib-operator"]["spec"]["template"];
    let container = &template["spec"]["containers"][0];
    for variable in container["env"].as_array().unwrap() {
        if variable["value"].is_string() {
            variables.insert(text(&variable["name"]), text(&variable["value"]));
        }
    }
    // What the webhook adds to a pod that asks for it; it leaves alone what is there.
    if template["metadata"]["labels"]["azure.workload.identity/use"] == "true" {
        let annotation = |name: &str, otherwise: &str| {
            let account = of_kind("ServiceAccount ").map(|(_, it)| &it["metadata"]["annotations"]);
            let value = account.map(|it| &it[format!("azure.workload.identity/{name}")]);
            value
                .and_then(Value::as_str)
                .unwrap_or(otherwise)
                .to_owned()
        };
        for (name, value) in [
            ("AZURE_CLIENT_ID", annotation("client-id", CLIENT_ID)),
            ("AZURE_TENANT_ID", annotation("tenant-id", TENANT_ID)),
            ("AZURE_FEDERATED_TOKEN_FILE", "/var/run/token".to_owned()),
        ] {
            variables.entry(name.to_owned()).or_insert(value);
        }
    }
    let args = container["args"].as_array();
    (args.into_iter().flatten().map(text).collect(), variables)
}

/// What the operator says at its start, outside of any cluster.
fn says(all: &Objects) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (args, mut variables) = started_as(all);
    // What the kubelet would mount.
    let authority = rcgen::generate_simple_self_signed(vec!["example".to_owned()]).unwrap();
    for (mounted, content) in [
        ("AZURE_FEDERATED_TOKEN_FILE", "a token"),
        ("AZWIB_AZURE_CLIENT_SECRET_FILE", "a secret"),
        ("AZWIB_CA_FILE", &authority.cert.pem()),
    ] {
        if let Some(path) = variables.get_mut(mounted) {
            let file = folder.path().join(mounted);
            fs::write(&file, content).unwrap();
            *path = file.display().to_string();
        }
    }
    let operator: PathBuf =
        binary_beside("azwib-operator", "cargo build -p azwib-operator").unwrap();
    let output = Command::new(operator)
        .args(args)
        .env_clear()
        .envs(variables)
        // In a pod it reads this from a file.
        .env("AZWIB_LEADER_ELECTION_NAMESPACE", "azwib-system")
        .env("KUBECONFIG", folder.path().join("none"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

/// The values with a client id, where they have none.
fn filled_in(values: &Value) -> Value {
    let mut all = json!({ "auth": { "clientId": CLIENT_ID } });
    fn merge(into: &mut Value, values: &Value) {
        match (into, values) {
            (Value::Object(into), Value::Object(values)) => values
                .iter()
                .for_each(|(key, it)| merge(into.entry(key).or_insert(Value::Null), it)),
            (into, values) => *into = values.clone(),
        }
    }
    merge(&mut all, values);
    all
}

#[test]
fn the_operator_takes_every_value_of_the_table() {
    let mut wrong = Vec::new();
    for row in rows().into_iter().filter(|row| row.chart == "azwib") {
        let values = filled_in(&with(&row.given, &row.value, row.to));
        let said = says(&rendered(&values));
        if !said.contains(LOOKS_FOR_A_CLUSTER) {
            wrong.push(format!("{values}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_operator_names_the_flag_of_the_placeholder() {
    let said = says(&rendered(&json!({})));
    assert!(said.contains("--azure-client-id"), "{said}");
    let said = says(&rendered(&filled_in(&json!({}))));
    assert!(said.contains(LOOKS_FOR_A_CLUSTER), "{said}");
}
