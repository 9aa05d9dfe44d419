//! Acting as a workload: with what its pod carries, and nothing else.
//!
//! No kubelet fills the pod's volumes, so the token is asked for as a kubelet would: the projected volume's audience and
//! lifetime, bound to the pod.

use std::{fmt, path::Path};

use anyhow::{Context, anyhow, bail};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use k8s_openapi::api::{
    authentication::v1::BoundObjectReference,
    core::v1::{Container, Pod, PodSpec, ServiceAccountTokenProjection},
};
use kube::{Client, ResourceExt};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::control_plane::request_token;

/// Kubernetes' own defaults for a projected token, where the volume says nothing.
const DEFAULT_EXPIRATION_SECONDS: i64 = 3600;

/// RFC 7523, section 2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The variables that Azure's SDKs read, as one of the pod's containers has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureEnvironment {
    /// `AZURE_CLIENT_ID`
    pub client_id: String,
    /// `AZURE_TENANT_ID`
    pub tenant_id: String,
    /// `AZURE_AUTHORITY_HOST`
    pub authority_host: String,
    /// `AZURE_FEDERATED_TOKEN_FILE`
    pub federated_token_file: String,
}

/// The ServiceAccount token that a pod's projected volume would carry.
#[derive(Clone)]
pub struct ProjectedToken {
    pub environment: AzureEnvironment,
    /// As the volume asks for it; empty stands for the API server's own audience.
    pub audience: String,
    /// Lifetime that the volume asks for.
    pub expiration_seconds: i64,
    token: String,
}

/// What Entra answers to a token exchange.
#[derive(Debug)]
pub enum TokenExchange {
    Granted(AccessToken),
    Refused(Refusal),
}

/// An Azure access token.
#[derive(Clone, Deserialize)]
pub struct AccessToken {
    access_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds until it expires.
    pub expires_in: u64,
}

/// Entra's error body.
#[derive(Debug, Clone, Deserialize)]
pub struct Refusal {
    /// HTTP status.
    #[serde(skip)]
    pub status: u16,
    /// OAuth's error, such as `invalid_client`.
    pub error: String,
    /// `AADSTS<code>: …`
    pub error_description: String,
    /// The AADSTS codes.
    pub error_codes: Vec<u32>,
}

impl ProjectedToken {
    /// Reads what an admitted pod carries and asks the API server for just the token that its volume would hold.
    ///
    /// # Errors
    /// The pod has no container with the four variables, no projected token at `AZURE_FEDERATED_TOKEN_FILE`, or the API
    /// server refuses the token.
    pub async fn of_pod(client: &Client, pod: &Pod) -> anyhow::Result<Self> {
        let spec = pod.spec.as_ref().context("the pod has no spec")?;
        let (container, environment) = azure_environment(spec)?;
        let projection = projection_at(spec, container, &environment.federated_token_file)?;
        let audience = projection.audience.clone().unwrap_or_default();
        let expiration_seconds = projection
            .expiration_seconds
            .unwrap_or(DEFAULT_EXPIRATION_SECONDS);
        let bound_to = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(pod.name_any()),
            uid: pod.uid(),
        };
        let token = request_token(
            client,
            &pod.namespace().context("the pod has no namespace")?,
            spec.service_account_name
                .as_deref()
                .context("the pod has no ServiceAccount")?,
            Some(audience.clone())
                .filter(|audience| !audience.is_empty())
                .into_iter()
                .collect(),
            expiration_seconds,
            Some(bound_to),
        )
        .await?;
        Ok(Self {
            environment,
            audience,
            expiration_seconds,
            token,
        })
    }

    /// The token itself, a signed JWT.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The token's claims.
    ///
    /// # Errors
    /// The token is no JWT.
    pub fn claims(&self) -> anyhow::Result<Value> {
        claims(&self.token)
    }

    /// Exchanges the token for one of Azure, as the SDKs do: a client credentials grant with the token as assertion.
    /// `ca` is the certificate authority (PEM) that the authority host is trusted by.
    ///
    /// # Errors
    /// There is no answer, or not one in Entra's shape. That Entra refuses is no error but [`TokenExchange::Refused`].
    pub async fn exchange(&self, scope: &str, ca: &Path) -> anyhow::Result<TokenExchange> {
        let ca = reqwest::Certificate::from_pem(
            &tokio::fs::read(ca)
                .await
                .with_context(|| ca.display().to_string())?,
        )?;
        let client = reqwest::Client::builder()
            .add_root_certificate(ca)
            .no_proxy()
            .build()?;
        let AzureEnvironment {
            client_id,
            tenant_id,
            authority_host,
            ..
        } = &self.environment;
        let url = format!(
            "{}/{tenant_id}/oauth2/v2.0/token",
            authority_host.trim_end_matches('/')
        );
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("scope", scope),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", &self.token),
        ];
        let answer = client.post(&url).form(&form).send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        if status == StatusCode::OK {
            return Ok(TokenExchange::Granted(
                serde_json::from_slice(&body).context("a token response")?,
            ));
        }
        let refusal: Refusal = serde_json::from_slice(&body).with_context(|| {
            format!(
                "{url} answered {status}: {}",
                String::from_utf8_lossy(&body)
            )
        })?;
        Ok(TokenExchange::Refused(Refusal {
            status: status.as_u16(),
            ..refusal
        }))
    }
}

