//! A container is started, or its status says what is in the way.

use anyhow::anyhow;
use jiff::Timestamp;
use kube::ResourceExt;
use std::time::Duration;
use tokio::time::Instant;

use super::{Running, Worker};
use crate::pods::container::Sandbox;
use crate::pods::environment::invocation;
use crate::pods::probes::Prober;
use crate::pods::root::Root;
use crate::pods::spec;
use crate::pods::status::State;

/// What a container waits for while a volume of it cannot be filled.
const CREATING: &str = "ContainerCreating";

/// How often that is tried again: what a volume needs may be made a moment after the pod.
const MOUNT_AGAIN: Duration = Duration::from_secs(1);

/// Why a container does not start: Kubernetes' word for it, and the cause.
struct Obstacle {
    reason: &'static str,
    cause: anyhow::Error,
}

impl Worker {
    /// Starts the container, or says what is in the way.
    pub(super) async fn start(&mut self) {
        match self.try_to_start().await {
            Ok(running) => {
                let network = self.sandbox.as_ref().map(|it| it.socket.clone());
                let (pid, network) = (running.process.pid(), network.unwrap_or_default());
                self.machine.note(&self.pod.name_any(), Some(pid), &network);
                self.facts.state = State::Running {
                    since: running.started,
                };
                if self.facts.last.is_some() {
                    self.facts.restarts += 1;
                }
                self.process = Some(running);
                self.judge();
            }
            Err(Obstacle { reason, cause }) => {
                self.facts.state = State::Waiting {
                    reason,
                    message: Some(format!("{cause:#}")),
                };
                let delay = match reason {
                    CREATING => MOUNT_AGAIN,
                    _ => self.backoff.next(),
                };
                self.next_try = Instant::now() + delay;
            }
        }
    }

    async fn try_to_start(&mut self) -> Result<Running, Obstacle> {
        let because = |reason| move |cause| Obstacle { reason, cause };
        let pod = self.pod.clone();
        let refused = because("CreateContainerConfigError");
        let container = spec::container(&pod).map_err(refused)?;
        let image = container.image.clone().unwrap_or_default();
        let program = self.machine.options.images.get(&image).ok_or_else(|| {
            let reason = if self.backoff.is_fresh() {
                "ErrImagePull"
            } else {
                "ImagePullBackOff"
            };
            let cause = anyhow!("failed to pull image {image:?}: not found");
            Obstacle { reason, cause }
        })?;
        if self.probers.is_empty() {
            self.probers = Prober::all(container, Instant::now()).map_err(refused)?;
        }
        let identity = spec::identity(&pod, container).map_err(refused)?;
        self.volumes
            .sync(&pod, &self.sources)
            .await
            .map_err(because(CREATING))?;
        let no_sandbox = because("CreatePodSandboxError");
        if self.sandbox.is_none() {
            let service = self.sources.api_server().await.map_err(no_sandbox)?;
            let sandbox = Sandbox::start(&self.machine, &self.folder, service).await;
            self.sandbox = Some(sandbox.map_err(no_sandbox)?);
        }
        let Some(sandbox) = &self.sandbox else {
            return Err(no_sandbox(anyhow!("there is none")));
        };
        self.facts.address = Some(sandbox.address.clone());
        let mut with_address = pod.clone();
        let status = with_address.status.get_or_insert_default();
        status.pod_ip = self.facts.address.clone();
        let invocation = invocation(&with_address, container, &self.sources)
            .await
            .map_err(refused)?;
        let no_container = because("CreateContainerError");
        let folder = self.folder.join("root");
        let root =
            Root::new(folder, program, &pod, container, &self.volumes).map_err(no_container)?;
        let log = self.machine.log_file(&pod.name_any());
        let process = sandbox.run(&self.machine, &root, identity, invocation, log);
        Ok(Running {
            process: process.await.map_err(no_container)?,
            since: Instant::now(),
            started: Timestamp::now(),
        })
    }
}
