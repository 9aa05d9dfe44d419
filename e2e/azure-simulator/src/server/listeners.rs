//! The four listeners: where they are, under which URLs, and what serves them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::pipeline::Shared;
use super::state_dir::StateDir;
use super::{control, https};
use crate::core::Endpoints;
use crate::core::http::Service;

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

/// Bound listeners.
#[derive(Debug)]
pub(crate) struct Listeners {
    arm: TcpListener,
    entra: TcpListener,
    issuer: TcpListener,
    pub(crate) control: TcpListener,
}

impl Listeners {
    pub(crate) async fn bind(addresses: &Addresses) -> Result<Self> {
        Ok(Self {
            arm: bind(addresses.arm).await?,
            entra: bind(addresses.entra).await?,
            issuer: bind(addresses.issuer).await?,
            control: bind(addresses.control).await?,
        })
    }

    /// The URLs under which the services are reached from this machine.
    pub(crate) fn endpoints(&self) -> Result<Endpoints> {
        Ok(Endpoints::new(
            &https_url(&self.arm)?,
            &https_url(&self.entra)?,
            &https_url(&self.issuer)?,
        ))
    }

    /// TLS with a certificate for all three services.
    pub(crate) fn tls_config(&self, state_dir: &StateDir) -> Result<Arc<ServerConfig>> {
        let mut names = vec![
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ];
        for listener in [&self.arm, &self.entra, &self.issuer] {
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

    /// Serves until the set is dropped or shut down.
    pub(crate) fn serve(self, tls: &Arc<ServerConfig>, shared: &Arc<Shared>) -> JoinSet<()> {
        let mut servers = JoinSet::new();
        for (listener, service) in [
            (self.arm, Service::ResourceManager),
            (self.entra, Service::Entra),
            (self.issuer, Service::Issuer),
        ] {
            servers.spawn(https::serve(listener, tls.clone(), service, shared.clone()));
        }
        let router = control::router(shared.clone());
        servers.spawn(async move {
            if let Err(error) = axum::serve(self.control, router).await {
                tracing::error!(%error, "the control API ended");
            }
        });
        servers
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address}"))
}

fn https_url(listener: &TcpListener) -> Result<String> {
    let mut address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    Ok(format!("https://{address}"))
}
