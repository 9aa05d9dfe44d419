//! When a Lease is taken.

use std::convert::Infallible;

use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use kube::Client;
use kube::client::Body;
use serde_json::json;

use super::api_server::Ways;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_at_once() {
    let server = ApiServer::new();
    let began = Instant::now();
    let (_elector, term, _) = leading(&server, "a").await;
    assert!(began.elapsed() < seconds(1), "{:?}", began.elapsed());
    assert!(term.claim().is_held());
    let spec = server.spec();
    assert_eq!(spec["holderIdentity"], "a");
    assert_eq!(spec["leaseDurationSeconds"], 15);
    assert_eq!(spec["leaseTransitions"], 0);
    assert_eq!(spec["acquireTime"], "2027-01-15T08:00:00.000000Z");
    assert_eq!(spec["renewTime"], spec["acquireTime"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_given_back_is_taken_by_who_waits() {
    let server = ApiServer::new();
    let (_elector, term, _) = leading(&server, "a").await;
    let waiting = waiting(&server, 0);
    sleep(seconds(60)).await;
    assert!(!waiting.is_finished(), "it is held");
    let claim = term.claim();
    term.release().await;
    let released = Instant::now();
    let term = waiting.await.unwrap();
    assert!(!claim.is_held());
    assert!(term.claim().is_held());
    assert!(released.elapsed() < seconds(1), "{:?}", released.elapsed());
    assert_eq!(server.spec()["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_renews_is_taken_once_it_has_stood_for_a_lease() {
    for ahead in [-3600, 0, 3600] {
        let server = ApiServer::new();
        let (_elector, term, _) = leading(&server, "a").await;
        let waiting = waiting(&server, ahead);
        sleep(seconds(60)).await;
        assert!(
            !waiting.is_finished(),
            "it is renewed, whatever the clocks say"
        );
        drop(term);
        let killed = Instant::now();
        waiting.await.unwrap();
        let took = killed.elapsed();
        // The last renewal was up to a retry period ago, and those who see it run out come one after the other.
        assert!((13..=19).contains(&took.as_secs()), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_missing_or_was_emptied_counts_as_held_for_a_lease() {
    for spec in [
        None,
        Some(json!(null)),
        Some(json!({})),
        Some(json!({ "holderIdentity": "", "leaseDurationSeconds": 15 })),
        Some(json!({ "holderIdentity": "x", "leaseDurationSeconds": -1, "leaseTransitions": -9 })),
    ] {
        let server = ApiServer::new();
        if let Some(spec) = &spec {
            server.write_by_hand(spec);
        }
        let (mut elector, _) = elector(&server, "a", 0);
        let began = Instant::now();
        let term = super::term(&mut elector).await;
        let took = began.elapsed();
        assert!((15..=17).contains(&took.as_secs()), "{took:?}: {spec:?}");
        assert!(term.claim().is_held());
        assert_eq!(server.holder(), "a");
    }
}

#[tokio::test(start_paused = true)]
async fn a_huge_duration_is_no_lock_for_ever() {
    let server = ApiServer::new();
    server.write_by_hand(&json!({ "holderIdentity": "x", "leaseDurationSeconds": i32::MAX }));
    let (mut elector, _) = elector(&server, "a", 0);
    let began = Instant::now();
    super::term(&mut elector).await;
    let took = began.elapsed();
    assert!((120..=122).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_taking_was_not_answered_is_waited_for_like_any_other() {
    let server = ApiServer::new();
    server.release_by_hand();
    let (mut elector, _) = elector(&server, "a", 0);
    // Call 1 lists, 2 reads, 3 or 4 takes; which of them does not matter.
    server.of("a", |call| Ways {
        back: if call <= 4 { seconds(60) } else { seconds(0) },
        ..Ways::default()
    });
    let began = Instant::now();
    let term = super::term(&mut elector).await;
    assert!(term.claim().is_held());
    let took = began.elapsed();
    assert!((seconds(15)..seconds(40)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_cannot_be_reached_is_tried_again() {
    let server = ApiServer::new();
    server.release_by_hand();
    server.cut_off("a");
    let (mut elector, _) = elector(&server, "a", 0);
    let waiting = tokio::spawn(async move { super::term(&mut elector).await });
    sleep(seconds(300)).await;
    server.of("a", |_| Ways::default());
    let back = Instant::now();
    waiting.await.unwrap();
    assert!(back.elapsed() < seconds(8), "{:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_is_told_to_stop_while_it_takes_the_lease_gives_it_back() {
    let server = ApiServer::new();
    server.release_by_hand();
    server.of("a", |_| Ways {
        there: seconds(1),
        back: seconds(1),
    });
    let (mut elector, _) = elector(&server, "a", 0);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let waiting = tokio::spawn(async move { elector.term(&stopped).await.is_none() });
    until(|| server.holder() == "a").await;
    stop.cancel();
    assert!(waiting.await.unwrap(), "no term begins");
    assert_eq!(server.holder(), "");
    assert_eq!(server.spec()["leaseDurationSeconds"], 1);
}

/// An elector called `b` whose watch shows nothing, ever.
fn waiting_without_watch(server: &ApiServer) -> JoinHandle<Term> {
    let silent = tower::service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    let clients = (server.client("b"), Client::new(silent, "default"));
    let place = Place {
        namespace: "azwib-system".to_owned(),
        name: api_server::NAME.to_owned(),
    };
    let (clocks, _) = Clocks::moved(Timestamp::from_second(NOON).unwrap());
    let mut elector = Elector::new(clients, &place, "b".to_owned(), TIMINGS, clocks);
    tokio::spawn(async move { term(&mut elector).await })
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_silent_costs_no_more_than_a_retry_period() {
    for gives_back in [true, false] {
        let server = ApiServer::new();
        let (_elector, term, _) = leading(&server, "a").await;
        let waiting = waiting_without_watch(&server);
        // In the middle of a lease that was read first.
        sleep(seconds(68)).await;
        assert!(!waiting.is_finished(), "it is renewed");
        let (ended, bound) = if gives_back {
            term.release().await;
            (Instant::now(), TIMINGS.retry_period)
        } else {
            drop(term);
            (
                Instant::now(),
                TIMINGS.lease_duration + 2 * TIMINGS.retry_period,
            )
        };
        waiting.await.unwrap();
        assert!(
            ended.elapsed() <= bound,
            "{gives_back}: {:?}",
            ended.elapsed()
        );
    }
}
