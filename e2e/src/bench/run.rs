//! One case, from an empty cluster to its figures.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, future, stream};
use jiff::Timestamp;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt};
use tokio::time::sleep;

use super::bound::lower_bound;
use super::cases::{Case, Kind};
use super::churn::churn;
use super::counts::{AzureLog, Window, count};
use super::large;
use super::neighbour::Crowd;
use super::process;
use super::readiness::Seen;
use super::report::{Beside, Figures, Growth, Rates, milliseconds, seconds};
use super::setup::{AT_ONCE, Setup};
use crate::demo::progress::Progress;
use crate::environment::PATIENCE;
use crate::{OperatorProcess, wait};

/// How long things are at rest when nothing more comes: events are told after the status that they are about.
const REST: Duration = Duration::from_secs(2);

/// The resync period of an operator that is watched while nothing changes, and how many of them that lasts.
const STEADY_RESYNC: Duration = Duration::from_secs(10);
const STEADY_RESYNCS: u32 = 6;

/// The same after a restart, where the first look at everything is part of it.
const RESTART_RESYNC: Duration = Duration::from_secs(30);
const RESTART_RESYNCS: u32 = 2;

/// Resync period of an operator without flags. An hour has four of them.
const DEFAULT_RESYNC: Duration = Duration::from_secs(15 * 60);

/// How long the operator is watched beside a crowd at rest.
const BESIDE: Duration = Duration::from_secs(60);

/// How long a case may take besides its lower bound: a multiple of that, and this much for each binding.
const LIMIT_OF_A_BINDING: Duration = Duration::from_millis(100);

/// Reason of a binding that waits for a slot.
const NO_SLOT: &str = "CredentialLimitReached";

/// Processor time by program.
pub(super) type Cpu = BTreeMap<String, Duration>;

/// What was measured: the figures, and who used the processors while the bindings were created.
pub(super) struct Measured {
    pub(super) figures: Figures,
    pub(super) cpu: Cpu,
}

/// The creation of a case's bindings.
struct Created {
    began: Timestamp,
    apply: Duration,
    first_ready: Duration,
    all_ready: Duration,
    /// Of the operator.
    operator_cpu: Duration,
    /// Of everybody.
    cpu: Cpu,
}

/// A case under way.
struct Run<'a> {
    case: &'a Case,
    setup: Setup,
    progress: &'a Progress,
}

/// Runs a case.
///
/// # Errors
/// Something does not start, or the bindings do not become Ready within a generous limit.
pub(super) async fn run(case: &Case, progress: &Progress) -> anyhow::Result<Measured> {
    progress.note(&format!("{}: starting a cluster and an Azure", case.name));
    let setup = Setup::start(case).await?;
    let run = Run {
        case,
        setup,
        progress,
    };
    if let Kind::Large(count) = case.kind {
        run.tell(&format!("making {count} large accounts and bindings"));
        large::fill(&run.setup, count).await?;
    }
    let flags = match case.kind {
        Kind::Steady => vec![resync(STEADY_RESYNC)],
        _ => Vec::new(),
    };
    let operator = run.setup.operator(&flags).await?;
    if let Kind::Neighbour(crowd) = case.kind {
        let outcome = run.beside(crowd, &operator).await;
        return outcome.with_context(|| format!("case {}", case.name));
    }
    if let Kind::Churn(length) = case.kind {
        let outcome = run.churn(length, &operator).await;
        let outcome = outcome.with_context(|| operator.log_tail());
        return outcome.with_context(|| format!("case {}", case.name));
    }
    run.tell(&format!("creating {} bindings", case.bindings));
    let outcome = run.measure(operator).await;
    // The log goes with the environment.
    outcome.with_context(|| format!("case {}", case.name))
}

