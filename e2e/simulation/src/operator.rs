//! One process of the operator: its production parts.

use std::sync::Arc;
use std::time::Duration;

use azwib_crds::{ClientId, Issuer};
use azwib_operator::azure::auth::{AuthConfig, Secret};
use azwib_operator::azure::cloud::Cloud;
use azwib_operator::azure::msi::MsiIdentityService;
use azwib_operator::binding::controller::passes::{self, Notice, Queue};
use azwib_operator::binding::controller::{Feed, Watches, kept};
use azwib_operator::binding::events::Events;
use azwib_operator::binding::grants::tell::keep_told;
use azwib_operator::binding::validate::Defaults;
use azwib_operator::binding::{Failed, Operator, Settings};
use azwib_operator::grant::Authority;
use azwib_operator::issuer::discovery::Origin;
use azwib_operator::kubeutil::watch_course::WatchCourse;
use azwib_operator::leader::{Claim, ClaimLayer, Elector, Place};
use azwib_operator::ledger::{BindingRef, LedgerSettings, Ledgers};
use azwib_operator::replica::{Host, Replica};
use azwib_operator::runtime::clock::{self, Clock};
use azwib_operator::runtime::liveness::Liveness;
use azwib_operator::runtime::metrics::TermMetrics;
use azwib_operator::runtime::shutdown::GRACE;
use http::Request;
use kube::Client;
use kube::client::Body;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tower::filter::AsyncFilterLayer;
use tower::{BoxError, Layer};

use crate::api_server::ApiServer;
use crate::names::{self, AUTHORITY, CLIENT, ISSUER, LEASES, RESOURCE_MANAGER, SECRET, TENANT};
use crate::network::{Network, REQUEST_TIMEOUT};
use crate::process::Process;
use crate::setup::{BINDINGS_OF_AN_ACCOUNT, CONCURRENCY, TIMINGS, World};
use crate::shared::Shared;

/// What a replica runs on here.
pub struct Simulated {
    process: Process,
    server: ApiServer,
}

impl Host for Simulated {
    fn calling(&self, claim: Option<Claim>) -> Result<Client, kube::Error> {
        let claim = claim.unwrap_or_else(Claim::of_the_only_process);
        let server = kept::layer().layer(self.server.clone());
        let server = ClaimLayer(claim).layer(server);
        // A process that is stopped has asked for its claim after it, or not at all.
        let machine = Arc::clone(&self.process.machine);
        let goes_on = AsyncFilterLayer::new(move |request: Request<Body>| {
            let machine = Arc::clone(&machine);
            async move {
                machine.goes_on().await;
                Ok::<_, BoxError>(request)
            }
        });
        Ok(Client::new(goes_on.layer(server), "default"))
    }

    fn leads(&self, leads: bool) {
        let Process {
            shared, machine, ..
        } = &self.process;
        machine.set_leads(leads);
        if leads {
            machine.in_term(shared.next_term());
        }
        let caller = &self.process.caller();
        let what = if leads { "leads" } else { "leads no more" };
        shared.trace.note(format!(
            "replica {} {what}, in term {}",
            caller.replica, caller.number
        ));
        if leads {
            shared.tell(|it| it.process_began(shared, caller));
        } else {
            shared.tell(|it| it.process_died(shared, caller));
        }
    }

    fn noticed(&self, notice: Notice) {
        take_note(notice, &self.process);
    }
}

/// A replica, and what its watches give.
struct Parts {
    replica: Replica<Simulated>,
    synced: oneshot::Receiver<()>,
    requests: Queue,
}

