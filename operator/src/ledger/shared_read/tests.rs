use super::*;

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
    let throttled = AzureError::local(AzureErrorKind::Throttled { retry_after: None }, "slow down")
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
    tokio::time::advance(Duration::from_secs(7)).await;
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
