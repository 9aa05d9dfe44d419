//! Electors before an API server with one Lease, on paused time.

mod api_server;
mod aside;
mod holding;
mod taking;
mod two;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::api_server::ApiServer;
use super::*;
use crate::runtime::clocks::{Clocks, Moves};

const TIMINGS: Timings = Timings {
    lease_duration: Duration::from_secs(15),
    renew_deadline: Duration::from_secs(10),
    retry_period: Duration::from_secs(2),
};

/// The time of day of everybody whose clock is right.
const NOON: i64 = 1_800_000_000;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn place() -> Place {
    Place {
        namespace: "azwib-system".to_owned(),
        name: api_server::NAME.to_owned(),
    }
}

/// An elector, and its clocks, which may be ahead of the others by so many seconds.
fn elector(server: &ApiServer, identity: &str, ahead: i64) -> (Elector, Arc<Moves>) {
    let wall = Timestamp::from_second(NOON + ahead).unwrap();
    let (clocks, moves) = Clocks::moved(wall);
    let clients = (server.client(identity), server.client(identity));
    let elector = Elector::new(clients, &place(), identity.to_owned(), TIMINGS, clocks);
    (elector, moves)
}

/// The next term of an elector that nobody stops.
async fn term(elector: &mut Elector) -> Term {
    let term = elector.term(&CancellationToken::new()).await;
    term.expect("nobody stops it")
}

/// Another elector, called `b`, that waits for its term; its clock is ahead of the others by so many seconds.
fn waiting(server: &ApiServer, ahead: i64) -> JoinHandle<Term> {
    let (mut standby, _) = elector(server, "b", ahead);
    tokio::spawn(async move { term(&mut standby).await })
}

/// An elector that leads a Lease which it has found released.
async fn leading(server: &ApiServer, identity: &str) -> (Elector, Term, Arc<Moves>) {
    server.release_by_hand();
    let (mut elector, moves) = elector(server, identity, 0);
    let term = term(&mut elector).await;
    (elector, term, moves)
}

/// How long until this happens.
async fn until(what: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !what() {
        sleep(Duration::from_millis(10)).await;
        assert!(began.elapsed() < seconds(600), "it never happens");
    }
    began.elapsed()
}
