//! Builds the clients, the stores, the controller and the probes, runs them, and shuts them down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::FutureExt;
use kube_runtime::reflector::Store;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::azure::auth::AuthConfig;
use crate::azure::error::SetupError;
use crate::azure::msi::MsiIdentityService;
use crate::binding::account::ExistingAccount;
use crate::binding::controller::passes::Queue;
use crate::binding::controller::{self, Feed, Watches};
use crate::binding::events::Events;
use crate::binding::grants::tell::keep_told;
use crate::binding::index::Bindings;
use crate::binding::metrics::State;
use crate::binding::{Operator, Settings};
use crate::cli::config::{Config, Election};
use crate::clients::{self, KubernetesClients, crd_is_served};
use crate::definitions::say_if_older;
use crate::grant::{Authority, OwnNamespace};
use crate::kubeutil::watch_course::WatchCourse;
use crate::leader::{Claim, Elector, LeaderMetrics, Place, say_if_another_is_installed};
use crate::ledger::{LedgerSettings, Ledgers};
use crate::runtime::clock::Clock;
use crate::runtime::clocks::Clocks;
use crate::runtime::listen::listen;
use crate::runtime::liveness::Liveness;
use crate::runtime::metrics::{self, TermMetrics};
use crate::runtime::probes::{self, Readiness};
use crate::runtime::serve::serve;
use crate::runtime::shutdown::{self, BadEnd, End, GRACE, Signals, wind_down};

/// How long a process that takes over tries to list grants afresh, and how often.
const LISTED_WITHIN: Duration = Duration::from_secs(10);
const LISTED_AGAIN: Duration = Duration::from_secs(1);

/// The Lease that the leader holds.
const LEASE: &str = "azwib-operator";

