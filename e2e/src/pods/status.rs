//! The status of a pod with one container, as a kubelet writes it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::supervisor::Exit;

/// Where the node runs.
const HOST: &str = "127.0.0.1";

/// What a container is doing.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// It has no process, for a reason that Kubernetes has a word for.
    Waiting {
        reason: &'static str,
        message: Option<String>,
    },
    Running {
        since: Timestamp,
    },
    Ended(End),
}

/// How a process of a container has ended.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) exit: Exit,
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
}

/// All that the status of a pod is made of.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) state: State,
    pub(super) last: Option<End>,
    pub(super) restarts: i32,
    /// Whether the startup probe, if there is one, has passed.
    pub(super) started: bool,
    /// Whether the readiness probe, if there is one, has passed.
    pub(super) ready: bool,
    pub(super) address: Option<String>,
    /// When the node took the pod.
    pub(super) taken: Timestamp,
    conditions: Vec<PodCondition>,
}

impl Facts {
    /// Those of a pod that the node has just taken.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            state: State::Waiting {
                reason: "ContainerCreating",
                message: None,
            },
            last: None,
            restarts: 0,
            started: false,
            ready: false,
            address: None,
            taken: now,
            conditions: Vec::new(),
        }
    }

    /// The status now. A condition keeps the time of its last transition.
    pub(super) fn status(
        &mut self,
        pod: &Pod,
        container: Option<&Container>,
        now: Timestamp,
    ) -> PodStatus {
        let is_over = matches!(self.state, State::Ended(_));
        let ready = self.ready && matches!(self.state, State::Running { .. });
        let unready = if is_over {
            "PodFailed"
        } else {
            "ContainersNotReady"
        };
        self.set("Initialized", true, None, now);
        self.set("ContainersReady", ready, Some(unready), now);
        self.set("Ready", ready, Some(unready), now);
        let phase = match &self.state {
            State::Ended(end) if end.exit.is_success() => "Succeeded",
            State::Ended(_) => "Failed",
            State::Running { .. } => "Running",
            State::Waiting { .. } if self.last.is_some() => "Running",
            State::Waiting { .. } => "Pending",
        };
        PodStatus {
            phase: Some(phase.to_owned()),
            conditions: Some(self.conditions.clone()),
            container_statuses: container.map(|it| vec![self.container(it, ready)]),
            host_ip: Some(HOST.to_owned()),
            pod_ip: self.address.clone(),
            pod_ips: self.address.clone().map(|ip| vec![PodIP { ip }]),
            start_time: Some(Time(self.taken)),
            observed_generation: pod.metadata.generation,
            ..PodStatus::default()
        }
    }

    fn container(&self, container: &Container, ready: bool) -> ContainerStatus {
        let image = container.image.clone().unwrap_or_default();
        let ended = |end: &End| {
            let (code, signal, reason) = match end.exit {
                Exit::Code(0) => (0, None, "Completed"),
                Exit::Code(code) => (code, None, "Error"),
                Exit::Signal(signal) => (128 + signal, Some(signal), "Error"),
            };
            ContainerStateTerminated {
                exit_code: code,
                signal,
                reason: Some(reason.to_owned()),
                started_at: Some(Time(end.started)),
                finished_at: Some(Time(end.finished)),
                ..ContainerStateTerminated::default()
            }
        };
        let mut state = ContainerState::default();
        match &self.state {
            State::Waiting { reason, message } => {
                state.waiting = Some(ContainerStateWaiting {
                    reason: Some((*reason).to_owned()),
                    message: message.clone(),
                });
            }
            State::Running { since } => {
                let started_at = Some(Time(*since));
                state.running = Some(ContainerStateRunning { started_at });
            }
            State::Ended(end) => state.terminated = Some(ended(end)),
        }
        ContainerStatus {
            name: container.name.clone(),
            image_id: image.clone(),
            image,
            ready,
            started: Some(self.started && matches!(self.state, State::Running { .. })),
            restart_count: self.restarts,
            state: Some(state),
            last_state: self.last.as_ref().map(|end| ContainerState {
                terminated: Some(ended(end)),
                ..ContainerState::default()
            }),
            ..ContainerStatus::default()
        }
    }

    fn set(&mut self, type_: &str, holds: bool, unless: Option<&str>, now: Timestamp) {
        let status = if holds { "True" } else { "False" };
        let there = self.conditions.iter().find(|it| it.type_ == type_);
        let same = there.filter(|it| it.status == status);
        let since = same.and_then(|it| it.last_transition_time.clone());
        let condition = PodCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: unless.filter(|_| !holds).map(str::to_owned),
            last_transition_time: Some(since.unwrap_or(Time(now))),
            ..PodCondition::default()
        };
        self.conditions.retain(|it| it.type_ != type_);
        self.conditions.push(condition);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The status at this second.
    fn status(facts: &mut Facts, second: i64) -> Value {
        let pod = json!({ "spec": { "containers": [{ "name": "operator", "image": "azwib" }] } });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let container = pod.spec.as_ref().unwrap().containers.first();
        let now = Timestamp::from_second(second).unwrap();
        json!(facts.status(&pod, container, now))
    }

    fn ready(status: &Value) -> (Value, Value) {
        let conditions = status["conditions"].as_array().unwrap();
        let ready = conditions.iter().find(|it| it["type"] == "Ready").unwrap();
        (ready["status"].clone(), ready["lastTransitionTime"].clone())
    }

    #[test]
    fn a_condition_keeps_its_time_until_it_changes() {
        let mut facts = Facts::new(Timestamp::UNIX_EPOCH);
        let waiting = status(&mut facts, 1);
        assert_eq!(waiting["phase"], "Pending");
        assert_eq!(
            waiting["containerStatuses"][0]["state"]["waiting"]["reason"],
            "ContainerCreating"
        );
        let since = ready(&waiting);
        facts.state = State::Running {
            since: Timestamp::UNIX_EPOCH,
        };
        let running = status(&mut facts, 2);
        assert_eq!(running["phase"], "Running");
        assert_eq!(ready(&running), since);
        facts.ready = true;
        let changed = ready(&status(&mut facts, 3));
        assert_eq!(changed, (json!("True"), json!("1970-01-01T00:00:03Z")));
        assert_eq!(ready(&status(&mut facts, 4)), changed);
    }

    #[test]
    fn a_container_that_crashed_shows_how_and_is_not_ready_whatever_its_probes_said() {
        let mut facts = Facts::new(Timestamp::UNIX_EPOCH);
        facts.ready = true;
        let end = End {
            exit: Exit::Signal(9),
            started: Timestamp::UNIX_EPOCH,
            finished: Timestamp::UNIX_EPOCH,
        };
        facts.last = Some(end.clone());
        facts.state = State::Waiting {
            reason: "CrashLoopBackOff",
            message: None,
        };
        let crashed = status(&mut facts, 1);
        let container = &crashed["containerStatuses"][0];
        assert_eq!(ready(&crashed).0, "False");
        assert_eq!(container["ready"], false);
        assert_eq!(container["lastState"]["terminated"]["exitCode"], 137);
        assert_eq!(crashed["phase"], "Running");
        facts.state = State::Ended(end);
        assert_eq!(status(&mut facts, 2)["phase"], "Failed");
    }
}
