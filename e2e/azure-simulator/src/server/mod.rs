//! The servers around the core: three https listeners and the control API.

mod control;
mod holds;
mod https;
mod issuer_documents;
mod pipeline;
mod state_dir;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustls::ServerConfig;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uuid::{Uuid, uuid};

use self::issuer_documents::IssuerDocumentsClient;
use self::pipeline::Shared;
use self::state_dir::StateDir;
use crate::core::http::Service;
use crate::core::interference::{Latency, Matcher};
use crate::core::state::ServicePrincipal;
use crate::core::tunables::Tunables;
use crate::core::{Azure, Endpoints, Settings};

/// Where the listeners are; port 0 is a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Resource Manager.
    pub arm: SocketAddr,
    /// Entra.
    pub entra: SocketAddr,
    /// The issuer.
    pub issuer: SocketAddr,
    /// The control API: a loopback address, for it is not protected.
    pub control: SocketAddr,
}

impl Default for Addresses {
    fn default() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            arm: free,
            entra: free,
            issuer: free,
            control: free,
        }
    }
}

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
        let SimulatorConfig {
            state_dir,
            tenant,
            subscription,
            resource_groups,
            service_principals,
            addresses,
            latency,
            seed,
            tunables,
            trusted_cas,
        } = config;
        ensure!(
            addresses.control.ip().is_loopback(),
            "the control API must be on a loopback address, not on {}",
            addresses.control
        );
        let (directory, temporary) = match state_dir {
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
        let arm = bind(addresses.arm).await?;
        let entra = bind(addresses.entra).await?;
        let issuer = bind(addresses.issuer).await?;
        let control = bind(addresses.control).await?;
        let endpoints =
            Endpoints::new(&https_url(&arm)?, &https_url(&entra)?, &https_url(&issuer)?);
        let control_url = format!("http://{}", control.local_addr()?);
        let settings = Settings {
            tenant,
            subscription,
            resource_groups,
            service_principals,
            endpoints: endpoints.clone(),
            tunables,
            latencies: vec![Latency {
                matcher: Matcher::default(),
                milliseconds: u64::try_from(latency.as_millis())?,
                jitter_milliseconds: 0,
            }],
            seed,
        };
        let documents = IssuerDocumentsClient::new(state_dir.ca_certificate(), &trusted_cas)?;
        let tls = tls_config(&state_dir, &[&arm, &entra, &issuer])?;
        let azure = Azure::new(settings, state_dir.signing_key.clone());
        let shared = Arc::new(Shared::new(azure, documents));
        let mut servers = JoinSet::new();
        for (listener, service) in [
            (arm, Service::ResourceManager),
            (entra, Service::Entra),
            (issuer, Service::Issuer),
        ] {
            servers.spawn(https::serve(listener, tls.clone(), service, shared.clone()));
        }
        servers.spawn(async move {
            if let Err(error) = axum::serve(control, control::router(shared)).await {
                tracing::error!(%error, "the control API ended");
            }
        });
        Ok(Self {
            endpoints,
            control_url,
            ca_path: state_dir.ca_path,
            servers,
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

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address}"))
}

/// The URL under which a listener is reached from this machine.
fn https_url(listener: &TcpListener) -> Result<String> {
    let mut address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    Ok(format!("https://{address}"))
}

fn tls_config(state_dir: &StateDir, listeners: &[&TcpListener]) -> Result<Arc<ServerConfig>> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    for listener in listeners {
        let ip = listener.local_addr()?.ip().to_string();
        if !names.contains(&ip) {
            names.push(ip);
        }
    }
    let (chain, key) = state_dir.server_certificate(names)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
