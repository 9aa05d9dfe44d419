//! Azure Resource Manager as another tool of the platform team would use it: a service principal that owns the
//! subscription.

use std::path::Path;

use anyhow::Context;
use reqwest::{Certificate, Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// Serves federated credentials in all clouds.
const API_VERSION: &str = "2023-01-31";

/// A signed-in client.
#[derive(Debug, Clone)]
pub struct Arm {
    http: Client,
    endpoint: String,
    token: String,
}

/// A service principal that owns the simulated subscription.
#[derive(Debug, Clone)]
pub struct Owner {
    pub client_id: Uuid,
    pub secret: String,
}

/// A federated identity credential as Azure lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ArmCredential {
    pub name: String,
    pub properties: ArmCredentialProperties,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ArmCredentialProperties {
    pub issuer: String,
    /// Empty for a flexible credential, which has an expression in its place.
    #[serde(default)]
    pub subject: String,
    pub audiences: Vec<String>,
}

impl Arm {
    /// Signs in.
    ///
    /// # Errors
    /// Entra refuses.
    pub async fn sign_in(
        arm: &str,
        entra: &str,
        tenant: Uuid,
        owner: &Owner,
        ca: &Path,
    ) -> anyhow::Result<Self> {
        let http = Client::builder()
            .add_root_certificate(Certificate::from_pem(&std::fs::read(ca)?)?)
            .no_proxy()
            .build()?;
        let form = [
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", owner.client_id.to_string()),
            ("client_secret", owner.secret.clone()),
            ("scope", "https://management.azure.com/.default".to_owned()),
        ];
        let answer = http
            .post(format!(
                "{}/{tenant}/oauth2/v2.0/token",
                entra.trim_end_matches('/')
            ))
            .form(&form);
        let answer: Value = answer.send().await?.error_for_status()?.json().await?;
        let token = answer["access_token"]
            .as_str()
            .context("the answer has no access token")?
            .to_owned();
        Ok(Self {
            http,
            endpoint: arm.trim_end_matches('/').to_owned(),
            token,
        })
    }

    /// The federated identity credentials of an identity.
    ///
    /// # Errors
    /// Azure refuses.
    pub async fn credentials(&self, identity: &str) -> anyhow::Result<Vec<ArmCredential>> {
        let list = self
            .send(
                Method::GET,
                &format!("{identity}/federatedIdentityCredentials"),
                None,
            )
            .await?;
        Ok(serde_json::from_value(list["value"].clone())?)
    }

    /// Creates or replaces a federated identity credential.
    ///
    /// # Errors
    /// Azure refuses.
    pub async fn put_credential(
        &self,
        identity: &str,
        name: &str,
        issuer: &str,
        subject: &str,
        audience: &str,
    ) -> anyhow::Result<()> {
        let body = json!({ "properties": { "issuer": issuer, "subject": subject, "audiences": [audience] } });
        let path = format!("{identity}/federatedIdentityCredentials/{name}");
        self.send(Method::PUT, &path, Some(body)).await.map(drop)
    }

    /// Deletes what has this ARM id.
    ///
    /// # Errors
    /// Azure refuses.
    pub async fn delete(&self, id: &str) -> anyhow::Result<()> {
        self.send(Method::DELETE, id, None).await.map(drop)
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let url = format!("{}{path}?api-version={API_VERSION}", self.endpoint);
        let request = self
            .http
            .request(method.clone(), url)
            .bearer_auth(&self.token);
        let answer = match body {
            Some(body) => request.json(&body),
            None => request,
        }
        .send()
        .await?;
        let status = answer.status();
        let text = answer.text().await?;
        anyhow::ensure!(status.is_success(), "{method} {path}: {status}: {text}");
        if status == StatusCode::NO_CONTENT || text.is_empty() {
            return Ok(Value::Null);
        }
        Ok(serde_json::from_str(&text)?)
    }
}
