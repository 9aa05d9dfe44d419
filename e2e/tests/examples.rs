//! Every file of `examples/` is what it says: it parses, the API server takes it as it is, and its pods are admitted.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use azwib_crds::{ManagedIdentityId, WorkloadIdentityBinding};
use azwib_e2e::{ControlPlane, ControlPlaneOptions, wait::until};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::{Api, api::ListParams, api::PostParams};
use serde::Deserialize;
use serde_json::{Value, json};

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";
const RESOURCE_GROUP: &str = "rg-shop";

/// The admission of a pod that the controller manager makes, on a busy machine.
const POD_LIMIT: Duration = Duration::from_secs(30);

#[test]
fn the_kustomization_lists_every_example() {
    let kustomization = fs::read_to_string(examples().join("kustomization.yaml")).unwrap();
    let kustomization: Value = serde_yaml_ng::from_str(&kustomization).unwrap();
    let listed: BTreeSet<_> = kustomization["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| examples().join(name.as_str().unwrap()))
        .collect();
    assert_eq!(listed, files().into_iter().collect());
}

#[test]
fn every_binding_parses_and_no_field_of_it_is_ignored() {
    for (file, document) in bindings() {
        let binding: WorkloadIdentityBinding = serde_json::from_value(document.clone())
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        let read = serde_json::to_value(&binding).unwrap();
        let ignored = not_in(&document, &read, String::new());
        assert!(ignored.is_empty(), "{file}: {ignored:?}");
    }
}

#[test]
fn the_binding_of_the_readme_is_the_minimal_example() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("```yaml\n").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let shown: Value = serde_yaml_ng::from_str(shown).unwrap();
    assert_eq!(("01-minimal.yaml".to_owned(), shown), documents()[0]);
}

#[test]
fn all_identities_are_in_the_one_group_that_the_examples_speak_of() {
    for (file, document) in bindings() {
        let identity = &document["spec"]["identity"];
        let id = match identity["resourceId"].as_str() {
            Some(id) => ManagedIdentityId::parse(id),
            None => ManagedIdentityId::new(
                identity["subscriptionId"].as_str().unwrap(),
                identity["resourceGroup"].as_str().unwrap(),
                identity["name"].as_str().unwrap(),
            ),
        };
        let id = id.unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(id.subscription_id(), SUBSCRIPTION, "{file}");
        assert_eq!(id.resource_group(), RESOURCE_GROUP, "{file}");
    }
}

#[tokio::test]
async fn the_api_server_takes_every_example_and_admits_its_pods() -> anyhow::Result<()> {
    let control_plane = ControlPlane::start(ControlPlaneOptions::unpublished()?).await?;
    control_plane
        .kubectl(&["apply", "-k", &folder("config/crd")])
        .await?;
    control_plane
        .kubectl(&["wait", "--for=condition=Established", "crd", "--all"])
        .await?;
    let namespaces = examples().join("namespaces.yaml").display().to_string();
    control_plane.kubectl(&["apply", "-f", &namespaces]).await?;
    for file in files() {
        let file = file.display().to_string();
        // Strict: an unknown or doubled field is an error, and so is a warning.
        let strict = [
            "--dry-run=server",
            "--validate=strict",
            "--warnings-as-errors",
        ];
        control_plane
            .kubectl(&[&["apply", "-f", &file][..], &strict].concat())
            .await?;
    }
    control_plane
        .kubectl(&["apply", "-k", &folder("config/samples")])
        .await?;

    let client = control_plane.client().await?;
    for (namespace, account, deployment) in deployments() {
        // Here no operator makes the account.
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
        let account: ServiceAccount =
            serde_json::from_value(json!({ "metadata": { "name": account } }))?;
        accounts.create(&PostParams::default(), &account).await?;
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        let of_deployment =
            ListParams::default().labels(&format!("app.kubernetes.io/name={deployment}"));
        until(
            &format!("a pod of {deployment} to be admitted"),
            POD_LIMIT,
            async || Ok((!pods.list(&of_deployment).await?.items.is_empty()).then_some(())),
        )
        .await?;
    }
    Ok(())
}

fn folder(path: &str) -> String {
    root().join(path).display().to_string()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn examples() -> PathBuf {
    root().join("examples")
}

/// The manifests of `examples/`, in order.
fn files() -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(examples())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .filter(|path| !path.ends_with("kustomization.yaml"))
        .collect();
    files.sort();
    files
}

/// Every document of the examples, with the name of its file.
fn documents() -> Vec<(String, Value)> {
    files()
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            serde_yaml_ng::Deserializer::from_str(&text)
                .map(|document| Value::deserialize(document).unwrap())
                .map(|document| (path.file_name().unwrap().to_string_lossy().into(), document))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn of_kind(kind: &'static str) -> impl Iterator<Item = (String, Value)> {
    documents()
        .into_iter()
        .filter(move |(_, document)| document["kind"] == kind)
}

fn bindings() -> Vec<(String, Value)> {
    let bindings: Vec<_> = of_kind("WorkloadIdentityBinding").collect();
    assert!(!bindings.is_empty());
    bindings
}

/// Namespace, ServiceAccount and name of each Deployment.
fn deployments() -> Vec<(String, String, String)> {
    let deployments: Vec<_> = of_kind("Deployment")
        .map(|(_, deployment)| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (
                text(&deployment["metadata"]["namespace"]),
                text(&deployment["spec"]["template"]["spec"]["serviceAccountName"]),
                text(&deployment["metadata"]["name"]),
            )
        })
        .collect();
    assert!(!deployments.is_empty());
    deployments
}

/// The paths at which `written` says something that `read` does not.
fn not_in(written: &Value, read: &Value, path: String) -> Vec<String> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => written
            .iter()
            .flat_map(|(key, value)| {
                not_in(
                    value,
                    read.get(key).unwrap_or(&Value::Null),
                    format!("{path}.{key}"),
                )
            })
            .collect(),
        _ if written == read => Vec::new(),
        _ => vec![path],
    }
}
