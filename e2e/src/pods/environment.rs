//! The variables of a container, as a kubelet makes them.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret, Service};
use kube::{Api, Client};

use super::expansion::expand;
use super::spec::field;

/// The variables of a container, and its command line with references to them replaced.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) variables: BTreeMap<String, String>,
    /// Takes the place of the image's entry point unless empty.
    pub(super) command: Vec<String>,
    pub(super) arguments: Vec<String>,
}

/// What the API server has for the containers of one namespace.
pub(super) struct Sources {
    pub(super) client: Client,
    pub(super) namespace: String,
}

impl Sources {
    /// The content of a ConfigMap; None where it is missing and may be.
    pub(super) async fn config_map(
        &self,
        name: &str,
        optional: bool,
    ) -> anyhow::Result<Option<BTreeMap<String, Vec<u8>>>> {
        let all: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let Some(found) = all.get_opt(name).await? else {
            anyhow::ensure!(optional, "configmap {name:?} not found");
            return Ok(None);
        };
        let texts = found.data.unwrap_or_default().into_iter();
        let texts = texts.map(|(key, text)| (key, text.into_bytes()));
        let bytes = found.binary_data.unwrap_or_default().into_iter();
        Ok(Some(
            texts.chain(bytes.map(|(key, it)| (key, it.0))).collect(),
        ))
    }

    /// The content of a Secret; None where it is missing and may be.
    pub(super) async fn secret(
        &self,
        name: &str,
        optional: bool,
    ) -> anyhow::Result<Option<BTreeMap<String, Vec<u8>>>> {
        let all: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let Some(found) = all.get_opt(name).await? else {
            anyhow::ensure!(optional, "secret {name:?} not found");
            return Ok(None);
        };
        let all = found.data.unwrap_or_default().into_iter();
        Ok(Some(all.map(|(key, ByteString(it))| (key, it)).collect()))
    }

    /// The address and the port of the API server's Service: the one whose variables every container has.
    pub(super) async fn api_server(&self) -> anyhow::Result<(String, u16)> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), "default");
        let service = services.get("kubernetes").await?.spec.unwrap_or_default();
        let port = service.ports.iter().flatten().next().map(|it| it.port);
        let port = port.context("the Service kubernetes has no port")?;
        let address = service.cluster_ip;
        let address = address.context("the Service kubernetes has no address")?;
        Ok((address, port.try_into()?))
    }
}

/// Later ones win: Services, `envFrom`, `env`. A value may refer to variables of `env` above it and to those of Services; a command line to
/// all of them.
///
/// # Errors
/// Something that is referred to is missing, or the node does not know that kind of reference.
pub(super) async fn invocation(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
) -> anyhow::Result<Invocation> {
    let (host, port) = sources.api_server().await?;
    let of_services = BTreeMap::from([
        ("KUBERNETES_SERVICE_HOST".to_owned(), host),
        ("KUBERNETES_SERVICE_PORT".to_owned(), port.to_string()),
    ]);
    // A container runtime sets it.
    let name = pod.metadata.name.clone().unwrap_or_default();
    let mut variables = BTreeMap::from([("HOSTNAME".to_owned(), name)]);
    variables.extend(of_services.clone());
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let content = if let Some(from) = &source.config_map_ref {
            let optional = from.optional.unwrap_or_default();
            sources.config_map(&from.name, optional).await?
        } else if let Some(from) = &source.secret_ref {
            let optional = from.optional.unwrap_or_default();
            sources.secret(&from.name, optional).await?
        } else {
            bail!("envFrom names neither a ConfigMap nor a Secret");
        };
        for (key, value) in content.unwrap_or_default() {
            variables.insert(format!("{prefix}{key}"), String::from_utf8(value)?);
        }
    }
    let mut declared = BTreeMap::new();
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (_, Some(source)) => referred(pod, source, sources)
                .await
                .with_context(|| format!("variable {}", variable.name))?,
            (value, None) => {
                let known = |name: &str| declared.get(name).or(of_services.get(name)).cloned();
                Some(expand(value.as_deref().unwrap_or_default(), known))
            }
        };
        if let Some(value) = value {
            declared.insert(variable.name.clone(), value);
        }
    }
    variables.extend(declared);
    let known = |name: &str| variables.get(name).cloned();
    let expanded = |words: &Option<Vec<String>>| {
        let words = words.iter().flatten();
        words.map(|word| expand(word, known)).collect()
    };
    Ok(Invocation {
        command: expanded(&container.command),
        arguments: expanded(&container.args),
        variables,
    })
}

/// What `valueFrom` refers to; None where it is missing and may be.
async fn referred(
    pod: &Pod,
    source: &EnvVarSource,
    sources: &Sources,
) -> anyhow::Result<Option<String>> {
    let (content, key, optional) = if let Some(from) = &source.field_ref {
        return field(pod, &from.field_path).map(Some);
    } else if let Some(from) = &source.config_map_key_ref {
        let optional = from.optional.unwrap_or_default();
        (
            sources.config_map(&from.name, optional).await?,
            &from.key,
            optional,
        )
    } else if let Some(from) = &source.secret_key_ref {
        let optional = from.optional.unwrap_or_default();
        (
            sources.secret(&from.name, optional).await?,
            &from.key,
            optional,
        )
    } else {
        bail!("valueFrom is none of fieldRef, configMapKeyRef and secretKeyRef");
    };
    let value = content.and_then(|mut content| content.remove(key));
    anyhow::ensure!(value.is_some() || optional, "there is no key {key:?}");
    Ok(value.map(String::from_utf8).transpose()?)
}
