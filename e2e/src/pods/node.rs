//! The node as a test has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::kubelet;
use super::machine::{Machine, RunningPod};
use super::network;
use super::options::NodeOptions;
use crate::ControlPlane;

/// A running node. Its pods' processes are gone when this is dropped, or the process ends.
#[derive(Debug)]
pub struct Node {
    machine: Arc<Machine>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    /// Registers the node and begins to run pods, on a thread of its own: a test may block.
    ///
    /// # Errors
    /// The API server does not answer, or the thread cannot be started.
    pub async fn start(control_plane: &ControlPlane, options: NodeOptions) -> anyhow::Result<Self> {
        let machine = Arc::new(Machine::new(control_plane, options)?);
        let ports = machine.options.loopback_ports.iter().copied();
        let ports = ports.chain([machine.api_server_port]).collect();
        let (stop, stopped) = oneshot::channel();
        let (registered, is_registered) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let here = Arc::clone(&machine);
        let thread = std::thread::Builder::new()
            .name("node".to_owned())
            .spawn(move || {
                let running = async {
                    tokio::try_join!(
                        network::serve(here.links(), ports),
                        kubelet::run(here, registered)
                    )
                };
                LocalSet::new().block_on(&runtime, async {
                    tokio::select! {
                        ended = running => if let Err(error) = ended {
                            // What waits for a pod waits in vain, and this says why.
                            eprintln!("the node has stopped: {error:#}");
                        },
                        _ = stopped => {}
                    }
                });
            })?;
        let node = Self {
            machine,
            stop: Some(stop),
            thread: Some(thread),
        };
        is_registered
            .await
            .context("the node could not be registered")?;
        Ok(node)
    }

    /// The pods whose container has a process, in the order of their names.
    pub fn running(&self) -> BTreeMap<String, RunningPod> {
        self.machine.running()
    }

    /// What the containers of a pod have written so far, the oldest first. It is kept when the pod is gone.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self, pod: &str) -> anyhow::Result<String> {
        let path = self.machine.log_file(pod);
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The answer of a pod to a GET, as something in the cluster gets it: status and text.
    ///
    /// # Errors
    /// The pod does not run, or nobody answers there.
    pub async fn get(&self, pod: &str, port: u16, path: &str) -> anyhow::Result<(u16, String)> {
        let running = self.running();
        let running = running.get(pod).context("the pod does not run")?;
        network::get(&running.network, port, path).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // The machine goes last, and with it the supervisor and all processes.
    }
}