/// Why the operator cannot run at all. It waits for everything that can recover by itself, so none of that is here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Clients(#[from] clients::Error),
    #[error("the flags for Azure do not work")]
    Azure(#[source] SetupError),
    #[error("cannot listen on --{flag}={address}")]
    Listen {
        flag: &'static str,
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    #[error(transparent)]
    End(#[from] BadEnd),
    #[error("told to end at once; what was under way was not waited for")]
    AtOnce,
}

/// Runs the operator until SIGTERM or SIGINT. A second one ends it at once.
///
/// # Errors
/// It cannot run, or it ends in another way.
pub async fn run(config: Config) -> Result<(), Error> {
    let Signals { stop, at_once } = shutdown::on_signal().map_err(Error::Signals)?;
    tokio::select! {
        outcome = until_told(config, stop) => outcome,
        () = at_once.cancelled() => Err(Error::AtOnce),
    }
}

async fn until_told(config: Config, stop: CancellationToken) -> Result<(), Error> {
    let issuer = config.settings.defaults.borrow().issuer.clone();
    let (health_probes, metrics) = (config.health_probe_address, config.metrics_address);
    let election = config.election.clone();
    let course = WatchCourse::default();
    let readiness = Readiness::waiting_for("the API server", course.clone());
    let mut registry = metrics::registry();
    let (process, watches) = Process::new(config, course, &mut registry).await?;
    let router = probes::router(readiness.clone(), process.liveness.clone());
    let (probes, metrics) = answer(
        (health_probes, router),
        metrics,
        (registry, process.term_metrics.clone()),
    )
    .await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %probes, metrics = metrics.map(display), %issuer, "azwib starts");
    let client = process.clients.calling(None)?;
    tokio::select! {
        () = crd_is_served(&client, &readiness) => {}
        () = stop.cancelled() => return Ok(()),
    }
    tokio::spawn(async move { say_if_older(&client).await });
    let synced = ready_once_synced(watches.synced, readiness).shared();
    tokio::spawn(synced.clone());
    let Some(election) = election else {
        let alone = Claim::of_the_only_process();
        let watched = watches.requests;
        let never = CancellationToken::new();
        let led = process.lead(alone, never, &stop, |feed| {
            tokio::spawn(feed.carry(watched))
        });
        return led.await.map(drop);
    };
    process.bindings.stand_by();
    tokio::spawn(process.feed.clone().carry(watches.requests));
    // Who does not know the bindings yet should not keep another from leading.
    tokio::select! {
        () = synced => {}
        () = stop.cancelled() => return Ok(()),
    }
    process.take_turns(&election, &stop).await
}

/// What a process has whether it leads or waits.
struct Process {
    clients: KubernetesClients,
    service: MsiIdentityService,
    ledger: LedgerSettings,
    bindings: Bindings,
    accounts: Store<ExistingAccount>,
    grants: Arc<Authority>,
    settings: Settings,
    /// How much time there is for a write under way.
    grace: Duration,
    feed: Feed,
    term_metrics: TermMetrics,
    leader_metrics: LeaderMetrics,
    liveness: Liveness,
}

impl Process {
    async fn new(
        config: Config,
        course: WatchCourse,
        registry: &mut Registry,
    ) -> Result<(Self, Watched), Error> {
        let grace = config.azure.request_timeout + GRACE;
        let token_file = match &config.auth {
            AuthConfig::WorkloadIdentity { token_file, .. } => Some(token_file.clone()),
            _ => None,
        };
        let service = MsiIdentityService::with_authorization(
            &config.cloud,
            config.auth,
            config.azure,
            config.authorization,
        )
        .map_err(Error::Azure)?;
        service.requests().register(registry);
        let leader_metrics = LeaderMetrics::new(LEASE);
        leader_metrics.register(registry);
        let clients = KubernetesClients::infer().await?;
        let own_namespace = OwnNamespace::of(token_file);
        let grants = Authority::new(config.grants, course.clone()).reserving(own_namespace);
        let grants = Arc::new(grants);
        let Watches {
            bindings,
            accounts,
            synced,
            requests,
        } = Watches::new(
            &clients.watching(&course)?,
            config.settings.defaults.clone(),
            Arc::clone(&grants),
        );
        let process = Self {
            clients,
            service,
            ledger: config.ledger,
            bindings,
            accounts,
            grants,
            settings: config.settings,
            grace,
            feed: Feed::default(),
            term_metrics: TermMetrics::default(),
            leader_metrics,
            liveness: Liveness::default(),
        };
        Ok((process, Watched { synced, requests }))
    }

    /// Leads whenever the Lease says so, until it is told to stop.
    async fn take_turns(&self, election: &Election, stop: &CancellationToken) -> Result<(), Error> {
        let place = Place {
            namespace: election.namespace.clone(),
            name: LEASE.to_owned(),
        };
        let (client, own) = (self.clients.calling(None)?, place.clone());
        tokio::spawn(async move { say_if_another_is_installed(&client, &own).await });
        // A course of its own: whether the Lease can be watched says nothing about being ready.
        let watching = self.clients.watching(&WatchCourse::default())?;
        let clients = (self.clients.calling(None)?, watching);
        let (identity, clocks) = (identity(), Clocks::Machine);
        tracing::info!(
            identity,
            namespace = place.namespace,
            "waiting for the lease"
        );
        let mut elector = Elector::new(clients, &place, identity, election.timings, clocks);
        while let Some(term) = elector.term(stop).await {
            tracing::info!("this process leads");
            self.list_grants_afresh(&term.lost()).await?;
            self.bindings.take_over();
            let end = self.lead(term.claim(), term.lost(), stop, |_| ()).await?;
            self.bindings.stand_by();
            match end {
                End::AllAnswered => term.release().await,
                // A write to the cluster may be under way: nobody leads before the Lease has run out.
                End::GivenUp => drop(term),
            }
            tracing::info!("this process does not lead any more");
        }
        Ok(())
    }

    /// Tries until it succeeds, the term is lost, or it was tried for long enough: who refuses a list refuses the watch as well,
    /// and what follows from that the passes know.
    async fn list_grants_afresh(&self, lost: &CancellationToken) -> Result<(), Error> {
        let client = self.clients.calling(None)?;
        let listed = async {
            while let Err(error) = controller::list_afresh(&client, &self.grants).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "cannot list grants and namespaces afresh; it is tried again"
                );
                sleep(LISTED_AGAIN).await;
            }
        };
        tokio::select! {
            _ = timeout(LISTED_WITHIN, listed) => {}
            () = lost.cancelled() => {}
        }
        Ok(())
    }

    /// Makes passes until the claim is lost or the process is told to stop, and lets what is under way finish. `begin` is told once
    /// the passes are fed.
    async fn lead<T>(
        &self,
        claim: Claim,
        lost: CancellationToken,
        stop: &CancellationToken,
        begin: impl FnOnce(Feed) -> T,
    ) -> Result<End, Error> {
        let service = self.service.claiming(claim.clone());
        let service = Arc::new(service.map_err(Error::Azure)?);
        let (wake, woken) = mpsc::unbounded_channel();
        let ledgers = Ledgers::claiming(service, wake, self.ledger, claim.clone());
        let ledgers = Arc::new(ledgers);
        let client = self.clients.calling(Some(claim))?;
        let events = Events::new(client.clone(), std::env::var("POD_NAME").ok());
        let stores = (
            self.bindings.clone(),
            self.accounts.clone(),
            Arc::clone(&self.grants),
        );
        let mut context = Operator::new(
            client,
            events,
            Arc::clone(&ledgers),
            stores,
            self.settings.clone(),
            Clock::Wall,
        );
        context.liveness = self.liveness.clone();
        let context = Arc::new(context);
        self.term_metrics.begin(metrics_of(&context));
        self.leader_metrics.begins();
        let ends = CancellationToken::new();
        let requests = self.feed.begin(&self.bindings);
        begin(self.feed.clone());
        let _told = AbortOnDropHandle::new(tokio::spawn(keep_told(Arc::clone(&context))));
        let stopped = ends.clone();
        let controller = tokio::spawn(controller::run(requests, woken, context, async move {
            stopped.cancelled().await
        }));
        let over = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = lost.cancelled() => {}
            }
            ends.cancel();
        };
        let end = wind_down(over, controller, ledgers.drain(), self.grace).await;
        self.feed.end();
        self.term_metrics.end();
        self.leader_metrics.ends();
        match end? {
            End::GivenUp if stop.is_cancelled() => Err(BadEnd::Unfinished(self.grace).into()),
            end => Ok(end),
        }
    }
}

