//! One process of the operator: its production parts.

use std::sync::Arc;
use std::time::Duration;

use azwib_crds::{ClientId, Issuer};
use azwib_operator::azure::auth::{AuthConfig, Secret};
use azwib_operator::azure::cloud::Cloud;
use azwib_operator::azure::msi::MsiIdentityService;
use azwib_operator::binding::controller::Watches;
use azwib_operator::binding::controller::kept;
use azwib_operator::binding::controller::passes::{self, Notice};
use azwib_operator::binding::events::Events;
use azwib_operator::binding::grants::tell::keep_told;
use azwib_operator::binding::validate::Defaults;
use azwib_operator::binding::{Failed, Operator, Settings};
use azwib_operator::grant::Authority;
use azwib_operator::kubeutil::watch_course::WatchCourse;
use azwib_operator::ledger::{BindingRef, LedgerSettings, Ledgers};
use azwib_operator::runtime::clock::{self, Clock};
use kube::Client;
use tokio::sync::{mpsc, watch};
use tower::Layer;

use crate::api_server::ApiServer;
use crate::names::{AUTHORITY, CLIENT, ISSUER, RESOURCE_MANAGER, SECRET, TENANT};
use crate::network::{Network, REQUEST_TIMEOUT};
use crate::process::Process;
use crate::setup::{BINDINGS_OF_AN_ACCOUNT, CONCURRENCY, World};
use crate::shared::Shared;

/// Runs a process until it is dropped.
pub async fn run(process: Process, world: World) -> anyhow::Result<()> {
    let server = ApiServer {
        cluster: process.shared.cluster.clone(),
        process: process.clone(),
    };
    let server = kept::layer().layer(server);
    let course = WatchCourse::default();
    let watching = Client::new(course.layer(server.clone()), "default");
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
    let (_, defaults) = watch::channel(defaults);
    let grants = Arc::new(Authority::new(world.grants, course));
    let watches = Watches::serving(
        BINDINGS_OF_AN_ACCOUNT,
        &watching,
        defaults.clone(),
        Arc::clone(&grants),
    );
    let settings = Settings {
        defaults,
        credential_limit: world.limit,
        resync_period: world.resync_period,
        propagation_delay: world.propagation_delay,
        revocation_grace: world.revocation_grace,
        stalled_after: Duration::from_secs(300),
        allow_force_detach: true,
        max_concurrent_reconciles: CONCURRENCY,
    };
    let context = Operator::new(
        client.clone(),
        Events::new(client, None),
        Arc::new(Ledgers::new(Arc::new(service), wake, ledger)),
        (watches.bindings, watches.accounts, grants),
        settings,
        clock,
    );
    let ctx = Arc::new(context);
    let tell = |notice| take_note(notice, &process);
    let passes = passes::run(
        watches.requests,
        woken,
        Arc::clone(&ctx),
        std::future::pending(),
        tell,
    );
    tokio::select! {
        () = ctx.events.published_during(passes) => {}
        () = keep_told(Arc::clone(&ctx)) => {}
    }
    Ok(())
}

/// Takes note of passes that begin, and traces how they end.
fn take_note(notice: Notice, process: &Process) {
    let Shared { trace, .. } = &*process.shared;
    match notice {
        Notice::Began(BindingRef { namespace, name }) => {
            let (shared, caller) = (&process.shared, &process.caller);
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
