//! Others write to the identity at the same time.

use super::*;
use crate::azure::AzureErrorKind;

#[tokio::test(start_paused = true)]
async fn a_write_that_meets_another_is_sent_again_with_the_turn_in_its_hand() {
    let azure = Azure::new(2, false);
    let (ledgers, mut woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    let held = turn(&ledger, "a").await;
    let prepared = place(&ledger, "b").await.unwrap();
    azure.collisions.store(3, Ordering::SeqCst);
    let began = Instant::now();
    let put = held.put(&name(), &content(), || true).await;
    assert_eq!(put.unwrap(), Some(Put::Created));
    assert_eq!(azure.writes_begun.load(Ordering::SeqCst), 4);
    let (least, most) = (Duration::from_millis(750), Duration::from_millis(2300));
    assert!((least..most).contains(&began.elapsed()));
    assert!(woken.try_recv().is_err(), "nobody was called in between");
    // Whom it has met gets a chance before the next one.
    let began = Instant::now();
    let turn = prepared.turn().await;
    let turn = turn.map_err(|error| format!("{error:?}")).unwrap();
    turn.put(&name(), &content(), || true).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_the_way_for_long_is_asked_for_a_while_and_then_once_a_turn() {
    let azure = Azure::new(0, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    azure.collisions.store(1000, Ordering::SeqCst);
    let began = Instant::now();
    for (name_of_writer, most) in [("a", 33), ("b", 1)] {
        let before = azure.writes_begun.load(Ordering::SeqCst);
        let turn = turn(&ledger, name_of_writer).await;
        let refused = turn.put(&name(), &content(), || true).await.unwrap_err();
        assert_eq!(refused.kind(), AzureErrorKind::ConcurrentWrite);
        let sent = azure.writes_begun.load(Ordering::SeqCst) - before;
        assert!((1..=most).contains(&sent), "{sent} by {name_of_writer}");
    }
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_may_not_go_any_more_is_not_sent_again() {
    let azure = Azure::new(1, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    azure.collisions.store(1, Ordering::SeqCst);
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let may_go = {
        let asked = Arc::clone(&asked);
        move || asked.fetch_add(1, Ordering::SeqCst) < 1
    };
    let turn = turn(&ledger, "a").await;
    let put = turn.put(&name(), &content(), may_go).await;
    assert_eq!(put.unwrap(), None);
    assert_eq!(azure.writes_begun.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_does_not_send_again() {
    let azure = Azure::new(1, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    azure.collisions.store(1, Ordering::SeqCst);
    let turn = turn(&ledger, "a").await;
    let (name, content) = (name(), content());
    let put = turn.put(&name, &content, || true);
    let (put, ()) = tokio::join!(put, ledgers.drain());
    assert_eq!(put.unwrap_err().kind(), AzureErrorKind::ConcurrentWrite);
    assert_eq!(azure.writes_begun.load(Ordering::SeqCst), 1);
}
