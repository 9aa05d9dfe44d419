//! How long a claim is held, and how it ends.

use k8s_openapi::jiff::SignedDuration;
use serde_json::json;

use super::api_server::Ways;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_claim_is_held_while_the_lease_is_renewed() {
    let server = ApiServer::new();
    let (_elector, term, _) = leading(&server, "a").await;
    let (claim, lost) = (term.claim(), term.lost());
    for _ in 0..6000 {
        assert!(claim.is_held());
        sleep(Duration::from_millis(100)).await;
    }
    assert!(!lost.is_cancelled());
    let renewed = server.written().len();
    assert!(
        (290..=301).contains(&renewed),
        "every two seconds: {renewed}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_claim_ends_before_anybody_else_may_take_the_lease() {
    for ways in [
        // It hangs.
        Ways {
            there: seconds(3600),
            back: seconds(0),
        },
        // It takes 12 s, and is written.
        Ways {
            there: seconds(0),
            back: seconds(12),
        },
        // It arrives when nobody waits for it any more.
        Ways {
            there: seconds(12),
            back: seconds(0),
        },
    ] {
        let server = ApiServer::new();
        let (_elector, term, _) = leading(&server, "a").await;
        sleep(seconds(20)).await;
        server.of("a", move |_| ways);
        let renewed = server.written().last().unwrap().at;
        let (claim, lost) = (term.claim(), term.lost());
        until(|| !claim.is_held()).await;
        let lasted = renewed.elapsed();
        assert!((8..=10).contains(&lasted.as_secs()), "{lasted:?}: {ways:?}");
        lost.cancelled().await;
        assert!(renewed.elapsed() - lasted < seconds(1));
        sleep(seconds(120)).await;
        assert!(!claim.is_held(), "it stays void");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_renewal_counts_from_before_it_was_sent() {
    let server = ApiServer::new();
    let (_elector, term, _) = leading(&server, "a").await;
    server.of("a", |_| Ways {
        there: seconds(0),
        back: seconds(4),
    });
    let claim = term.claim();
    until(|| server.written().len() == 5).await;
    let sent = Instant::now();
    server.cut_off("a");
    until(|| !claim.is_held()).await;
    let lasted = sent.elapsed();
    assert!((9..=10).contains(&lasted.as_secs()), "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_suspend_voids_the_claim_before_tokio_knows_of_it() {
    let server = ApiServer::new();
    let (_elector, term, moves) = leading(&server, "a").await;
    moves.suspend(seconds(11));
    assert!(!term.claim().is_held());
    let noticed = Instant::now();
    term.lost().cancelled().await;
    assert!(noticed.elapsed() <= TIMINGS.retry_period);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_runs_ahead_voids_the_claim_and_one_that_is_set_back_does_not() {
    let server = ApiServer::new();
    let (_elector, term, moves) = leading(&server, "a").await;
    moves.set_wall(SignedDuration::from_hours(-1));
    assert!(term.claim().is_held());
    sleep(seconds(30)).await;
    assert!(term.claim().is_held());
    moves.set_wall(SignedDuration::from_secs(11));
    assert!(!term.claim().is_held());
}

#[tokio::test(start_paused = true)]
async fn who_has_lost_the_claim_by_its_clock_takes_its_own_lease_again() {
    let server = ApiServer::new();
    let (mut elector, term, moves) = leading(&server, "a").await;
    moves.set_wall(SignedDuration::from_hours(1));
    term.lost().cancelled().await;
    let void = term.claim();
    term.release().await;
    let began = Instant::now();
    let term = super::term(&mut elector).await;
    assert!(began.elapsed() < seconds(1), "{:?}", began.elapsed());
    assert!(term.claim().is_held());
    assert!(!void.is_held(), "a new term has a new claim");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_deleted_or_emptied_is_taken_back_by_who_still_holds_it() {
    let server = ApiServer::new();
    let (_elector, term, _) = leading(&server, "a").await;
    let waiting = waiting(&server, 0);
    for _ in 0..5 {
        sleep(seconds(20)).await;
        server.delete_by_hand();
        until(|| server.holder() == "a").await;
        assert!(term.claim().is_held());
        sleep(seconds(20)).await;
        server.write_by_hand(&json!({ "holderIdentity": "", "leaseDurationSeconds": 15 }));
        until(|| server.holder() == "a").await;
        assert!(term.claim().is_held());
    }
    sleep(seconds(60)).await;
    assert!(term.claim().is_held());
    assert!(!waiting.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_deleted_is_taken_by_another_only_when_the_claim_is_over() {
    let server = ApiServer::new();
    let (_elector, term, _) = leading(&server, "a").await;
    let waiting = waiting(&server, 0);
    sleep(seconds(20)).await;
    server.cut_off("a");
    server.delete_by_hand();
    let claim = term.claim();
    let lasted = until(|| !claim.is_held()).await;
    assert!(!waiting.is_finished());
    waiting.await.unwrap();
    assert!(lasted <= seconds(10), "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_was_written_by_hand_ends_the_claim() {
    for spec in [
        json!({ "holderIdentity": "x", "leaseDurationSeconds": 15 }),
        json!({ "holderIdentity": "a", "leaseDurationSeconds": 15 }),
        json!({ "holderIdentity": "", "leaseDurationSeconds": 1 }),
    ] {
        let server = ApiServer::new();
        let (_elector, term, _) = leading(&server, "a").await;
        sleep(seconds(20)).await;
        server.write_by_hand(&spec);
        let changed = Instant::now();
        term.lost().cancelled().await;
        assert!(changed.elapsed() <= seconds(3), "{spec}");
        assert!(!term.claim().is_held());
        // What is not its own it does not release.
        term.release().await;
        let holder = spec["holderIdentity"].as_str().unwrap_or_default();
        assert_eq!(server.holder(), holder);
        assert_eq!(server.spec(), spec);
    }
}

#[tokio::test(start_paused = true)]
async fn changes_of_the_metadata_by_others_end_nothing() {
    let server = ApiServer::new();
    let (_elector, term, _) = leading(&server, "a").await;
    for _ in 0..10 {
        sleep(seconds(3)).await;
        let spec = server.spec();
        server.write_by_hand(&spec);
    }
    sleep(seconds(3)).await;
    assert!(term.claim().is_held());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_was_written_without_an_answer_is_found_again() {
    let server = ApiServer::new();
    let (_elector, term, _) = leading(&server, "a").await;
    // It is carried out, and its answer is lost; then the Lease is read, and renewed.
    server.of("a", |call| Ways {
        there: seconds(0),
        back: seconds(if call % 3 == 1 { 3600 } else { 0 }),
    });
    for _ in 0..600 {
        sleep(seconds(1)).await;
        assert!(term.claim().is_held());
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_dropped_renews_no_more() {
    let server = ApiServer::new();
    let (_elector, term, _) = leading(&server, "a").await;
    let claim = term.claim();
    drop(term);
    sleep(seconds(20)).await;
    let written = server.written().len();
    sleep(seconds(20)).await;
    assert_eq!(server.written().len(), written);
    assert!(!claim.is_held());
}
