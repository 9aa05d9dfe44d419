//! One process of the operator: its production parts, and a scheduler in the place of kube-runtime's, which polls what is
//! ready in an order that no seed decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azwib_crds::{ClientId, Issuer};
use azwib_operator::azure::auth::{AuthConfig, Secret};
use azwib_operator::azure::cloud::Cloud;
use azwib_operator::azure::msi::MsiIdentityService;
use azwib_operator::binding::controller::{Watches, guarded_reconcile};
use azwib_operator::binding::events::Events;
use azwib_operator::binding::kept;
use azwib_operator::binding::metrics::ReconcileMetrics;
use azwib_operator::binding::validate::Defaults;
use azwib_operator::binding::{Context, Failed, Settings};
use azwib_operator::kubeutil::attempts::Attempts;
use azwib_operator::kubeutil::watch_course::WatchCourse;
use azwib_operator::ledger::{BindingRef, LedgerSettings, Ledgers};
use azwib_operator::runtime::clock::{self, Clock};
use futures::StreamExt;
use kube::Client;
use kube_runtime::controller::Action;
use kube_runtime::reflector::ObjectRef;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tower::Layer;

use crate::kubernetes::ApiServer;
use crate::network::{AUTHORITY, Network, REQUEST_TIMEOUT, RESOURCE_MANAGER};
use crate::process::Process;
use crate::setup::{CLIENT, ISSUER, SECRET, TENANT, World};
use crate::trace::lock;

/// Passes at once.
const CONCURRENCY: usize = 8;

/// Runs a process until it is dropped.
pub async fn run(process: Process, world: World) -> anyhow::Result<()> {
    let server = ApiServer {
        cluster: process.shared.cluster.clone(),
        process: process.clone(),
    };
    let server = kept::layer().layer(server);
    let watching = Client::new(WatchCourse::default().layer(server.clone()), "default");
    let client = Client::new(server, "default");
    let clock = Clock::Tokio {
        time: process.shared.time.epoch,
        at: process.shared.time.at,
    };
    clock::follow(clock);
    let service = MsiIdentityService::simulated(
        Arc::new(Network(process.clone())),
        &Cloud::custom(AUTHORITY, RESOURCE_MANAGER, RESOURCE_MANAGER)?,
        AuthConfig::ClientSecret {
            tenant_id: TENANT.to_string(),
            client_id: ClientId::parse(&CLIENT.to_string())?,
            secret: Secret::new(SECRET),
        },
        REQUEST_TIMEOUT,
    )?;
    let (wake, woken) = mpsc::unbounded_channel();
    let ledger = LedgerSettings {
        write_settle_time: world.write_settle_time,
        credential_limit: world.limit,
        requests_in_flight: 10,
    };
    let defaults = Defaults {
        issuer: Issuer::parse(ISSUER)?,
        subscription: None,
        resource_group: None,
    };
    let watches = Watches::new(&watching, defaults.clone());
    let context = Context {
        events: Events::new(client.clone(), None),
        client,
        ledgers: Arc::new(Ledgers::new(Arc::new(service), wake, ledger)),
        bindings: watches.bindings,
        accounts: watches.accounts,
        settings: Settings {
            defaults,
            credential_limit: world.limit,
            resync_period: world.resync_period,
            propagation_delay: world.propagation_delay,
            stalled_after: Duration::from_secs(300),
            allow_force_detach: true,
            max_concurrent_reconciles: 8,
        },
        attempts: Attempts::default(),
        waits: Attempts::default(),
        unwritten: Attempts::default(),
        requests: Mutex::default(),
        metrics: ReconcileMetrics::default(),
        clock,
    };
    let ctx = Arc::new(context);
    let mut scheduler = Scheduler {
        ctx: Arc::clone(&ctx),
        due: BTreeMap::new(),
        running: BTreeSet::new(),
        passes: JoinSet::new(),
        process,
    };
    let passes = scheduler.run(watches.requests, watches.synced, woken);
    ctx.events.published_during(passes).await;
    Ok(())
}

type Outcome = (BindingRef, Result<Action, Failed>);