impl Run<'_> {
    fn tell(&self, what: &str) {
        self.progress.note(&format!("{}: {what}", self.case.name));
    }

    async fn measure(&self, operator: OperatorProcess) -> anyhow::Result<Measured> {
        let created = self
            .create(&operator)
            .await
            .with_context(|| operator.log_tail())?;
        self.tell("all are Ready");
        let mut figures = self.figures(&created);
        match self.case.kind {
            Kind::Creation | Kind::Large(_) => {
                self.after_creation(&operator, &created, &mut figures)
                    .await?
            }
            Kind::Neighbour(_) | Kind::Churn(_) => {}
            Kind::Steady => self.steady(&operator, &mut figures).await?,
            Kind::Restart => self.restart(operator, &mut figures).await?,
            Kind::Full => {
                figures.seconds = Some(seconds(self.free_a_slot().await?));
                self.after_creation(&operator, &created, &mut figures)
                    .await?;
            }
        }
        Ok(Measured {
            figures,
            cpu: created.cpu,
        })
    }

    /// Creates the bindings and waits until as many as fit are Ready.
    async fn create(&self, operator: &OperatorProcess) -> anyhow::Result<Created> {
        self.setup.environment.control().clear_log().await?;
        let expected = self.case.credentials();
        let waiting = self.case.bindings - expected;
        let done = |seen: &Seen| seen.ready() == expected && seen.not_for(NO_SLOT) == waiting;
        let bound = lower_bound(self.case, Duration::ZERO);
        let limit = PATIENCE + 3 * bound + LIMIT_OF_A_BINDING * u32::try_from(self.case.bindings)?;
        let tell = |seen: &Seen| self.tell(&seen.told());

        let cpu = process::cpu_by_program()?;
        let operator_cpu = process::cpu(operator.pid())?;
        let (began, start) = (Timestamp::now(), Instant::now());
        let all_ready = self
            .setup
            .readiness
            .until("all to be Ready", limit, tell, done);
        let (apply, seen) = future::try_join(self.apply(), all_ready).await?;
        let since = |moment: Option<Instant>| moment.unwrap_or(start) - start;
        let created = Created {
            began,
            apply,
            first_ready: since(seen.ready_since().map(|(_, since)| since).min()),
            all_ready: since(seen.ready_since().map(|(_, since)| since).max()),
            operator_cpu: process::cpu(operator.pid())? - operator_cpu,
            cpu: difference(process::cpu_by_program()?, &cpu),
        };
        Ok(created)
    }

    /// A newcomer while a crowd is being worked on, and another once that is at rest.
    async fn beside(&self, crowd: Crowd, operator: &OperatorProcess) -> anyhow::Result<Measured> {
        self.tell(&format!("making a crowd of {}", crowd.len()));
        let (all, start) = (process::cpu_by_program()?, Instant::now());
        let used = process::cpu(operator.pid())?;
        let _in_the_way = crowd.gather(&self.setup).await?;
        let apply = start.elapsed();
        self.tell("creating a newcomer beside it");
        let first = self.newcomer(0).await?;
        let limit = PATIENCE + LIMIT_OF_A_BINDING * 2 * u32::try_from(crowd.len())?;
        let tell = |seen: &Seen| self.tell(&seen.told());
        let settled = |seen: &Seen| crowd.is_settled(seen);
        self.setup
            .readiness
            .until("the crowd to be at rest", limit, tell, settled)
            .await?;
        let settled = start.elapsed();
        let cpu = difference(process::cpu_by_program()?, &all);
        let used = process::cpu(operator.pid())? - used;
        sleep(REST).await;
        let (before, from) = (process::cpu(operator.pid())?, Instant::now());
        self.tell(&format!("watching the operator for {BESIDE:?}"));
        sleep(BESIDE).await;
        let share = (process::cpu(operator.pid())? - before).div_duration_f64(from.elapsed());
        let later = self.newcomer(1).await?;
        let figures = Figures {
            name: self.case.name.clone(),
            bindings: crowd.len(),
            identities: self.case.identities,
            throttled: self.case.throttled,
            apply_s: seconds(apply),
            first_ready_s: seconds(first),
            all_ready_s: seconds(first),
            cpu_s: seconds(used),
            peak_rss_mib: process::peak_memory(operator.pid())?,
            beside: Some(Beside {
                settled_s: seconds(settled),
                cpu_percent: (share * 10_000.0).round() / 100.0,
                later_ready_s: seconds(later),
            }),
            ..Figures::default()
        };
        Ok(Measured { figures, cpu })
    }

    /// Everything comes and goes for so long.
    async fn churn(
        &self,
        length: Duration,
        operator: &OperatorProcess,
    ) -> anyhow::Result<Measured> {
        let (all, used) = (process::cpu_by_program()?, process::cpu(operator.pid())?);
        let churned = churn(&self.setup, operator, length, |what| self.tell(what)).await?;
        let figures = Figures {
            name: self.case.name.clone(),
            bindings: churned.bindings(),
            identities: churned.rounds,
            cpu_s: seconds(process::cpu(operator.pid())? - used),
            peak_rss_mib: process::peak_memory(operator.pid())?,
            seconds: Some(seconds(length)),
            growth: Some(Growth {
                growth_mib: churned.growth_mib(),
                rss_mib: churned.rss_mib,
            }),
            ..Figures::default()
        };
        let cpu = difference(process::cpu_by_program()?, &all);
        Ok(Measured { figures, cpu })
    }

    /// Creates one of the case's bindings; gives how long it took to be Ready.
    async fn newcomer(&self, number: usize) -> anyhow::Result<Duration> {
        let binding = self.setup.bindings.get(number).context("no such binding")?;
        let namespace = binding.namespace().unwrap_or_default();
        let client = self.setup.environment.client().await?;
        let bindings = Api::namespaced(client, &namespace);
        let name = (namespace, binding.name_any());
        let start = Instant::now();
        bindings.create(&PostParams::default(), binding).await?;
        let ready = |seen: &Seen| {
            let mut all = seen.ready_since();
            all.find(|(of, _)| **of == name).map(|(_, since)| since)
        };
        let limit = 10 * PATIENCE;
        let told = |seen: &Seen| self.tell(&seen.told());
        let seen = self
            .setup
            .readiness
            .until("the newcomer to be Ready", limit, told, |seen| {
                ready(seen).is_some()
            })
            .await?;
        Ok(ready(&seen).context("it is Ready no more")? - start)
    }

    /// Sends all bindings, as fast as the API server takes them.
    async fn apply(&self) -> anyhow::Result<Duration> {
        let client = self.setup.environment.client().await?;
        let start = Instant::now();
        let create = async |binding: &azwib_crds::WorkloadIdentityBinding| {
            let namespace = binding.namespace().unwrap_or_default();
            let bindings = Api::namespaced(client.clone(), &namespace);
            bindings.create(&PostParams::default(), binding).await
        };
        let created = stream::iter(&self.setup.bindings)
            .map(create)
            .buffer_unordered(AT_ONCE);
        created.try_for_each(|_| future::ok(())).await?;
        Ok(start.elapsed())
    }

    fn figures(&self, created: &Created) -> Figures {
        let bound = lower_bound(self.case, created.apply);
        Figures {
            name: self.case.name.clone(),
            bindings: self.case.bindings,
            identities: self.case.identities,
            latency_ms: milliseconds(self.case.latency),
            throttled: self.case.throttled,
            apply_s: seconds(created.apply),
            first_ready_s: seconds(created.first_ready),
            all_ready_s: seconds(created.all_ready),
            lower_bound_s: seconds(bound),
            ratio: seconds(Duration::from_secs_f64(
                created.all_ready.div_duration_f64(bound),
            )),
            ..Figures::default()
        }
    }

    /// Counts what the creation took, with all that follows at once.
    async fn after_creation(
        &self,
        operator: &OperatorProcess,
        created: &Created,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let counted = async || count(&self.setup.environment, Window::since(created.began)).await;
        let mut counts = counted().await?;
        loop {
            sleep(REST).await;
            let before = std::mem::replace(&mut counts, counted().await?);
            if before.kubernetes_writes == counts.kubernetes_writes {
                break;
            }
        }
        figures.set_counts(counts);
        figures.cpu_s = seconds(created.operator_cpu);
        figures.peak_rss_mib = process::peak_memory(operator.pid())?;
        Ok(())
    }

    /// Watches the operator while nothing changes.
    async fn steady(
        &self,
        operator: &OperatorProcess,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        sleep(REST + STEADY_RESYNC).await;
        let length = STEADY_RESYNC * STEADY_RESYNCS;
        self.tell(&format!("watching the operator for {length:?}"));
        let (cpu, from) = (process::cpu(operator.pid())?, Timestamp::now());
        sleep(length).await;
        let window = Window::since(from);
        let counts = count(&self.setup.environment, window).await?;
        let looked = AzureLog::read(&self.setup.environment)
            .await?
            .all_looked_at(self.case.identities, window)
            .context("not every identity was looked at")?;
        figures.set_counts(counts);
        figures.seconds = Some(seconds(window.length()));
        let hourly = |requests| hourly(requests, self.case.identities, window, STEADY_RESYNC);
        figures.rates = Some(Rates {
            lists_per_identity_hour: hourly(counts.requests.list),
            gets_per_identity_hour: hourly(counts.requests.get),
            synced_s: seconds(Window { from, to: looked }.length()),
        });
        figures.cpu_s = seconds(process::cpu(operator.pid())? - cpu);
        figures.peak_rss_mib = process::peak_memory(operator.pid())?;
        Ok(())
    }

    /// Starts another operator in the place of this one, and watches it.
    async fn restart(
        &self,
        operator: OperatorProcess,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        sleep(REST).await;
        self.tell("restarting the operator");
        operator.terminate().await?;
        let environment = &self.setup.environment;
        // The log is asked for again and again: a short one takes no time from the operator.
        environment.control().clear_log().await?;
        let from = Timestamp::now();
        let operator = self.setup.operator(&[resync(RESTART_RESYNC)]).await?;
        let ready = Timestamp::now();
        let looked = wait::until("a look at every identity", PATIENCE, async || {
            let log = AzureLog::read(environment).await?;
            Ok(log.all_looked_at(self.case.identities, Window::since(from)))
        })
        .await?;
        let synced = looked.max(ready);
        let length = RESTART_RESYNC * RESTART_RESYNCS;
        self.tell(&format!(
            "everything is looked at; watching the operator for {length:?}"
        ));
        // All resyncs come at about the same time: whole periods from the middle of one on hold as many of them.
        sleep(RESTART_RESYNC / 2).await;
        let after = Timestamp::now();
        sleep(length).await;
        let (whole, after) = (Window::since(from), Window::since(after));
        let further = count(environment, after).await?.requests;
        figures.set_counts(count(environment, whole).await?);
        figures.seconds = Some(seconds(whole.length()));
        let hourly = |requests| hourly(requests, self.case.identities, after, RESTART_RESYNC);
        figures.rates = Some(Rates {
            lists_per_identity_hour: hourly(further.list),
            gets_per_identity_hour: hourly(further.get),
            synced_s: seconds(Window { from, to: synced }.length()),
        });
        figures.cpu_s = seconds(process::cpu(operator.pid())?);
        figures.peak_rss_mib = process::peak_memory(operator.pid())?;
        Ok(())
    }

    /// Deletes a binding that has a slot; gives how long it takes from then on until one that waits is Ready.
    async fn free_a_slot(&self) -> anyhow::Result<Duration> {
        let readiness = &self.setup.readiness;
        let ready: Vec<_> = {
            let seen = readiness
                .until("a look", PATIENCE, |_| (), |_| true)
                .await?;
            seen.ready_since().map(|(name, _)| name.clone()).collect()
        };
        let (namespace, name) = ready.iter().min().context("no binding is Ready")?;
        let client = self.setup.environment.client().await?;
        let bindings: Api<azwib_crds::WorkloadIdentityBinding> = Api::namespaced(client, namespace);
        self.tell(&format!("deleting {name}, which has a slot"));
        let next = |seen: &Seen| {
            let mut now_ready = seen.ready_since();
            now_ready
                .find(|(name, _)| !ready.contains(name))
                .map(|(_, since)| since)
        };
        let start = Instant::now();
        bindings.delete(name, &DeleteParams::default()).await?;
        let limit = 3 * PATIENCE;
        let seen = readiness
            .until(
                "a waiting binding to be Ready",
                limit,
                |_| (),
                |seen| next(seen).is_some(),
            )
            .await?;
        Ok(next(&seen).context("it is Ready no more")? - start)
    }
}

