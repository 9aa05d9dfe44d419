//! Builds the clients, the stores, the controller and the probes, runs them, and shuts them down.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use futures::FutureExt;
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::azure::auth::AuthConfig;
use crate::azure::msi::MsiIdentityService;
use crate::binding::controller::pass_log::PassLog;
use crate::binding::controller::passes::{Notice, Queue};
use crate::binding::controller::{Feed, Watches};
use crate::binding::validate::Defaults;
use crate::cli::config::{Config, Election, IssuerOptions, Metrics};
use crate::clients::{self, KubernetesClients, crd_is_served};
use crate::definitions::say_if_others;
use crate::grant::{Authority, OwnNamespace};
use crate::issuer::api_server::ApiServer;
use crate::issuer::discovery::{Asked, Discovery, Origin};
use crate::issuer::fetch::{Fetch, FetchOptions};
use crate::issuer::metrics::IssuerMetrics;
use crate::issuer::proof::Proof;
use crate::issuer::token::{InvalidToken, OwnToken};
use crate::issuer::watch::{Said, Watching};
use crate::kubeutil::watch_course::WatchCourse;
use crate::leader::{
    Claim, Elector, LeaderMetrics, Place, Timings, say_if_another_is_installed, until_nobody_leads,
};
use crate::replica::{self, Host, Replica};
use crate::runtime::clock::Clock;
use crate::runtime::clocks::Clocks;
use crate::runtime::listen::listen;
use crate::runtime::liveness::Liveness;
use crate::runtime::lock::lock;
use crate::runtime::metrics::{self, TermMetrics};
use crate::runtime::probes::{self, Readiness};
use crate::runtime::serve::serve;
use crate::runtime::shutdown::{self, GRACE, Signals};
use crate::runtime::telemetry::LogLevel;
use crate::scrape::{Certificate, CertificateError, guarded, log_level, no_log_level};
use crate::traces::Traces;

/// The Lease that the leader holds.
pub(crate) const LEASE: &str = "azwib-operator";

/// Why the operator cannot run at all. It waits for everything that can recover by itself, so none of that is here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Clients(#[from] clients::Error),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("cannot listen on --{flag}={address}")]
    Listen {
        flag: &'static str,
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    #[error(
        "--issuer=auto goes by what the API server and the operator's own ServiceAccount token say, and there is no token in {path} \
         (--service-account-token-file): {why}. Let the pod have one (automountServiceAccountToken), name its file, or give the issuer's \
         URL (--issuer)"
    )]
    NoOwnToken { path: PathBuf, why: InvalidToken },
    #[error(transparent)]
    Replica(#[from] replica::Error),
    #[error("told to end at once; what was under way was not waited for")]
    AtOnce,
}

/// Runs the operator until SIGTERM or SIGINT, and sends the last traces. A second signal ends it at once.
///
/// # Errors
/// It cannot run, or it ends in another way.
pub async fn run(config: Config, log_level: LogLevel, traces: Traces) -> Result<(), Error> {
    let Signals { stop, at_once } = shutdown::on_signal().map_err(Error::Signals)?;
    let work = async {
        let outcome = until_told(config, log_level, stop).await;
        traces.end().await;
        outcome
    };
    tokio::select! {
        outcome = work => outcome,
        () = at_once.cancelled() => Err(Error::AtOnce),
    }
}

