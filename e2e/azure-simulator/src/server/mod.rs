//! The servers around the core: three https listeners and the control API.

mod control;
mod holds;
mod https;
mod issuer_documents;
mod listeners;
mod pipeline;
mod state_dir;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::{Uuid, uuid};

use self::issuer_documents::IssuerDocumentsClient;
pub use self::listeners::Addresses;
use self::listeners::Listeners;
use self::pipeline::Shared;
use self::state_dir::StateDir;
use crate::core::interference::{Latency, Matcher};
use crate::core::state::ServicePrincipal;
use crate::core::tunables::Tunables;
use crate::core::{Azure, Endpoints, Settings};

/// What a simulator starts with.
#[derive(Debug, Clone)]
pub struct SimulatorConfig {
    /// Where the CA and the signing key are kept; without one they live as long as the simulator.
    pub state_dir: Option<PathBuf>,
    /// The tenant.
    pub tenant: Uuid,
    /// The first subscription.
    pub subscription: Uuid,
    /// Its resource groups.
    pub resource_groups: Vec<String>,
    /// Service principals that own the subscription.
    pub service_principals: Vec<ServicePrincipal>,
    /// Where the listeners are.
    pub addresses: Addresses,
    /// Time that every request takes.
    pub latency: Duration,
    /// The seed of all ids.
    pub seed: u64,
    /// Settings of the model.
    pub tunables: Tunables,
    /// PEM bundles of CAs that Entra trusts when it fetches an issuer's documents, besides the simulator's own.
    pub trusted_cas: Vec<PathBuf>,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            state_dir: None,
            tenant: uuid!("7e4a4c11-0000-4000-8000-000000000001"),
            subscription: uuid!("5b5c4199-0000-4000-8000-000000000001"),
            resource_groups: Vec::new(),
            service_principals: Vec::new(),
            addresses: Addresses::default(),
            latency: Duration::ZERO,
            seed: 1,
            tunables: Tunables::default(),
            trusted_cas: Vec::new(),
        }
    }
}

/// A running simulator. It stops when it is dropped.
#[derive(Debug)]
pub struct Simulator {
    endpoints: Endpoints,
    control_url: String,
    ca_path: PathBuf,
    servers: JoinSet<()>,
    /// Removed when the simulator goes.
    _temporary: Option<TempDir>,
}

impl Simulator {
    /// Binds the listeners and serves on the current tokio runtime.
    ///
    /// # Errors
    /// If the state directory, a listener or a CA file cannot be used.
    pub async fn start(config: SimulatorConfig) -> Result<Self> {
        let control = config.addresses.control;
        ensure!(
            control.ip().is_loopback(),
            "the control API must be on a loopback address, not on {control}"
        );
        let (directory, temporary) = match config.state_dir.clone() {
            Some(directory) => (directory, None),
            None => {
                let temporary = tempfile::Builder::new()
                    .prefix("azure-simulator-")
                    .tempdir()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        // Making an RSA key takes a moment, which must not stop the runtime.
        let state_dir = tokio::task::spawn_blocking(move || StateDir::open(&directory)).await??;
        let listeners = Listeners::bind(&config.addresses).await?;
        let endpoints = listeners.endpoints()?;
        let control_url = format!("http://{}", listeners.control.local_addr()?);
        let documents =
            IssuerDocumentsClient::new(state_dir.ca_certificate(), &config.trusted_cas)?;
        let settings = core_settings(config, endpoints.clone())?;
        let azure = Azure::new(settings, state_dir.signing_key.clone());
        let tls = listeners.tls_config(&state_dir)?;
        Ok(Self {
            endpoints,
            control_url,
            servers: listeners.serve(&tls, &Arc::new(Shared::new(azure, documents))),
            ca_path: state_dir.ca_path,
            _temporary: temporary,
        })
    }

    /// Resource Manager's base URL, without a slash at the end.
    pub fn arm_url(&self) -> &str {
        self.endpoints.arm()
    }

    /// Entra's base URL: the authority host, without a slash at the end.
    pub fn entra_url(&self) -> &str {
        self.endpoints.entra()
    }

    /// Base URL of all cluster issuers, without a slash at the end.
    pub fn issuer_url(&self) -> &str {
        self.endpoints.issuer()
    }

    /// Base URL of the control API.
    pub fn control_url(&self) -> &str {
        &self.control_url
    }

    /// The CA certificate, in PEM, that clients must trust.
    pub fn ca_path(&self) -> &Path {
        &self.ca_path
    }

    /// Ends all listeners and their connections, and waits until they are gone.
    pub async fn stop(mut self) {
        self.servers.shutdown().await;
    }
}

/// What the core starts from.
fn core_settings(config: SimulatorConfig, endpoints: Endpoints) -> Result<Settings> {
    let SimulatorConfig {
        state_dir: _,
        tenant,
        subscription,
        resource_groups,
        service_principals,
        addresses: _,
        latency,
        seed,
        tunables,
        trusted_cas: _,
    } = config;
    Ok(Settings {
        tenant,
        subscription,
        resource_groups,
        service_principals,
        endpoints,
        tunables,
        latencies: vec![Latency {
            matcher: Matcher::default(),
            milliseconds: u64::try_from(latency.as_millis())?,
            jitter_milliseconds: 0,
        }],
        seed,
    })
}
