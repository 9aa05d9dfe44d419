//! Builds the clients, the stores, the controller and the probes, runs them, and shuts them down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use azwib_crds::WorkloadIdentityBinding;
use http::HeaderValue;
use http::header::USER_AGENT as USER_AGENT_HEADER;
use kube::api::ListParams;
use kube::client::ClientBuilder;
use kube::{Api, Client};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::azure::auth::AuthConfig;
use crate::azure::error::SetupError;
use crate::azure::msi::MsiIdentityService;
use crate::binding::Operator;
use crate::binding::calls;
use crate::binding::controller::kept;
use crate::binding::controller::{self, Watches};
use crate::binding::events::Events;
use crate::binding::grants::tell::keep_told;
use crate::binding::metrics::State;
use crate::cli::config::Config;
use crate::definitions::say_if_older;
use crate::grant::{Authority, OwnNamespace};
use crate::kubeutil::backoff::Standing;
use crate::kubeutil::retry_after::RetryAfterLayer;
use crate::kubeutil::watch_course::WatchCourse;
use crate::ledger::Ledgers;
use crate::runtime::clock::Clock;
use crate::runtime::listen::listen;
use crate::runtime::probes::{self, Readiness};
use crate::runtime::serve::serve;
use crate::runtime::{metrics, shutdown};

/// How much longer than one request to Azure the shutdown may take.
const GRACE: Duration = Duration::from_secs(5);

/// How long a call of the API server may be silent. The API server gives up on a call after 34 s. A shorter time would lose its
/// message about a webhook that does not answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(40);

/// How long a watch may be silent: longer than it lasts (295 s).
const WATCH_TIMEOUT: Duration = Duration::from_secs(310);

/// Why the operator cannot run at all. It waits for everything that can recover by itself, so none of that is here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot tell how to reach the API server: run in a cluster or set KUBECONFIG")]
    Kubeconfig(#[source] kube::config::InferConfigError),
    #[error("cannot make a client for the API server")]
    Client(#[source] kube::Error),
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
    #[error("the controller ended although nothing told it to stop; the log says why")]
    ControllerEnded,
    #[error("the work under way did not end within {0:?}")]
    Unfinished(Duration),
}

/// Runs the operator until SIGTERM or SIGINT.
pub async fn run(config: Config) -> Result<(), Error> {
    let stop = shutdown::on_signal().map_err(Error::Signals)?;
    let grace = config.azure.request_timeout + GRACE;
    let issuer = config.settings.defaults.borrow().issuer.clone();
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
    let mut registry = metrics::registry();
    service.requests().register(&mut registry);
    let course = WatchCourse::default();
    let (client, watching) = kubernetes_clients(&course).await?;
    let (wake, woken) = mpsc::unbounded_channel();
    let ledgers = Arc::new(Ledgers::new(Arc::new(service), wake, config.ledger));
    let own_namespace = OwnNamespace::of(token_file);
    let grants = Authority::new(config.grants, course.clone()).reserving(own_namespace);
    let grants = Arc::new(grants);
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
    let events = Events::new(client.clone(), std::env::var("POD_NAME").ok());
    let context = Arc::new(Operator::new(
        client,
        events,
        Arc::clone(&ledgers),
        (bindings, accounts, grants),
        config.settings,
        Clock::Wall,
    ));
    register(&context, &mut registry);

    let readiness = Readiness::waiting_for("the API server", course);
    let (probes, metrics) = answer(
        config.health_probe_address,
        &readiness,
        config.metrics_address,
        registry,
    )
    .await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %probes, metrics = metrics.map(display), %issuer, "azwib starts");
    tokio::select! {
        () = crd_is_served(&context.client, &readiness) => {}
        () = stop.cancelled() => return Ok(()),
    }

    let client = context.client.clone();
    tokio::spawn(async move { say_if_older(&client).await });
    tokio::spawn(ready_once_synced(synced, readiness));
    tokio::spawn(keep_told(Arc::clone(&context)));
    let stopped = stop.clone();
    let controller = tokio::spawn(controller::run(requests, woken, context, async move {
        stopped.cancelled().await
    }));
    wind_down(stop, controller, ledgers.drain(), grace).await
}

/// Serves probes and, unless they are turned off, metrics. Returns the addresses of both.
async fn answer(
    probes: SocketAddr,
    readiness: &Readiness,
    metrics: Option<SocketAddr>,
    registry: Registry,
) -> Result<(SocketAddr, Option<SocketAddr>), Error> {
    let (listener, probes) = bind("health-probe-bind-address", probes).await?;
    tokio::spawn(serve(listener, probes::router(readiness.clone())));
    let Some(address) = metrics else {
        return Ok((probes, None));
    };
    let (listener, address) = bind("metrics-bind-address", address).await?;
    tokio::spawn(serve(listener, metrics::router(registry)));
    Ok((probes, Some(address)))
}

