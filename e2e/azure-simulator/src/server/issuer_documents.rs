//! Fetching the discovery document and the keys of an issuer, as Entra does: over https, from where the issuer says.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::{Certificate, Client};
use serde_json::Value;

use crate::core::IssuerDocuments;

/// How long Entra waits for an issuer. Assumed.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A client that trusts the simulator's CA and those it was given.
#[derive(Debug)]
pub(crate) struct IssuerDocumentsClient(Client);

impl IssuerDocumentsClient {
    /// `ca` in DER; `extra` are paths of PEM bundles.
    pub(crate) fn new(ca: &[u8], extra: &[PathBuf]) -> Result<Self> {
        let mut builder = Client::builder()
            .tls_built_in_root_certs(false)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .add_root_certificate(Certificate::from_der(ca)?);
        for path in extra {
            let bundle =
                std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            let certificates = Certificate::from_pem_bundle(&bundle)
                .with_context(|| format!("{} holds no certificates", path.display()))?;
            anyhow::ensure!(
                !certificates.is_empty(),
                "{} holds no certificates",
                path.display()
            );
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        Ok(Self(builder.build()?))
    }

    /// Fetches both documents; the error says which one failed and how.
    pub(crate) async fn fetch(&self, issuer: &str) -> Result<IssuerDocuments, String> {
        let base = issuer.trim_end_matches('/');
        let discovery = self
            .document(&format!("{base}/.well-known/openid-configuration"))
            .await?;
        let keys = discovery
            .get("jwks_uri")
            .and_then(Value::as_str)
            .ok_or("The discovery document names no jwks_uri.")?
            .to_owned();
        let jwks = self.document(&keys).await?;
        Ok(IssuerDocuments { discovery, jwks })
    }

    async fn document(&self, url: &str) -> Result<Value, String> {
        let fetched = async {
            let response = self.0.get(url).send().await?.error_for_status()?;
            response.json().await
        };
        fetched.await.map_err(|error: reqwest::Error| {
            let why = match error.status() {
                Some(status) => format!("status {}", status.as_u16()),
                None if error.is_timeout() => "no answer in time".to_owned(),
                None if error.is_decode() => "no JSON".to_owned(),
                None => "no connection".to_owned(),
            };
            format!("{url}: {why}.")
        })
    }
}
