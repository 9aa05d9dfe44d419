//! A proxy in front of the API server, for the operator alone: it notes every call, holds or slows down those that a test
//! chooses, and stands for a network that can be cut.
//!
//! Callers keep their bearer token, so that RBAC and the audit log see them and not the proxy; watches stream through.

mod calls;
mod line;
mod server;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use azure_simulator::control::api::When;
use kube::config::Kubeconfig;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use uuid::Uuid;

use self::calls::Calls;
pub use self::calls::{CallMatcher, CallRecord, HeldCall, Slow};
pub use self::line::Cut;
use self::line::Network;
pub(crate) use self::server::tls_config;
use crate::ControlPlane;
use crate::certificates::CertificateAuthority;

/// A running proxy. Dropping it ends it, with every connection.
#[derive(Debug)]
pub struct ApiProxy {
    address: SocketAddr,
    /// What its callers have to trust, PEM.
    ca_file: PathBuf,
    calls: Arc<Calls>,
    network: Arc<Network>,
    /// The proxy serves until this is dropped.
    _running: oneshot::Sender<()>,
}

impl ApiProxy {
    /// Starts a proxy in front of the API server of this control plane, on a thread of its own: tests come and go with
    /// their runtimes.
    ///
    /// # Errors
    /// A certificate cannot be made, or nothing can listen on loopback.
    pub fn start(control_plane: &ControlPlane) -> anyhow::Result<Self> {
        let ca = CertificateAuthority::new("azwib API server proxy")?;
        let tls = server::tls_config(&ca.issue_for_loopback("api-server-proxy")?)?;
        let ca_file = control_plane
            .directory()
            .join(format!("api-proxy-{}.crt", Uuid::new_v4()));
        fs::write(&ca_file, ca.pem())?;
        let (upstream, upstream_ca) = cluster(&control_plane.kubeconfig())?;
        let upstream = server::Upstream::new(upstream, &fs::read(upstream_ca)?)?;

        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (calls, network) = (Arc::new(Calls::default()), Arc::<Network>::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _context = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (running, stopped) = oneshot::channel();
        let served = server::serve(
            listener,
            tls,
            upstream,
            (Arc::clone(&calls), Arc::clone(&network)),
        );
        thread::Builder::new()
            .name("api-proxy".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = served => {}
                        // Nothing is ever sent: the other end is dropped.
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            ca_file,
            calls,
            network,
            _running: running,
        })
    }

    /// Where it serves, as a kubeconfig names it.
    pub fn server(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The certificate authority that its callers have to trust, PEM.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// Holds the nth (from 1) of the matching calls from now on: before it is passed on, or once the API server has
    /// answered and before the caller sees that. Two holds never get the same call.
    ///
    /// # Errors
    /// The path of the matcher is no glob.
    pub fn hold(&self, matcher: &CallMatcher, nth: u64, when: When) -> anyhow::Result<HeldCall> {
        self.calls.hold(matcher, nth, when)
    }

    /// From now on each matching call reaches the API server so much later.
    ///
    /// # Errors
    /// The path of the matcher is no glob.
    pub fn slow_down(&self, matcher: &CallMatcher, slow: Slow) -> anyhow::Result<()> {
        self.calls.slow_down(matcher, slow)
    }

    /// Calls that come from now on are not slowed down any more.
    pub fn speed_up(&self) {
        self.calls.speed_up();
    }

    /// Cuts the network between the callers and the API server.
    pub fn cut(&self, how: Cut) {
        self.network.set(Some(how));
    }

    /// From now on watches of these paths show nothing, and all else works; what they have missed they show once the network works
    /// again.
    ///
    /// # Errors
    /// The path is no glob.
    pub fn silence_watches(&self, path: &str) -> anyhow::Result<()> {
        self.calls.silence_watches(path)
    }

    /// The network works again.
    pub fn mend(&self) {
        self.network.set(None);
        self.calls.end_silence();
    }

    /// Every call so far, in order of arrival.
    pub fn calls(&self) -> Vec<CallRecord> {
        self.calls.records()
    }
}

/// The address of a kubeconfig's only cluster and its certificate authority.
fn cluster(kubeconfig: &Path) -> anyhow::Result<(String, String)> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let cluster = kubeconfig.clusters.into_iter().find_map(|it| it.cluster);
    let cluster = cluster.context("the kubeconfig names no cluster")?;
    let server = cluster.server.context("the cluster has no address")?;
    let ca = cluster.certificate_authority;
    Ok((server, ca.context("the cluster has no authority")?))
}