async fn until_told(
    config: Config,
    log_level: LogLevel,
    stop: CancellationToken,
) -> Result<(), Error> {
    let issuer = config.issuer.asked.clone();
    let (health_probes, metrics) = (config.health_probe_address, config.metrics.clone());
    let election = config.election.clone();
    let course = WatchCourse::default();
    let readiness = Readiness::waiting_for("the API server", course.clone());
    let mut registry = metrics::registry();
    let (replica, watches) = replica(config, course, &mut registry).await?;
    let router = probes::router(readiness.clone(), replica.liveness.clone());
    let client = replica.host.calling(None).map_err(replica::Error::from)?;
    let scrapes = metrics::router(registry, replica.term_metrics.clone());
    let probes = answer_probes(health_probes, router).await?;
    let metrics = match metrics {
        Some(metrics) => Some(answer_scrapes(metrics, scrapes, log_level, &client).await?),
        None => None,
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %probes, metrics = metrics.map(display), %issuer, "azwib starts");
    tokio::select! {
        () = crd_is_served(&client, &readiness) => {}
        () = stop.cancelled() => return Ok(()),
    }
    let asked = client.clone();
    tokio::spawn(async move { say_if_others(&asked).await });
    let synced = ready_once_synced(watches.synced, readiness).shared();
    tokio::spawn(synced.clone());
    replica.bindings.stand_by();
    tokio::spawn(replica.feed.clone().carry(watches.requests));
    // Who does not know the bindings yet should not keep another from leading, nor write.
    tokio::select! {
        () = synced => {}
        () = stop.cancelled() => return Ok(()),
    }
    let place = Place {
        namespace: election.namespace.clone().unwrap_or_default(),
        name: LEASE.to_owned(),
    };
    let (asked, own) = (client.clone(), place.clone());
    tokio::spawn(async move { say_if_another_is_installed(&asked, &own).await });
    if election.takes_part {
        let elector = elector(&replica.host.clients, client, &place, election.timings)?;
        return Ok(replica.take_turns(elector, &stop).await?);
    }
    if election.namespace.is_some() {
        let (timings, clocks) = (election.timings, Clocks::Machine);
        tokio::select! {
            () = until_nobody_leads(&client, &place, timings, &clocks) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
    Ok(replica.lead_alone(&stop).await?)
}

/// What the replica of this process runs on.
struct Machine {
    clients: KubernetesClients,
    leader_metrics: LeaderMetrics,
    log: Mutex<PassLog>,
}

impl Host for Machine {
    fn calling(&self, claim: Option<Claim>) -> Result<Client, kube::Error> {
        self.clients.calling(claim)
    }

    fn leads(&self, leads: bool) {
        if leads {
            self.leader_metrics.begins();
        } else {
            self.leader_metrics.ends();
        }
    }

    fn noticed(&self, notice: Notice) {
        lock(&self.log).write(notice);
    }
}

async fn replica(
    config: Config,
    course: WatchCourse,
    registry: &mut Registry,
) -> Result<(Replica<Machine>, Watched), Error> {
    let grace = config.azure.request_timeout + GRACE;
    let token_of_sign_in = match &config.auth {
        AuthConfig::WorkloadIdentity { token_file, .. } => Some(token_file.clone()),
        _ => None,
    };
    // In a pod there is one, whatever the operator signs in to Azure with.
    let token_file = token_of_sign_in.clone();
    let token_file = token_file.unwrap_or_else(|| config.issuer.token_file.clone());
    let service = MsiIdentityService::with_authorization(
        &config.cloud,
        config.auth,
        config.azure,
        config.authorization,
    )
    .map_err(replica::Error::from)?;
    let proof = token_of_sign_in.filter(|_| config.issuer.verify);
    let proof = proof.map(|file| Proof::new(Box::new(service.signing_in()), file));
    service.requests().register(registry);
    service.sign_ins().register(registry);
    let leader_metrics = LeaderMetrics::new(LEASE);
    leader_metrics.register(registry);
    // A write that has asked for its claim and waits longer than that for its connection is not sent: another may lead by then.
    let Election {
        takes_part,
        timings,
        ..
    } = config.election;
    let margin = takes_part.then(|| timings.margin());
    let clients = KubernetesClients::infer(margin).await?;
    clients.requests().register(registry);
    let issuer = origin(&config.issuer, &clients)?;
    let watching_issuer = watching_issuer(
        &config.issuer,
        (config.said, config.defaults.subscribe()),
        &clients,
        proof,
    )?;
    watching_issuer.metrics.register(registry);
    tokio::spawn(watching_issuer.run());
    let own_namespace = OwnNamespace::of(token_file);
    let grants = Authority::new(config.grants, course.clone()).reserving(own_namespace);
    let grants = Arc::new(grants);
    let watching = clients.watching(&course).map_err(replica::Error::from)?;
    let Watches {
        bindings,
        accounts,
        synced,
        requests,
    } = Watches::new(
        &watching,
        config.settings.defaults.clone(),
        Arc::clone(&grants),
    );
    let host = Machine {
        clients,
        leader_metrics,
        log: Mutex::default(),
    };
    let replica = Replica {
        host: Arc::new(host),
        service,
        ledger: config.ledger,
        bindings,
        accounts,
        grants,
        settings: config.settings,
        issuer,
        defaults: config.defaults,
        clock: Clock::Wall,
        grace,
        feed: Feed::default(),
        term_metrics: TermMetrics::default(),
        liveness: Liveness::default(),
    };
    Ok((replica, Watched { synced, requests }))
}

/// Where the issuer comes from.
fn origin(options: &IssuerOptions, clients: &KubernetesClients) -> Result<Origin, Error> {
    let token_file = options.token_file.clone();
    let client = match &options.asked {
        Asked::Given(issuer) => return Ok(Origin::Known(issuer.clone())),
        Asked::Auto => clients.calling(None).map_err(replica::Error::from)?,
    };
    if let Err(why) = OwnToken::in_file(&token_file) {
        return Err(Error::NoOwnToken {
            path: token_file,
            why,
        });
    }
    Ok(Origin::Auto(Discovery {
        api_server: ApiServer::new(client),
        token_file,
    }))
}

/// What looks at the issuer for as long as the process runs.
fn watching_issuer(
    options: &IssuerOptions,
    (said, defaults): (watch::Sender<Said>, watch::Receiver<Defaults>),
    clients: &KubernetesClients,
    proof: Option<Proof>,
) -> Result<Watching, Error> {
    let fetch = options.verify.then(|| {
        Fetch::new(&FetchOptions {
            ca_file: options.ca_file.clone(),
            allow_private: options.allow_private,
        })
    });
    let client = clients.calling(None).map_err(replica::Error::from)?;
    let value = move || {
        let defaults = defaults.borrow();
        let is_known = defaults.unknown_issuer.is_none();
        is_known.then(|| defaults.issuer.clone())
    };
    Ok(Watching {
        value: Box::new(value),
        api_server: ApiServer::new(client),
        token_file: options.token_file.clone(),
        fetch: fetch.transpose().map_err(replica::Error::from)?,
        proof,
        allow_private: options.allow_private,
        metrics: IssuerMetrics::default(),
        said,
    })
}

/// One that takes part for this process, on the Lease of its namespace.
fn elector(
    clients: &KubernetesClients,
    client: Client,
    place: &Place,
    timings: Timings,
) -> Result<Elector, replica::Error> {
    // A course of its own: whether the Lease can be watched says nothing about being ready.
    let watching = clients.watching(&WatchCourse::default())?;
    let identity = identity();
    tracing::info!(
        identity,
        namespace = place.namespace,
        "waiting for the lease"
    );
    let (clients, clocks) = ((client, watching), Clocks::Machine);
    Ok(Elector::new(clients, place, identity, timings, clocks))
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

/// Serves probes. Returns their address.
async fn answer_probes(address: SocketAddr, router: Router) -> Result<SocketAddr, Error> {
    let (listener, address) = bind("health-probe-bind-address", address).await?;
    tokio::spawn(serve(listener, router, None));
    Ok(address)
}

/// Serves metrics, and by https the log level. Returns their address.
async fn answer_scrapes(
    metrics: Metrics,
    scrapes: Router,
    level: LogLevel,
    client: &Client,
) -> Result<SocketAddr, Error> {
    let Metrics {
        address,
        certificate,
    } = metrics;
    let (router, tls) = match certificate {
        None => (scrapes.merge(no_log_level()), None),
        Some(source) => {
            let certificate = Certificate::new(source)?;
            tokio::spawn(Arc::clone(&certificate).keep_fresh());
            (
                guarded(scrapes.merge(log_level(level)), client.clone()),
                Some(certificate.acceptor()?),
            )
        }
    };
    let (listener, address) = bind("metrics-bind-address", address).await?;
    tokio::spawn(serve(listener, router, tls));
    Ok(address)
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