/// Has the registry show the passes, and what is true of bindings and identities.
fn register(context: &Operator, registry: &mut Registry) {
    context.metrics.register(registry, &context.settings);
    context.events.register(registry);
    registry.register_collector(Box::new(State {
        bindings: context.bindings.clone(),
        grants: Arc::clone(&context.grants),
        ledgers: Arc::clone(&context.ledgers),
        settings: context.settings.clone(),
    }));
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

/// Clients of the API server, whose answers are cut to what is read of them: for calls, and for watches.
async fn kubernetes_clients(course: &WatchCourse) -> Result<(Client, Client), Error> {
    let mut config = kube::Config::infer().await.map_err(Error::Kubeconfig)?;
    // kube's own retry would hold a pass for minutes; a failed pass is made again anyway.
    config.default_retry = false;
    let name = (
        USER_AGENT_HEADER,
        HeaderValue::from_static(crate::USER_AGENT),
    );
    config.headers.push(name);
    let with = |read_timeout| {
        let mut config = config.clone();
        config.read_timeout = Some(read_timeout);
        let client = ClientBuilder::try_from(config).map_err(Error::Client)?;
        Ok(client
            .with_layer(&RetryAfterLayer)
            .with_layer(&kept::layer()))
    };
    let watching = with(WATCH_TIMEOUT)?.with_layer(course);
    Ok((with(CALL_TIMEOUT)?.build(), watching.build()))
}

/// Waits until bindings can be listed: the API server may be down, and the CRD may come after the operator.
async fn crd_is_served(client: &Client, readiness: &Readiness) {
    let bindings: Api<WorkloadIdentityBinding> = Api::all(client.clone());
    let mut standing = Standing::FIRST;
    loop {
        let error = match bindings
            .list_metadata(&ListParams::default().limit(1))
            .await
        {
            Ok(_) => return,
            Err(error) => error,
        };
        let delay = calls::pace(&error).delay(standing);
        standing.failures = (standing.failures + 1).min(5);
        match &error {
            kube::Error::Api(answer) if answer.code == 404 => {
                readiness
                    .wait_for("the CustomResourceDefinition workloadidentitybindings.azwib.dev");
                tracing::warn!(
                    retry_in = ?delay,
                    "the CustomResourceDefinition is not installed: kubectl apply -k config/crd"
                );
            }
            error => {
                readiness.wait_for("the API server");
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, retry_in = ?delay, "the API server does not answer as it should");
            }
        }
        tokio::time::sleep(delay).await;
    }
}

async fn ready_once_synced(synced: oneshot::Receiver<()>, readiness: Readiness) {
    readiness.wait_for("the first list of bindings");
    if synced.await.is_ok() {
        tracing::info!("the bindings are known; azwib is ready");
        readiness.ready();
    }
}

/// Lets the passes under way finish, then the writes that outlived theirs.
async fn wind_down(
    stop: CancellationToken,
    mut controller: tokio::task::JoinHandle<()>,
    writes_done: impl Future<Output = ()>,
    grace: Duration,
) -> Result<(), Error> {
    tokio::select! {
        // A controller without work ends as soon as it is told to stop. Which of the two is polled first decides whether
        // that counts as the shutdown or as an end by itself.
        biased;
        () = stop.cancelled() => {}
        // It runs until it is told to stop: a supervisor should start the operator anew.
        _ = &mut controller => return Err(Error::ControllerEnded),
    }
    let finished = async {
        // A controller that panicked during the shutdown has nothing under way either.
        let _ = controller.await;
        writes_done.await;
    };
    tokio::time::timeout(grace, finished)
        .await
        .map_err(|_| Error::Unfinished(grace))
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn a_controller_that_ends_when_it_is_told_to_stop_has_not_ended_by_itself() {
        // Both are seen at once; which is looked at first must not be left to chance.
        for _ in 0..64 {
            let stop = CancellationToken::new();
            let controller = tokio::spawn(ready(()));
            while !controller.is_finished() {
                tokio::task::yield_now().await;
            }
            stop.cancel();
            let outcome = wind_down(stop, controller, ready(()), Duration::from_secs(1)).await;
            assert!(outcome.is_ok(), "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_controller_that_ends_by_itself_is_an_error() {
        let controller = tokio::spawn(ready(()));
        let outcome = wind_down(
            CancellationToken::new(),
            controller,
            ready(()),
            Duration::from_secs(1),
        )
        .await;
        assert!(matches!(outcome, Err(Error::ControllerEnded)));
    }
}