/// What the watches of a process give.
struct Watched {
    synced: oneshot::Receiver<()>,
    requests: Queue,
}

/// Whom the Lease names: no other process, nor this pod after a restart of its container.
fn identity() -> String {
    let pod = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME"));
    let pod = pod.unwrap_or_else(|_| LEASE.to_owned());
    format!("{pod}_{}", Uuid::new_v4())
}

/// Serves probes and, unless they are turned off, metrics. Returns the addresses of both.
async fn answer(
    (probes, router): (SocketAddr, Router),
    metrics: Option<SocketAddr>,
    (registry, term): (Registry, TermMetrics),
) -> Result<(SocketAddr, Option<SocketAddr>), Error> {
    let (listener, probes) = bind("health-probe-bind-address", probes).await?;
    tokio::spawn(serve(listener, router));
    let Some(address) = metrics else {
        return Ok((probes, None));
    };
    let (listener, address) = bind("metrics-bind-address", address).await?;
    tokio::spawn(serve(listener, metrics::router(registry, term)));
    Ok((probes, Some(address)))
}

/// What shows the passes, and what is true of bindings and identities.
fn metrics_of(context: &Operator) -> Registry {
    let mut registry = Registry::default();
    context.metrics.register(&mut registry, &context.settings);
    context.events.register(&mut registry);
    registry.register_collector(Box::new(State {
        bindings: context.bindings.clone(),
        grants: Arc::clone(&context.grants),
        ledgers: Arc::clone(&context.ledgers),
        settings: context.settings.clone(),
    }));
    registry
}

/// Listens on the address of a flag, and says which it is: port 0 is any that is free.
async fn bind(flag: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen {
        flag,
        address,
        source,
    };
    let listener = listen(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

async fn ready_once_synced(synced: oneshot::Receiver<()>, readiness: Readiness) {
    readiness.wait_for("the first list of bindings");
    if synced.await.is_ok() {
        tracing::info!("the bindings are known; azwib is ready");
        readiness.ready();
    }
}
