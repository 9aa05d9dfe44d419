//! Every file of `examples/` is what it says: it parses, the API server takes it as it is, it works, and its pods are admitted.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeSet, fs};

use azure_simulator::control::api::Role;
use azwib_crds::{AzureScope, IdentityGrant, WorkloadIdentityBinding};
use azwib_e2e::{
    Environment,
    environment::{EnvironmentOptions, PATIENCE, repository},
    examples::{self, Document},
    wait::until,
};
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::{Api, api::ListParams};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";
const RESOURCE_GROUP: &str = "rg-shop";

#[test]
fn the_kustomization_lists_every_example() {
    let kustomization = fs::read_to_string(examples::folder().join("kustomization.yaml")).unwrap();
    let kustomization: Value = serde_yaml_ng::from_str(&kustomization).unwrap();
    let listed: BTreeSet<_> = kustomization["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| examples::folder().join(name.as_str().unwrap()))
        .collect();
    assert_eq!(listed, examples::files().unwrap().into_iter().collect());
}

#[test]
fn every_binding_parses_and_no_field_of_it_is_ignored() {
    for Document { file, content } in bindings() {
        parsed::<WorkloadIdentityBinding>(&file, &content);
    }
}

#[test]
fn every_grant_parses_and_no_field_of_it_is_ignored() {
    for Document { file, content } in grants() {
        let grant: IdentityGrant = parsed(&file, &content);
        for identities in grant.spec.identities {
            let scope = AzureScope::parse(&identities.scope);
            assert!(scope.is_ok(), "{file}: {scope:?}");
        }
    }
}

#[test]
fn a_grant_covers_every_binding_of_the_examples() {
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}");
    let namespaces: BTreeSet<_> = grants()
        .into_iter()
        .map(|Document { file, content }| parsed::<IdentityGrant>(&file, &content).spec)
        .filter(|spec| spec.service_accounts.is_none())
        .filter(|spec| spec.identities.iter().any(|it| it.scope == group))
        .flat_map(|spec| spec.namespaces.names)
        .collect();
    for Document { file, content } in bindings() {
        let namespace = content["metadata"]["namespace"].as_str().unwrap();
        assert!(namespaces.contains(namespace), "{file}: {namespace}");
    }
}

#[test]
fn the_binding_of_the_readme_is_the_minimal_example() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("```yaml\n").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let shown: Value = serde_yaml_ng::from_str(shown).unwrap();
    let minimal = examples::document("01-minimal.yaml", "WorkloadIdentityBinding").unwrap();
    assert_eq!(shown, minimal);
}

#[test]
fn all_identities_are_in_the_one_group_that_the_examples_speak_of() {
    for id in examples::identities().unwrap() {
        assert_eq!(id.subscription_id(), SUBSCRIPTION, "{id}");
        assert_eq!(id.resource_group(), RESOURCE_GROUP, "{id}");
    }
}

#[tokio::test]
async fn every_example_becomes_ready_and_its_pods_are_admitted() -> anyhow::Result<()> {
    let env = Environment::start(EnvironmentOptions {
        // The grant among them is enough for all of them.
        grants: Some("enforce"),
        ..EnvironmentOptions::default()
    })
    .await?;
    let control = env.control();
    for id in examples::identities()? {
        control.create_identity(RESOURCE_GROUP, id.name()).await?;
    }
    let scope = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}");
    let role = Role::Custom {
        actions: actions_of_the_user_guide(),
    };
    control
        .assign_role(&scope, role, env.operator_principal())
        .await?;

    let cluster = &env.control_plane;
    let namespaces = examples::folder()
        .join("namespaces.yaml")
        .display()
        .to_string();
    cluster.kubectl(&["apply", "-f", &namespaces]).await?;
    for file in examples::files()? {
        let file = file.display().to_string();
        // Strict: an unknown or doubled field is an error, and so is a warning.
        let strict = [
            "--dry-run=server",
            "--validate=strict",
            "--warnings-as-errors",
        ];
        cluster
            .kubectl(&[&["apply", "-f", &file][..], &strict].concat())
            .await?;
    }
    cluster
        .kubectl(&["apply", "-k", &folder("config/samples")])
        .await?;
    let ready = [
        "--for=condition=Ready",
        "--timeout=60s",
        "--all",
        "--all-namespaces",
    ];
    cluster
        .kubectl(&[&["wait", "azwib"][..], &ready].concat())
        .await?;

    let client = env.client().await?;
    for (namespace, deployment) in deployments() {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        let of_deployment =
            ListParams::default().labels(&format!("app.kubernetes.io/name={deployment}"));
        until(
            &format!("a pod of {deployment} to be admitted"),
            PATIENCE,
            async || Ok((!pods.list(&of_deployment).await?.items.is_empty()).then_some(())),
        )
        .await?;
    }
    let quotas: Api<ResourceQuota> = Api::namespaced(client, "shop");
    let count = "count/workloadidentitybindings.azwib.dev";
    let in_shop = bindings()
        .into_iter()
        .filter(|it| it.content["metadata"]["namespace"] == "shop");
    let expected = in_shop.count().to_string();
    until("the bindings to be counted", PATIENCE, async || {
        let used = quotas.get("bindings").await?.status.and_then(|it| it.used);
        let used = used.and_then(|used| used.get(count).cloned());
        Ok(used.filter(|used| used.0 == expected))
    })
    .await?;
    Ok(())
}

/// The custom role that the user guide tells to make.
fn actions_of_the_user_guide() -> Vec<String> {
    let guide = fs::read_to_string(repository().join("docs/user-guide.md")).unwrap();
    let (_, rest) = guide.split_once("<<JSON\n").unwrap();
    let (role, _) = rest.split_once("\nJSON").unwrap();
    let role: Value = serde_json::from_str(role).unwrap();
    serde_json::from_value(role["Actions"].clone()).unwrap()
}

fn folder(path: &str) -> String {
    repository().join(path).display().to_string()
}

fn bindings() -> Vec<Document> {
    let bindings = examples::of_kind("WorkloadIdentityBinding").unwrap();
    assert!(!bindings.is_empty());
    bindings
}

fn grants() -> Vec<Document> {
    let grants = examples::of_kind("IdentityGrant").unwrap();
    assert!(!grants.is_empty());
    grants
}

/// An object of this type, which has a field for everything that the file says.
fn parsed<K: DeserializeOwned + Serialize>(file: &str, content: &Value) -> K {
    let object: K =
        serde_json::from_value(content.clone()).unwrap_or_else(|error| panic!("{file}: {error}"));
    let read = serde_json::to_value(&object).unwrap();
    let ignored = not_in(content, &read, String::new());
    assert!(ignored.is_empty(), "{file}: {ignored:?}");
    object
}

/// Namespace and name of each Deployment.
fn deployments() -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let deployments: Vec<_> = examples::of_kind("Deployment")
        .unwrap()
        .into_iter()
        .map(|deployment| deployment.content["metadata"].clone())
        .map(|metadata| (text(&metadata["namespace"]), text(&metadata["name"])))
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