/// Requests of a window with a short resync period, as one identity's in an hour with the default one: all of them come
/// with a resync, and so many fewer resyncs are in an hour.
fn hourly(requests: usize, identities: usize, window: Window, resync: Duration) -> f64 {
    let resyncs = window.length().div_duration_f64(resync);
    let resyncs_of_an_hour = Duration::from_secs(60 * 60).div_duration_f64(DEFAULT_RESYNC);
    let hourly = requests as f64 / identities as f64 / resyncs * resyncs_of_an_hour;
    (hourly * 100.0).round() / 100.0
}

fn resync(period: Duration) -> String {
    format!("--resync-period={}s", period.as_secs())
}

fn difference(after: Cpu, before: &Cpu) -> Cpu {
    let used = |name: &String| before.get(name).copied().unwrap_or_default();
    after
        .into_iter()
        .map(|(name, cpu)| {
            let cpu = cpu.saturating_sub(used(&name));
            (name, cpu)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_a_short_resync_period_are_told_for_the_default_one() {
        let minute = Window {
            from: Timestamp::UNIX_EPOCH,
            to: Timestamp::UNIX_EPOCH + Duration::from_secs(60),
        };
        // Ten identities, once each of six periods: four times an hour at fifteen minutes.
        let period = Duration::from_secs(10);
        assert_eq!(hourly(60, 10, minute, period), 4.0);
        assert_eq!(hourly(66, 10, minute, period), 4.4);
    }
}