impl TokenExchange {
    /// The access token.
    ///
    /// # Errors
    /// Entra refused: with what it said.
    pub fn granted(self) -> anyhow::Result<AccessToken> {
        match self {
            Self::Granted(token) => Ok(token),
            Self::Refused(refusal) => Err(anyhow!(
                "Entra refused: {} {}",
                refusal.status,
                refusal.error_description
            )),
        }
    }

    /// Entra's refusal.
    ///
    /// # Errors
    /// Entra granted a token.
    pub fn refused(self) -> anyhow::Result<Refusal> {
        match self {
            Self::Granted(_) => bail!("Entra granted a token"),
            Self::Refused(refusal) => Ok(refusal),
        }
    }
}

impl AccessToken {
    /// The token itself, a signed JWT.
    pub fn token(&self) -> &str {
        &self.access_token
    }

    /// The token's claims.
    ///
    /// # Errors
    /// The token is no JWT.
    pub fn claims(&self) -> anyhow::Result<Value> {
        claims(&self.access_token)
    }
}

impl fmt::Debug for ProjectedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectedToken")
            .field("environment", &self.environment)
            .field("audience", &self.audience)
            .field("expiration_seconds", &self.expiration_seconds)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// The first container that is to sign in to Azure, and what it has been given for that.
fn azure_environment(spec: &PodSpec) -> anyhow::Result<(&Container, AzureEnvironment)> {
    let container = spec
        .containers
        .iter()
        .find(|container| variable(container, "AZURE_FEDERATED_TOKEN_FILE").is_ok())
        .context("no container of the pod has AZURE_FEDERATED_TOKEN_FILE")?;
    let environment = AzureEnvironment {
        client_id: variable(container, "AZURE_CLIENT_ID")?,
        tenant_id: variable(container, "AZURE_TENANT_ID")?,
        authority_host: variable(container, "AZURE_AUTHORITY_HOST")?,
        federated_token_file: variable(container, "AZURE_FEDERATED_TOKEN_FILE")?,
    };
    Ok((container, environment))
}

fn variable(container: &Container, name: &str) -> anyhow::Result<String> {
    let variables = container.env.iter().flatten();
    let value = variables
        .filter(|variable| variable.name == name)
        .find_map(|variable| variable.value.clone());
    value.with_context(|| format!("container {} has no value for {name}", container.name))
}

/// The token projection whose file the container sees at `path`.
fn projection_at<'a>(
    spec: &'a PodSpec,
    container: &Container,
    path: &str,
) -> anyhow::Result<&'a ServiceAccountTokenProjection> {
    let mounts = container.volume_mounts.iter().flatten();
    let mount = mounts
        .filter(|mount| Path::new(path).starts_with(&mount.mount_path))
        .max_by_key(|mount| mount.mount_path.len())
        .with_context(|| format!("nothing is mounted above {path}"))?;
    let inside = Path::new(path).strip_prefix(&mount.mount_path)?;
    let volumes = spec.volumes.iter().flatten();
    let volume = volumes
        .filter(|volume| volume.name == mount.name)
        .find_map(|volume| volume.projected.as_ref());
    let sources = volume
        .and_then(|volume| volume.sources.as_ref())
        .into_iter()
        .flatten();
    sources
        .filter_map(|source| source.service_account_token.as_ref())
        .find(|projection| Path::new(&projection.path) == inside)
        .with_context(|| format!("volume {} projects no token to {path}", mount.name))
}

fn claims(jwt: &str) -> anyhow::Result<Value> {
    let payload = jwt.split('.').nth(1).context("the token is no JWT")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?)
}
