//! `examples/`, read as files: what the demo and the tests need to know of them before they are applied.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::Context;
use azure_simulator::control::api::IdentityFixture;
use azwib_crds::ManagedIdentityId;
use serde::Deserialize;
use serde_json::Value;

use crate::environment::{Environment, repository};

/// One document of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The file's name.
    pub file: String,
    pub content: Value,
}

/// The folder.
pub fn folder() -> PathBuf {
    repository().join("examples")
}

/// Its manifests, in order.
///
/// # Errors
/// The folder cannot be read.
pub fn files() -> anyhow::Result<Vec<PathBuf>> {
    let folder = folder();
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
            && !path.ends_with("kustomization.yaml")
    });
    files.sort();
    Ok(files)
}

/// Every document of every manifest, in order.
///
/// # Errors
/// A file cannot be read, or is no YAML.
pub fn documents() -> anyhow::Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in files()? {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for document in serde_yaml_ng::Deserializer::from_str(&text) {
            let content = Value::deserialize(document).with_context(|| file.clone())?;
            documents.push(Document {
                file: file.clone(),
                content,
            });
        }
    }
    Ok(documents)
}

/// The documents of one kind, in order.
///
/// # Errors
/// As for [`documents`].
pub fn of_kind(kind: &str) -> anyhow::Result<Vec<Document>> {
    let mut documents = documents()?;
    documents.retain(|document| document.content["kind"] == kind);
    Ok(documents)
}

/// The document of this kind in this file: there is only one in each example that shows one thing.
///
/// # Errors
/// There is none, or as for [`documents`].
pub fn document(file: &str, kind: &str) -> anyhow::Result<Value> {
    let document = of_kind(kind)?
        .into_iter()
        .find(|document| document.file == file);
    Ok(document
        .with_context(|| format!("examples/{file} has no {kind}"))?
        .content)
}

/// The managed identities that the bindings name.
///
/// # Errors
/// As for [`documents`], or a binding names its identity neither by id nor in full.
pub fn identities() -> anyhow::Result<BTreeSet<ManagedIdentityId>> {
    of_kind("WorkloadIdentityBinding")?
        .iter()
        .map(|document| identity(&document.content).with_context(|| document.file.clone()))
        .collect()
}

/// The managed identity that a binding names.
///
/// # Errors
/// It is named neither by id nor in full.
pub fn identity(binding: &Value) -> anyhow::Result<ManagedIdentityId> {
    let identity = &binding["spec"]["identity"];
    let field = |name: &str| {
        identity[name]
            .as_str()
            .with_context(|| format!("the identity has no {name}"))
    };
    Ok(match identity["resourceId"].as_str() {
        Some(id) => ManagedIdentityId::parse(id)?,
        None => ManagedIdentityId::new(
            field("subscriptionId")?,
            field("resourceGroup")?,
            field("name")?,
        )?,
    })
}

/// Makes the managed identities that the bindings name, and gives the operator its role on their resource groups: what the
/// platform team does beforehand.
///
/// # Errors
/// As for [`identities`], or the simulator refuses.
pub async fn create_identities(
    environment: &Environment,
) -> anyhow::Result<BTreeSet<ManagedIdentityId>> {
    let control = environment.control();
    let identities = identities()?;
    let mut groups = BTreeSet::new();
    for id in &identities {
        let identity = IdentityFixture {
            subscription_id: Some(id.subscription_id().parse()?),
            resource_group: id.resource_group().to_owned(),
            name: id.name().to_owned(),
        };
        control.create_identity_with(&identity).await?;
        groups.insert((id.subscription_id(), id.resource_group()));
    }
    for (subscription, group) in groups {
        let scope = format!("/subscriptions/{subscription}/resourceGroups/{group}");
        environment.grant_operator(&scope).await?;
    }
    Ok(identities)
}