fn parts(process: &Process, world: &World) -> anyhow::Result<Parts> {
    let server = ApiServer {
        cluster: process.shared.cluster.clone(),
        process: process.clone(),
    };
    let course = WatchCourse::default();
    let watching = course.layer(kept::layer().layer(server.clone()));
    let watching = Client::new(watching, "default");
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
    let ledger = LedgerSettings {
        write_settle_time: world.write_settle_time,
        credential_limit: world.limit,
        requests_in_flight: 10,
    };
    let defaults = Defaults {
        issuer: Issuer::parse(ISSUER)?,
        unknown_issuer: None,
        subscription: None,
        resource_group: None,
    };
    let issuer = Origin::Known(defaults.issuer.clone());
    let (known, defaults) = watch::channel(defaults);
    let grants = Arc::new(Authority::new(world.grants, course));
    let watches = Watches::serving(
        BINDINGS_OF_AN_ACCOUNT,
        &watching,
        defaults.clone(),
        Arc::clone(&grants),
    );
    let settings = Settings {
        issuer: watch::Sender::default().subscribe(),
        defaults,
        credential_limit: world.limit,
        resync_period: world.resync_period,
        propagation_delay: world.propagation_delay,
        revocation_grace: world.revocation_grace,
        stalled_after: Duration::from_secs(300),
        allow_force_detach: true,
        read_only: process.caller().is_read_only,
        max_concurrent_reconciles: CONCURRENCY,
    };
    let host = Simulated {
        process: process.clone(),
        server,
    };
    let replica = Replica {
        host: Arc::new(host),
        service,
        ledger,
        bindings: watches.bindings,
        accounts: watches.accounts,
        grants,
        settings,
        issuer,
        defaults: known,
        clock,
        grace: REQUEST_TIMEOUT + GRACE,
        feed: Feed::default(),
        term_metrics: TermMetrics::default(),
        liveness: Liveness::default(),
    };
    Ok(Parts {
        replica,
        synced: watches.synced,
        requests: watches.requests,
    })
}

/// Runs the only process until it is dropped.
pub async fn run(process: Process, world: World) -> anyhow::Result<()> {
    let Parts {
        replica, requests, ..
    } = parts(&process, &world)?;
    let (wake, woken) = mpsc::unbounded_channel();
    let client = replica.host.server.clone();
    let client = Client::new(kept::layer().layer(client), "default");
    let context = Operator::new(
        client.clone(),
        Events::new(client, None),
        Arc::new(Ledgers::new(
            Arc::new(replica.service),
            wake,
            replica.ledger,
        )),
        (replica.bindings, replica.accounts, replica.grants),
        replica.settings,
        replica.clock,
    );
    let ctx = Arc::new(context);
    let tell = |notice| take_note(notice, &process);
    let passes = passes::run(
        requests,
        woken,
        Arc::clone(&ctx),
        std::future::pending(),
        tell,
    );
    tokio::select! {
        biased;
        () = ctx.events.published_during(passes) => {}
        () = keep_told(Arc::clone(&ctx), CancellationToken::new()) => {}
    }
    Ok(())
}

/// Runs one of several replicas until it is told to stop.
pub async fn run_in_turns(
    process: Process,
    world: World,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Parts {
        replica,
        synced,
        requests,
    } = parts(&process, &world)?;
    replica.bindings.stand_by();
    let feed = replica.feed.clone().carry(requests);
    let _carried = AbortOnDropHandle::new(tokio::spawn(feed));
    tokio::select! {
        biased;
        _ = synced => {}
        () = stop.cancelled() => return Ok(()),
    }
    let place = Place {
        namespace: LEASES.to_owned(),
        name: "azwib-operator".to_owned(),
    };
    let calling = replica.host.calling(None)?;
    let watching = kept::layer().layer(replica.host.server.clone());
    let clients = (calling, Client::new(watching, "default"));
    let elector = Elector::new(
        clients,
        &place,
        names::replica(process.caller().replica),
        TIMINGS,
        process.machine.clocks.clone(),
    );
    Ok(replica.take_turns(elector, &stop).await?)
}

/// Takes note of passes that begin, and traces how they end.
fn take_note(notice: Notice, process: &Process) {
    if process.is_dead() {
        return;
    }
    let Shared { trace, .. } = &*process.shared;
    match notice {
        Notice::Began(BindingRef { namespace, name }) => {
            let (shared, caller) = (&process.shared, &process.caller());
            shared.tell(|it| it.pass_began(shared, caller, &namespace, &name));
        }
        Notice::Passed(who, Ok(next)) => trace.note(format!("pass {who}: again in {next:?}")),
        Notice::Passed(who, Err(Failed { error, retry_in })) => {
            if let Some((_, reason)) = error.finding() {
                process.shared.count(format!("finding {reason}"));
            }
            trace.note(format!("pass {who}: {error}; again in {retry_in:?}"));
        }
        Notice::Panicked(panic) => process.shared.violated("no-pass-panics", panic.to_string()),
        Notice::Gone(_) | Notice::Interrupted(_) => {}
    }
}
