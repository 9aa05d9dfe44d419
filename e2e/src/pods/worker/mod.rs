//! The life of one pod on the node: its container is started, probed, started again, and ended with its grace period.

mod end;
mod probing;
mod start;

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::backoff::Backoff;
use super::container::Sandbox;
use super::environment::Sources;
use super::machine::Machine;
use super::probes::Prober;
use super::spec;
use super::status::{End, Facts, State};
use super::tokens::SYNC_PERIOD;
use super::volumes::Volumes;
use crate::supervisor::{Exit, Process};

/// A pod's grace period where its spec has none: Kubernetes' own default.
const GRACE: Duration = Duration::from_secs(30);

/// What the watch shows of a pod.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    There(Box<Pod>),
    /// It was deleted without the node.
    Gone,
}

/// One pod.
pub(super) struct Worker {
    pods: Api<Pod>,
    sources: Sources,
    machine: Arc<Machine>,
    pod: Pod,
    seen: watch::Receiver<Seen>,
    folder: PathBuf,
    volumes: Volumes,
    sandbox: Option<Sandbox>,
    process: Option<Running>,
    probers: Vec<Prober>,
    facts: Facts,
    reported: Option<PodStatus>,
    backoff: Backoff,
    /// When the container is tried again, while it has no process.
    next_try: Instant,
    next_sync: Instant,
}

/// A container's process.
struct Running {
    process: Process,
    since: Instant,
    started: Timestamp,
}

/// What a worker wakes up for.
enum Event {
    Seen,
    Exited(Exit),
    Try,
    Probe,
    Sync,
}

impl Worker {
    pub(super) fn new(
        client: Client,
        machine: Arc<Machine>,
        pod: Pod,
        seen: watch::Receiver<Seen>,
    ) -> Self {
        let folder = machine.folder(&pod.uid().unwrap_or_default());
        let namespace = pod.namespace().unwrap_or_default();
        Self {
            pods: Api::namespaced(client.clone(), &namespace),
            sources: Sources { client, namespace },
            volumes: Volumes::new(folder.join("volumes"), machine.options.clone()),
            next_sync: Instant::now() + sync_period(&machine),
            machine,
            pod,
            seen,
            folder,
            sandbox: None,
            process: None,
            probers: Vec::new(),
            facts: Facts::new(Timestamp::now()),
            reported: None,
            backoff: Backoff::default(),
            next_try: Instant::now(),
        }
    }

    /// Runs the pod until it is gone.
    pub(super) async fn run(mut self) {
        loop {
            self.report().await;
            match self.event().await {
                Event::Seen => {
                    let seen = self.seen.borrow_and_update().clone();
                    match seen {
                        Seen::There(pod) if pod.metadata.deletion_timestamp.is_none() => {
                            self.pod = *pod;
                        }
                        Seen::There(pod) => {
                            self.pod = *pod;
                            return self.end().await;
                        }
                        Seen::Gone => return self.vanish().await,
                    }
                }
                Event::Try => self.start().await,
                Event::Exited(exit) => self.exited(exit),
                Event::Probe => self.probe().await,
                Event::Sync => self.sync().await,
            }
        }
    }

    async fn event(&mut self) -> Event {
        let (process, is_idle) = (&self.process, self.process.is_none());
        let exited = async move {
            match process {
                // An error: the supervisor is gone, and soon this worker.
                Some(running) => match running.process.wait_exit().await {
                    Ok(exit) => exit,
                    Err(_) => pending().await,
                },
                None => pending().await,
            }
        };
        let next_probe = self.probers.iter().map(|it| it.next).min();
        let probe = async {
            match next_probe {
                Some(next) => sleep_until(next).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = self.seen.changed() => match changed {
                Ok(()) => Event::Seen,
                // The node has ended, and soon this worker.
                Err(_) => pending().await,
            },
            exit = exited => Event::Exited(exit),
            () = sleep_until(self.next_try), if is_idle => Event::Try,
            () = probe => Event::Probe,
            () = sleep_until(self.next_sync) => Event::Sync,
        }
    }

    /// Notes that the container has ended by itself or for its liveness probe: it is started again, later each time.
    fn exited(&mut self, exit: Exit) {
        let Some(running) = self.process.take() else {
            return;
        };
        self.forget();
        self.facts.last = Some(End {
            exit,
            started: running.started,
            finished: Timestamp::now(),
        });
        let delay = self.backoff.after_a_run_of(running.since.elapsed());
        self.next_try = Instant::now() + delay;
        self.facts.state = State::Waiting {
            reason: "CrashLoopBackOff",
            message: Some(format!("back-off {delay:?} restarting failed container")),
        };
    }

    fn forget(&mut self) {
        self.machine.note(&self.pod.name_any(), None, &self.folder);
        self.probers.iter_mut().for_each(Prober::forget);
        self.judge();
    }

    /// Brings the volumes up to date.
    async fn sync(&mut self) {
        self.next_sync = Instant::now() + sync_period(&self.machine);
        if self.process.is_some()
            && let Err(error) = self.volumes.sync(&self.pod, &self.sources).await
        {
            eprintln!("volumes of {}: {error:#}", self.pod.name_any());
        }
    }

    fn grace(&self) -> Duration {
        let (spec, metadata) = (self.pod.spec.as_ref(), &self.pod.metadata);
        let own = spec.and_then(|it| it.termination_grace_period_seconds);
        let seconds = metadata.deletion_grace_period_seconds.or(own);
        let seconds = seconds.and_then(|it| u64::try_from(it).ok());
        seconds.map_or(GRACE, Duration::from_secs)
    }

    /// Writes the status where it has changed. What the API server did not take is written with the next change or probe.
    async fn report(&mut self) {
        let container: Option<Container> = spec::container(&self.pod).ok().cloned();
        let container = container.or_else(|| self.pod.spec.as_ref()?.containers.first().cloned());
        let now = Timestamp::now();
        let status = self.facts.status(&self.pod, container.as_ref(), now);
        if self.reported.as_ref() == Some(&status) {
            return;
        }
        let patch =
            Patch::Strategic(json!({ "metadata": { "uid": self.pod.uid() }, "status": status }));
        let (name, how) = (self.pod.name_any(), PatchParams::default());
        match self.pods.patch_status(&name, &how, &patch).await {
            Ok(_) => self.reported = Some(status),
            Err(error) => eprintln!("status of {name}: {error:#}"),
        }
    }
}

/// How often a pod's volumes are brought up to date: no later than its tokens are due.
fn sync_period(machine: &Machine) -> Duration {
    let due = machine.options.renew_tokens_after;
    due.unwrap_or(SYNC_PERIOD).min(SYNC_PERIOD)
}
