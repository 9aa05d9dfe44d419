//! What the results of a probe add up to, as a kubelet counts them:
//! <https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/#configure-probes>.

use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Startup,
    Liveness,
    Readiness,
}

/// A probe of a container.
#[derive(Debug)]
pub(super) struct Prober {
    pub(super) kind: Kind,
    pub(super) path: String,
    pub(super) port: u16,
    pub(super) timeout: Duration,
    initial_delay: Duration,
    period: Duration,
    success_threshold: i32,
    failure_threshold: i32,
    /// The next time that it may be made. As with a kubelet, the pod counts and not its container: a container that starts between two
    /// of them waits for the next.
    pub(super) next: Instant,
    /// What counts; None before any result has counted.
    result: Option<bool>,
    last: Option<bool>,
    run: i32,
}

impl Prober {
    /// The probes of a container.
    ///
    /// # Errors
    /// One of them is no GET by plain http: the node makes no other.
    pub(super) fn all(container: &Container, now: Instant) -> anyhow::Result<Vec<Self>> {
        let all = [
            (Kind::Startup, &container.startup_probe),
            (Kind::Liveness, &container.liveness_probe),
            (Kind::Readiness, &container.readiness_probe),
        ];
        let all = all
            .into_iter()
            .filter_map(|(kind, probe)| Some((kind, probe.as_ref()?)));
        all.map(|(kind, probe)| Self::new(kind, probe, container, now))
            .collect()
    }

    fn new(kind: Kind, probe: &Probe, container: &Container, now: Instant) -> anyhow::Result<Self> {
        let get = probe.http_get.as_ref();
        let get = get.with_context(|| format!("the {kind:?} probe is no httpGet"))?;
        if get.host.is_some() || get.scheme.as_deref().is_some_and(|it| it != "HTTP") {
            bail!("the {kind:?} probe has a host or a scheme other than HTTP");
        }
        let seconds = |given: Option<i32>, default: u64| {
            let given = given.and_then(|it| u64::try_from(it).ok());
            Duration::from_secs(given.unwrap_or(default))
        };
        let period = seconds(probe.period_seconds, 10).max(Duration::from_secs(1));
        Ok(Self {
            kind,
            path: get.path.clone().unwrap_or_else(|| "/".to_owned()),
            port: port(get, container)?,
            timeout: seconds(probe.timeout_seconds, 1),
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period,
            success_threshold: probe.success_threshold.unwrap_or(1),
            failure_threshold: probe.failure_threshold.unwrap_or(3),
            next: now,
            result: None,
            last: None,
            run: 0,
        })
    }

    /// Whether it counts as passed: before any result, a container lives and is not ready.
    pub(super) fn passes(&self) -> bool {
        self.result.unwrap_or(self.kind == Kind::Liveness)
    }

    /// Whether it has failed as often as it takes.
    pub(super) fn has_failed(&self) -> bool {
        self.result == Some(false)
    }

    /// Moves on to the next time. True when the probe is made now, with a container that has run for this long.
    pub(super) fn is_made(&mut self, now: Instant, runs_for: Option<Duration>) -> bool {
        // What was missed is not made up for.
        while self.next <= now {
            self.next += self.period;
        }
        runs_for.is_some_and(|it| it >= self.initial_delay)
    }

    /// Counts a result.
    pub(super) fn count(&mut self, passed: bool) {
        self.run = if self.last == Some(passed) {
            self.run.saturating_add(1)
        } else {
            1
        };
        self.last = Some(passed);
        let threshold = if passed {
            self.success_threshold
        } else {
            self.failure_threshold
        };
        if self.run >= threshold {
            self.result = Some(passed);
        }
    }

    /// Begins anew with another process.
    pub(super) fn forget(&mut self) {
        (self.result, self.last, self.run) = (None, None, 0);
    }
}

/// The port that a probe names by its number or by the name that the container gives it.
fn port(get: &HTTPGetAction, container: &Container) -> anyhow::Result<u16> {
    let number = match &get.port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            let named = ports.find(|port| port.name.as_ref() == Some(name));
            named.map(|port| port.container_port)
        }
    };
    let number = number.and_then(|number| u16::try_from(number).ok());
    number.with_context(|| format!("the container has no port {:?}", get.port))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn probers(probes: Value) -> anyhow::Result<Vec<Prober>> {
        let mut container =
            json!({ "name": "operator", "ports": [{ "name": "health", "containerPort": 8081 }] });
        let more = probes.as_object().unwrap().clone();
        container.as_object_mut().unwrap().extend(more);
        Prober::all(&serde_json::from_value(container).unwrap(), Instant::now())
    }

    #[test]
    fn a_result_counts_once_it_has_come_as_often_in_a_row_as_its_threshold_says() {
        let probe =
            json!({ "readinessProbe": { "httpGet": { "port": "health" }, "successThreshold": 2 } });
        let mut prober = probers(probe).unwrap().remove(0);
        assert_eq!((prober.port, prober.path.as_str()), (8081, "/"));
        let results = [
            (true, false),
            (false, false),
            (true, false),
            (true, true),
            (false, true),
            (false, true),
            (true, true),
            (false, true),
            (false, true),
            (false, false),
            (true, false),
            (true, true),
        ];
        for (number, (passed, counts)) in results.into_iter().enumerate() {
            prober.count(passed);
            assert_eq!(prober.passes(), counts, "{number}");
        }
        prober.forget();
        assert!(!prober.passes() && !prober.has_failed());
    }

    #[test]
    fn a_container_lives_until_its_probe_has_failed_and_is_ready_once_it_has_passed() {
        let get = json!({ "httpGet": { "port": 8081, "path": "/healthz" }, "initialDelaySeconds": 10, "periodSeconds": 20 });
        let all = json!({ "livenessProbe": get, "readinessProbe": get, "startupProbe": get });
        let mut all = probers(all).unwrap();
        let passes: Vec<_> = all.iter().map(|it| (it.kind, it.passes())).collect();
        assert_eq!(
            passes,
            [
                (Kind::Startup, false),
                (Kind::Liveness, true),
                (Kind::Readiness, false)
            ]
        );
        let liveness = &mut all[1];
        let (first, seconds) = (liveness.next, Duration::from_secs);
        assert!(!liveness.is_made(first, None));
        assert!(!liveness.is_made(first, Some(seconds(9))));
        assert!(liveness.is_made(first + seconds(45), Some(seconds(10))));
        assert_eq!(liveness.next, first + seconds(60));
    }

    #[test]
    fn a_probe_that_the_node_does_not_make_is_refused() {
        for probe in [
            json!({ "exec": { "command": ["true"] } }),
            json!({ "httpGet": { "port": "other" } }),
            json!({ "httpGet": { "port": 8081, "scheme": "HTTPS" } }),
        ] {
            assert!(
                probers(json!({ "livenessProbe": probe })).is_err(),
                "{probe}"
            );
        }
    }
}
