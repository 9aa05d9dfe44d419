//! Containers that end, hang, or are told to.

use std::time::{Duration, Instant};

use azwib_e2e::wait::{PATIENCE, until};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus};
use kube::Api;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::*;

impl Installed {
    /// Waits until the container of some pod waits for this.
    pub(crate) async fn waiting_for(&self, reason: &str) -> anyhow::Result<String> {
        let pods = self.env.pods().await?;
        until(&format!("a pod to say {reason}"), PATIENCE, async || {
            let all = pods.list(&Default::default()).await?;
            let named = all.into_iter().find(|pod| {
                let waiting = container(pod).and_then(|it| it.state?.waiting);
                waiting.is_some_and(|it| it.reason.as_deref() == Some(reason))
            });
            Ok(named.and_then(|it| it.metadata.name))
        })
        .await
    }

    fn signal(&self, pod: &str, signal: Signal) -> anyhow::Result<u32> {
        let pid = self.node.running()[pod].pid;
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal)?;
        Ok(pid)
    }
}

fn container(pod: &Pod) -> Option<ContainerStatus> {
    pod.status
        .as_ref()?
        .container_statuses
        .as_ref()?
        .first()
        .cloned()
}

async fn container_until(
    pods: &Api<Pod>,
    pod: &str,
    what: &str,
    test: impl Fn(&ContainerStatus) -> bool,
) -> anyhow::Result<ContainerStatus> {
    until(&format!("{pod} to be {what}"), PATIENCE, async || {
        Ok(container(&pods.get(pod).await?).filter(&test))
    })
    .await
}

/// How a container ended last, and how long it then waited for its next start.
fn last_end(status: &ContainerStatus) -> (ContainerStateTerminated, SignedDuration) {
    let last = status.last_state.clone().and_then(|it| it.terminated);
    let last = last.unwrap();
    let running = status.state.clone().and_then(|it| it.running).unwrap();
    let (started, finished) = (running.started_at.unwrap().0, &last.finished_at);
    let waited = started.duration_since(finished.as_ref().unwrap().0);
    (last, waited)
}

#[tokio::test]
async fn a_container_that_ends_starts_again_at_once_and_then_after_ten_seconds()
-> anyhow::Result<()> {
    let installed = Installed::start(None).await?;
    let shop = installed.with_a_binding().await?;
    let pods = installed.env.pods().await?;
    let leader = installed.env.leader().await?;
    shop.undisturbed(1, async {
        let first = installed.signal(&leader, Signal::KILL)?;
        let again = |it: &ContainerStatus| it.restart_count == 1 && it.ready;
        let status = container_until(&pods, &leader, "ready again", again).await?;
        assert_ne!(installed.node.running()[&leader].pid, first);
        let (last, waited) = last_end(&status);
        assert_eq!((last.exit_code, last.signal), (137, Some(9)));
        assert!(waited < SignedDuration::from_secs(8), "{waited}");

        installed.signal(&leader, Signal::KILL)?;
        let crashed = installed.waiting_for("CrashLoopBackOff").await?;
        assert_eq!(crashed, leader);
        let again = |it: &ContainerStatus| it.restart_count == 2 && it.ready;
        let status = container_until(&pods, &leader, "ready once more", again).await?;
        let (_, waited) = last_end(&status);
        assert!(waited >= SignedDuration::from_secs(10), "{waited}");
        installed.rolled_out().await
    })
    .await
}

#[tokio::test]
async fn a_container_that_hangs_is_not_ready_then_killed_and_started_again() -> anyhow::Result<()> {
    let installed = Installed::start(None).await?;
    let shop = installed.with_a_binding().await?;
    let probe = |kind: &str, value: serde_json::Value| {
        let path = format!("{CONTAINER}/{kind}Probe");
        let get = json!({ "path": if kind == "readiness" { "/readyz" } else { "/healthz" }, "port": "health" });
        let mut probe = json!({ "httpGet": get, "periodSeconds": 1, "timeoutSeconds": 2 });
        probe
            .as_object_mut()
            .unwrap()
            .extend(value.as_object().unwrap().clone());
        json!({ "op": "add", "path": path, "value": probe })
    };
    let quick = json!([
        probe("startup", json!({ "failureThreshold": 30 })),
        probe("readiness", json!({ "failureThreshold": 2 })),
        probe("liveness", json!({ "failureThreshold": 6 })),
        { "op": "replace", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 2 },
    ]);
    installed.patch(quick).await?;
    installed.rolled_out().await?;
    let pods = installed.env.pods().await?;
    let leader = installed.env.leader().await?;
    shop.undisturbed(1, async {
        installed.signal(&leader, Signal::STOP)?;
        let unready = |it: &ContainerStatus| !it.ready && it.restart_count == 0;
        let status = container_until(&pods, &leader, "not ready", unready).await?;
        assert!(matches!(
            status.state,
            Some(ContainerState {
                running: Some(_),
                ..
            })
        ));
        // A stopped process does not follow SIGTERM.
        let again = |it: &ContainerStatus| it.restart_count == 1 && it.ready;
        let status = container_until(&pods, &leader, "ready again", again).await?;
        assert_eq!(last_end(&status).0.signal, Some(9));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_that_is_deleted_ends_in_order_or_with_its_grace_period() -> anyhow::Result<()> {
    let installed = Installed::start(None).await?;
    let pods = installed.env.pods().await?;
    let before = installed.env.ready_pods().await?;
    let delete = async |pod: &str, grace: &str| {
        let began = Instant::now();
        installed
            .kubectl(&["-n", "azwib-system", "delete", "pod", pod, grace])
            .await?;
        assert!(pods.get_opt(pod).await?.is_none());
        assert!(!installed.node.running().contains_key(pod));
        anyhow::Ok(began.elapsed())
    };
    // It has 45 seconds and needs few of them.
    let took = delete(&before[0], "--grace-period=45").await?;
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(
        installed.node.log(&before[0])?.contains("stop"),
        "{}",
        installed.node.log(&before[0])?
    );

    installed.signal(&before[1], Signal::STOP)?;
    let took = delete(&before[1], "--grace-period=3").await?;
    assert!(took >= Duration::from_secs(3), "{took:?}");
    installed.rolled_out().await?;
    let after = installed.env.ready_pods().await?;
    assert!(after.iter().all(|it| !before.contains(it)), "{after:?}");
    Ok(())
}
