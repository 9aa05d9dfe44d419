//! What `config/` gives the operator, tried on the operator.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use azwib_operator::cli::flags::Cli;
use clap::CommandFactory;

const MANAGER: &str = include_str!("../../config/manager/kustomization.yaml");
const SERVICE_ACCOUNT: &str = include_str!("../../config/rbac/service_account.yaml");
const TEMPLATE: &str = include_str!("../../config/overlays/template/kustomization.yaml");

/// Variables as a pod has them once everything is filled in.
const FILLED_IN: [(&str, &str); 4] = [
    ("AZWIB_ISSUER", "https://oidc.example/"),
    ("AZURE_CLIENT_ID", "00000000-0000-0000-0000-000000000001"),
    ("AZURE_TENANT_ID", "00000000-0000-0000-0000-000000000002"),
    ("AZURE_FEDERATED_TOKEN_FILE", "/var/run/token"),
];

/// The literals of a ConfigMap generator, those in comments included.
fn literals(kustomization: &str) -> Vec<(&str, &str)> {
    kustomization
        .lines()
        .filter_map(|line| {
            let literal = line.trim_start_matches([' ', '#', '-']);
            literal
                .starts_with("AZWIB_")
                .then_some(literal)?
                .split_once('=')
        })
        .collect()
}

fn refusal(variables: impl IntoIterator<Item = (&'static str, &'static str)>) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_azwib-operator"))
        .env_clear()
        .envs(FILLED_IN)
        .envs(variables)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_placeholder_of_the_client_id_is_refused_by_the_name_of_its_flag() {
    let (_, rest) = SERVICE_ACCOUNT
        .split_once("azure.workload.identity/client-id: ")
        .unwrap();
    // What the webhook makes of the annotation.
    let message = refusal([("AZURE_CLIENT_ID", rest.trim())]);
    assert!(message.contains("--azure-client-id"), "{message}");
}

#[test]
fn every_setting_of_the_configuration_is_the_variable_of_a_flag() {
    let command = Cli::command();
    let variables: Vec<_> = command
        .get_arguments()
        .filter_map(|flag| flag.get_env())
        .collect();
    let settings = [literals(MANAGER), literals(TEMPLATE)].concat();
    assert!(settings.len() >= 5, "{settings:?}");
    for (setting, _) in settings {
        assert!(
            variables.contains(&setting.as_ref()),
            "{setting} is no variable of a flag"
        );
    }
}
