//! The node's own loop: registers the node, keeps its lease, and gives each of its pods a worker.

use std::collections::HashMap;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::TryStreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config, ResourceExt};
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_local;
use tokio::time::interval;

use super::machine::{Machine, NODE};
use super::scheduler::{is_pending, schedule};
use super::worker::{Seen, Worker};

/// As a kubelet renews its lease: a quarter of its 40 seconds.
const LEASE_PERIOD: Duration = Duration::from_secs(10);
const LEASE_SECONDS: i32 = 40;

/// How often pods that found no node are looked at again: a node that takes pods again is not watched.
const SCHEDULE_PERIOD: Duration = Duration::from_millis(250);

/// By whom the node object and its lease are applied.
const FIELD_MANAGER: &str = "kubelet";

/// Registers the node, says so, and runs pods, on the local tasks of this thread. Does not end by itself.
///
/// # Errors
/// The API server refuses the node, or cannot be asked at the start.
pub(super) async fn run(
    machine: Arc<Machine>,
    registered: oneshot::Sender<()>,
) -> anyhow::Result<()> {
    let client = client(&machine.kubeconfig).await?;
    register(&client).await?;
    let _ = registered.send(());
    tokio::try_join!(keep_lease(&client), run_pods(&client, machine))?;
    Ok(())
}

async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    config.proxy_url = None;
    Ok(Client::try_from(config)?)
}

/// A node that is ready. The node lifecycle controller then takes the taint off with which every node comes.
async fn register(client: &Client) -> anyhow::Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let how = PatchParams::apply(FIELD_MANAGER).force();
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": NODE, "labels": {
            "kubernetes.io/os": "linux", "kubernetes.io/hostname": NODE, "topology.kubernetes.io/zone": "zone-1",
        } },
    });
    nodes.patch(NODE, &how, &Patch::Apply(&node)).await?;
    let now = Timestamp::now();
    let room = json!({ "cpu": "4", "memory": "8Gi", "pods": "110" });
    let status = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": NODE }, "status": {
        "capacity": room, "allocatable": room,
        "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "the tests' node runs pods",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }],
    } });
    nodes
        .patch_status(NODE, &how, &Patch::Apply(&status))
        .await?;
    Ok(())
}

async fn keep_lease(client: &Client) -> anyhow::Result<()> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let how = PatchParams::apply(FIELD_MANAGER).force();
    let mut period = interval(LEASE_PERIOD);
    loop {
        period.tick().await;
        let lease = Lease {
            metadata: kube::api::ObjectMeta {
                name: Some(NODE.to_owned()),
                ..kube::api::ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(NODE.to_owned()),
                lease_duration_seconds: Some(LEASE_SECONDS),
                renew_time: Some(MicroTime(Timestamp::now())),
                ..LeaseSpec::default()
            }),
        };
        if let Err(error) = leases.patch(NODE, &how, &Patch::Apply(&lease)).await {
            // The API server may be away, or its first namespaces may not be there yet.
            eprintln!("the node's lease: {error:#}");
        }
    }
}

async fn run_pods(client: &Client, machine: Arc<Machine>) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &machine.options.namespace);
    let mut events = pin!(watcher(pods, watcher::Config::default()));
    let mut known = Known {
        client: client.clone(),
        machine,
        pending: HashMap::new(),
        workers: HashMap::new(),
        listed: Vec::new(),
    };
    let mut period = interval(SCHEDULE_PERIOD);
    loop {
        tokio::select! {
            event = events.try_next() => match event {
                Ok(event) => known.take(event.context("the watch of pods has ended")?),
                // The watch begins anew by itself.
                Err(error) => eprintln!("the watch of pods: {error:#}"),
            },
            _ = period.tick() => known.schedule().await,
        }
    }
}

/// The pods of the namespace, by their UIDs.
struct Known {
    client: Client,
    machine: Arc<Machine>,
    pending: HashMap<String, Pod>,
    workers: HashMap<String, watch::Sender<Seen>>,
    /// What a list that is under way has shown so far.
    listed: Vec<String>,
}

impl Known {
    fn take(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) => {
                self.listed.extend(pod.uid());
                self.see(pod);
            }
            Event::InitDone => {
                let gone = |uid: &String| !self.listed.contains(uid);
                self.pending.retain(|uid, _| !gone(uid));
                self.workers.retain(|uid, worker| {
                    if gone(uid) {
                        worker.send_replace(Seen::Gone);
                    }
                    !gone(uid)
                });
            }
            Event::Apply(pod) => self.see(pod),
            Event::Delete(pod) => {
                let uid = pod.uid().unwrap_or_default();
                self.pending.remove(&uid);
                if let Some(worker) = self.workers.remove(&uid) {
                    worker.send_replace(Seen::Gone);
                }
            }
        }
    }

    fn see(&mut self, pod: Pod) {
        let uid = pod.uid().unwrap_or_default();
        if is_pending(&pod) {
            self.pending.insert(uid, pod);
            return;
        }
        self.pending.remove(&uid);
        let node = pod.spec.as_ref().and_then(|it| it.node_name.as_deref());
        if node != Some(NODE) {
            return;
        }
        if let Some(worker) = self.workers.get(&uid) {
            worker.send_replace(Seen::There(Box::new(pod)));
        } else {
            let (sender, seen) = watch::channel(Seen::There(Box::new(pod.clone())));
            let worker = Worker::new(self.client.clone(), Arc::clone(&self.machine), pod, seen);
            spawn_local(worker.run());
            self.workers.insert(uid, sender);
        }
    }

    /// Schedules what is pending. What has a node now is not pending any more, although the watch has yet to show it.
    async fn schedule(&mut self) {
        let mut bound = Vec::new();
        for (uid, pod) in &self.pending {
            match schedule(&self.client, pod).await {
                Ok(true) => bound.push(uid.clone()),
                Ok(false) => {}
                // Tried again, unless the pod has gone by then.
                Err(error) => eprintln!("scheduling {}: {error:#}", pod.name_any()),
            }
        }
        bound.iter().for_each(|uid| drop(self.pending.remove(uid)));
    }
}