/// When which binding is looked at, as kube-runtime's controller does it: one entry a binding, the earliest time counts,
/// and none is looked at twice at once.
struct Scheduler {
    ctx: Arc<Context>,
    due: BTreeMap<BindingRef, Instant>,
    running: BTreeSet<BindingRef>,
    passes: JoinSet<Outcome>,
    process: Process,
}

impl Scheduler {
    async fn run(
        &mut self,
        mut requests: azwib_operator::binding::controller::Queue,
        mut synced: tokio::sync::oneshot::Receiver<()>,
        mut woken: UnboundedReceiver<BindingRef>,
    ) {
        let mut is_synced = false;
        loop {
            if is_synced {
                self.start_what_is_due();
            }
            let next = self.next_due();
            tokio::select! {
                biased;
                Some(passed) = self.passes.join_next() => self.passed(passed),
                Some(request) = requests.next() => {
                    if let Ok(request) = request {
                        let reference = &request.obj_ref;
                        self.ask(BindingRef {
                            namespace: reference.namespace.clone().unwrap_or_default(),
                            name: reference.name.clone(),
                        }, Duration::ZERO);
                    }
                }
                Some(who) = woken.recv() => self.ask(who, Duration::ZERO),
                _ = &mut synced, if !is_synced => is_synced = true,
                () = sleep_until(next.unwrap_or_else(Instant::now)), if is_synced && next.is_some() => {}
            }
        }
    }

    fn ask(&mut self, who: BindingRef, delay: Duration) {
        let at = Instant::now() + delay;
        let due = self.due.entry(who).or_insert(at);
        *due = at.min(*due);
    }

    fn next_due(&self) -> Option<Instant> {
        if self.running.len() >= CONCURRENCY {
            return None;
        }
        let waiting = self
            .due
            .iter()
            .filter(|(who, _)| !self.running.contains(*who));
        waiting.map(|(_, at)| *at).min()
    }

    fn start_what_is_due(&mut self) {
        let now = Instant::now();
        let mut ready: Vec<_> = self
            .due
            .iter()
            .filter(|(who, at)| **at <= now && !self.running.contains(*who))
            .map(|(who, at)| (*at, who.clone()))
            .collect();
        ready.sort();
        for (_, who) in ready {
            if self.running.len() >= CONCURRENCY {
                return;
            }
            self.due.remove(&who);
            let reference = ObjectRef::new(&who.name).within(&who.namespace);
            let Some(binding) = self.ctx.bindings.store().get(&reference) else {
                continue;
            };
            self.running.insert(who.clone());
            let shared = &self.process.shared;
            let now = shared.time.now();
            lock(&shared.books)
                .foreign
                .looked(&who.namespace, &who.name, now);
            let ctx = Arc::clone(&self.ctx);
            self.passes
                .spawn(async move { (who, guarded_reconcile(binding, ctx).await) });
        }
    }

    fn passed(&mut self, passed: Result<Outcome, tokio::task::JoinError>) {
        let (who, outcome) = match passed {
            Ok(passed) => passed,
            Err(error) => {
                let shared = &self.process.shared;
                return shared.violated("no-pass-panics", error.to_string());
            }
        };
        self.running.remove(&who);
        let trace = &self.process.shared.trace;
        match outcome {
            Ok(action) => {
                trace.note(format!("pass {}/{}: {action:?}", who.namespace, who.name));
                if let Some(delay) = requeue_after(&action) {
                    self.ask(who, delay);
                }
            }
            Err(Failed { error, retry_in }) => {
                if let Some((_, reason)) = error.finding() {
                    self.process.shared.count(format!("finding {reason}"));
                }
                trace.note(format!(
                    "pass {}/{}: {error}; again in {retry_in:?}",
                    who.namespace, who.name
                ));
                self.ask(who, retry_in);
            }
        }
    }
}

/// kube-runtime keeps the time of an action to itself.
fn requeue_after(action: &Action) -> Option<Duration> {
    if *action == Action::await_change() {
        return None;
    }
    let shown = format!("{action:?}");
    let inner = shown.split("Some(").nth(1)?.split(')').next()?;
    parse_debug(inner)
}

/// The `Debug` form of a duration.
fn parse_debug(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    Some(Duration::from_secs_f64(match unit {
        "s" => number,
        "ms" => number / 1e3,
        "µs" => number / 1e6,
        _ => number / 1e9,
    }))
}
