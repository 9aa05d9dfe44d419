use std::time::Duration;

use super::*;
use crate::ledger::Requested;

fn binding(name: &str) -> BindingRef {
    BindingRef {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    }
}

fn fresh() -> Freshness {
    Freshness::within(Duration::from_secs(60))
}

/// Asks as `who` and gets that answer; who is woken.
fn ask(read: &SharedRead<u8>, who: &str, answer: Result<u8, AzureError>) -> BTreeSet<BindingRef> {
    match read.look(&binding(who), fresh()) {
        Lookup::Ask(asking) => asking.answer(&answer),
        _ => panic!("{who} is not the one to ask"),
    }
}

fn found(read: &SharedRead<u8>, who: &str, freshness: Freshness) -> Option<Result<u8, AzureError>> {
    match read.look(&binding(who), freshness) {
        Lookup::Answer(answer, _) => Some(answer),
        _ => None,
    }
}

fn not_found() -> AzureError {
    AzureError::local(AzureErrorKind::ParentNotFound, "not there")
}

#[tokio::test(start_paused = true)]
async fn who_finds_a_request_under_way_does_not_wait_and_is_woken_with_its_answer() {
    let read = SharedRead::default();
    let Lookup::Ask(asking) = read.look(&binding("a"), fresh()) else {
        panic!("nobody is asking");
    };
    for _ in 0..2 {
        assert!(matches!(
            read.look(&binding("b"), fresh()),
            Lookup::UnderWay
        ));
    }
    let down = AzureError::local(AzureErrorKind::Unavailable, "down");
    assert_eq!(asking.answer(&Err(down.clone())), [binding("b")].into());
    assert_eq!(found(&read, "b", fresh()), Some(Err(down)));
    assert_eq!(found(&read, "b", fresh()), None, "it has seen that failure");
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_an_answer_takes_it_also_where_its_turn_comes_late() {
    let brief = Freshness::within(Duration::from_secs(3));
    let answered = || {
        let read = SharedRead::default();
        let Lookup::Ask(asking) = read.look(&binding("a"), brief) else {
            panic!("nobody is asking");
        };
        let later = Instant::now();
        assert!(matches!(read.look(&binding("b"), brief), Lookup::UnderWay));
        asking.answer(&Ok(1));
        (read, later)
    };
    for (after, freshness, expected) in [
        (2, brief, Some(Ok(1))),
        (20, brief, Some(Ok(1))),
        (31, brief, None),
    ] {
        let (read, _) = answered();
        tokio::time::advance(Duration::from_secs(after)).await;
        assert_eq!(found(&read, "b", freshness), expected, "after {after} s");
    }
    let (read, _) = answered();
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(found(&read, "c", brief), None, "it has not waited");
    let (read, later) = answered();
    let newer = brief.and_newer_than(Some(later + Duration::from_secs(1)));
    assert_eq!(
        found(&read, "b", newer),
        None,
        "something has happened since"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_cancelled_leaves_nothing_behind() {
    let read = SharedRead::default();
    let cancelled = read.look(&binding("a"), fresh());
    assert!(matches!(cancelled, Lookup::Ask(_)));
    drop(cancelled);
    assert_eq!(ask(&read, "b", Ok(1)), [].into());
}

#[tokio::test(start_paused = true)]
async fn an_answer_grows_old_and_can_be_asked_for_anew() {
    let read = SharedRead::default();
    ask(&read, "a", Ok(1));
    assert_eq!(found(&read, "b", fresh()), Some(Ok(1)));
    assert_eq!(
        found(&read, "b", Freshness::now()),
        Some(Ok(1)),
        "what was asked for now is as of now"
    );
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(found(&read, "b", fresh()), Some(Ok(1)));
    assert_eq!(
        found(&read, "b", fresh().and_newer_than(Some(Instant::now()))),
        None
    );
    let read = SharedRead::default();
    ask(&read, "a", Ok(1));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(found(&read, "b", fresh()), None);
}

#[tokio::test(start_paused = true)]
async fn the_time_that_azure_sets_holds_for_everybody() {
    let read = SharedRead::default();
    let throttled = AzureError::local(AzureErrorKind::Throttled, "slow down")
        .with_retry_after(Duration::from_secs(17));
    ask(&read, "a", Err(throttled.clone()));
    tokio::time::advance(Duration::from_secs(16)).await;
    for freshness in [fresh(), Freshness::now()] {
        assert_eq!(found(&read, "a", freshness), Some(Err(throttled.clone())));
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    ask(&read, "a", Ok(2));
}

#[tokio::test(start_paused = true)]
async fn one_read_tells_all_bindings_that_their_identity_is_missing_and_that_it_is_there() {
    let read = SharedRead::default();
    ask(&read, "a", Err(not_found()));
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(found(&read, "b", fresh()), Some(Err(not_found())));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(ask(&read, "c", Ok(1)), [binding("a"), binding("b")].into());
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_and_who_asks_for_fresh_reads_do_not_take_an_old_failure() {
    let read = SharedRead::default();
    ask(&read, "a", Err(not_found()));
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(found(&read, "b", fresh()).is_some());
    for freshness in [fresh().of_newcomer(true), Freshness::now()] {
        let looked = read.look(&binding("b"), freshness);
        assert!(matches!(looked, Lookup::Ask(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_heals_by_itself_is_asked_again_by_whoever_comes() {
    let read = SharedRead::default();
    let down = AzureError::local(AzureErrorKind::Unavailable, "down");
    ask(&read, "a", Err(down));
    assert_eq!(found(&read, "a", fresh()), None);
}

fn requested(since: Instant, recent_will_do: bool) -> Freshness {
    fresh().as_requested(Some(Requested {
        since,
        recent_will_do,
    }))
}

/// What a look comes to: an answer, a wait of so many seconds, or a request of this kind.
fn outcome(read: &SharedRead<u8>, freshness: Freshness, answer: Result<u8, AzureError>) -> String {
    match read.look(&binding("a"), freshness) {
        Lookup::Answer(Ok(answer), _) => format!("answer {answer}"),
        Lookup::Answer(Err(_), _) => "failure".to_owned(),
        Lookup::UnderWay => "under way".to_owned(),
        Lookup::PutOff(until) => format!("in {} s", (until - Instant::now()).as_secs()),
        Lookup::Ask(asking) => {
            let look = asking.look(freshness);
            asking.answer(&answer);
            format!("{look:?}")
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reads_that_somebody_asks_for_are_made_once_in_thirty_seconds_and_shared() {
    let read = SharedRead::default();
    for (after, freshness, expected) in [
        (0, requested(Instant::now(), false), "First"),
        (5, requested(Instant::now(), false), "answer 1"),
    ] {
        tokio::time::advance(Duration::from_secs(after)).await;
        assert_eq!(outcome(&read, freshness, Ok(1)), expected);
    }
    // The first one that was made for a request alone.
    assert_eq!(
        outcome(&read, requested(Instant::now(), false), Ok(1)),
        "First"
    );
    tokio::time::advance(Duration::from_secs(10)).await;
    let now = Instant::now();
    assert_eq!(outcome(&read, requested(now, false), Ok(1)), "in 20 s");
    assert_eq!(
        outcome(&read, requested(now, true), Ok(1)),
        "answer 1",
        "nobody says that it is wrong"
    );
    assert_eq!(outcome(&read, fresh(), Ok(1)), "answer 1");
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(outcome(&read, requested(now, false), Ok(1)), "First");
    assert_eq!(outcome(&read, requested(now, true), Ok(1)), "answer 1");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_to_fail_is_asked_for_as_a_repeat_and_stays_the_answer_while_that_waits() {
    let read = SharedRead::default();
    let failed = || Err(not_found());
    assert_eq!(outcome(&read, fresh(), failed()), "First");
    // After 10 s, 30 s, and then each minute.
    for (wait, repeats) in [(10, 1), (30, 1), (60, 3)] {
        for _ in 0..repeats {
            tokio::time::advance(Duration::from_secs(wait - 1)).await;
            assert_eq!(outcome(&read, fresh(), failed()), "failure");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(outcome(&read, fresh(), failed()), "Repeat", "{wait}");
        }
    }
    assert_eq!(
        outcome(&read, requested(Instant::now(), true), failed()),
        "failure",
        "it is as of now"
    );
    tokio::time::advance(Duration::from_secs(6)).await;
    let newcomer = fresh().of_newcomer(true);
    assert_eq!(outcome(&read, newcomer, failed()), "First");
    tokio::time::advance(Duration::from_secs(60)).await;
    let until = Instant::now() + Duration::from_secs(40);
    let put_off = NotNow::PutOff { until };
    let Lookup::Ask(asking) = read.look(&binding("a"), fresh()) else {
        panic!("it is due");
    };
    let error = asking.put_off(fresh(), put_off);
    let again = Some(until);
    let source = not_found();
    assert_eq!(error, ReadError::Azure { source, again });
    tokio::time::advance(Duration::from_secs(39)).await;
    assert_eq!(outcome(&read, fresh(), failed()), "failure");
    let asked = requested(Instant::now(), false);
    let Lookup::Ask(asking) = read.look(&binding("a"), asked) else {
        panic!("somebody wants a new one");
    };
    assert_eq!(
        asking.put_off(asked, put_off),
        ReadError::NotNow(put_off),
        "an old failure is no answer to that"
    );
    let known = fresh().of_known_failure(true);
    assert_eq!(outcome(&SharedRead::default(), known, failed()), "Repeat");
}
