//! What all pods of a node share.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;

use super::options::NodeOptions;
use crate::ControlPlane;
use crate::supervisor::Supervisor;

/// The node's name.
pub(super) const NODE: &str = "node-1";

/// A container with a process.
#[derive(Debug, Clone)]
pub struct RunningPod {
    /// The id of its process, here and not in the pod.
    pub pid: u32,
    /// By which socket the pod's own address is reached.
    pub(super) network: PathBuf,
}

/// Folders, processes and addresses.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) kubeconfig: PathBuf,
    /// Where the API server listens on this machine.
    pub(super) api_server_port: u16,
    pub(super) options: NodeOptions,
    pub(super) supervisor: Supervisor,
    addresses: AtomicU16,
    running: Mutex<BTreeMap<String, RunningPod>>,
}

impl Machine {
    pub(super) fn new(control_plane: &ControlPlane, options: NodeOptions) -> anyhow::Result<Self> {
        let supervisor = Supervisor::start()?;
        let machine = Self {
            kubeconfig: control_plane.kubeconfig(),
            api_server_port: control_plane.api_server_port(),
            options,
            supervisor,
            addresses: AtomicU16::new(2),
            running: Mutex::default(),
        };
        for folder in [machine.links(), machine.logs()] {
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        Ok(machine)
    }

    /// The sockets by which pods reach what is outside of them.
    pub(super) fn links(&self) -> PathBuf {
        self.supervisor.directory().join("links")
    }

    /// A pod's own folder. The name of a socket below it may have 107 letters only, and a UID has 36.
    pub(super) fn folder(&self, pod_uid: &str) -> PathBuf {
        self.supervisor.directory().join(pod_uid)
    }

    pub(super) fn log_file(&self, pod: &str) -> PathBuf {
        self.logs().join(format!("pod-{pod}.log"))
    }

    fn logs(&self) -> PathBuf {
        let own = || self.supervisor.directory().join("logs");
        self.options.logs.clone().unwrap_or_else(own)
    }

    /// An address that no pod of this node has had.
    pub(super) fn address(&self) -> String {
        let [high, low] = self.addresses.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        format!("10.244.{high}.{low}")
    }

    pub(super) fn running(&self) -> BTreeMap<String, RunningPod> {
        let running = self.running.lock();
        running.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes the process of a pod's container, or that it has none.
    pub(super) fn note(&self, pod: &str, pid: Option<u32>, network: &Path) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match pid {
            Some(pid) => {
                let network = network.to_owned();
                running.insert(pod.to_owned(), RunningPod { pid, network });
            }
            None => {
                running.remove(pod);
            }
        }
    }
}
