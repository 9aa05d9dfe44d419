//! Many who wait for a slot: only who finds one is woken.

use super::*;
use std::sync::Arc;
use std::time::Duration;

/// An identity with one credential on each of so many pages, and bindings that wait, created one after the other.
async fn full(
    waiters: i64,
) -> (
    Arc<Azure>,
    Ledgers,
    Arc<Ledger>,
    mpsc::UnboundedReceiver<BindingRef>,
) {
    let azure = Azure::new(99, false);
    azure.pages.store(20, Ordering::SeqCst);
    let (ledgers, woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    assert_eq!(listed(&ledger, "x", fresh()).await.len(), 20);
    for second in 0..waiters {
        ledger.wait_for_slot(&waiter(&format!("w{second}"), second), true);
    }
    (azure, ledgers, ledger, woken)
}

fn all(woken: &mut mpsc::UnboundedReceiver<BindingRef>) -> Vec<String> {
    std::iter::from_fn(|| woken.try_recv().ok())
        .map(|who| who.name)
        .collect()
}

async fn delete(ledger: &Arc<Ledger>, name: &str) {
    let name = CredentialName::parse(name).unwrap();
    let turn = turn(ledger, "d").await;
    turn.delete(&name, true).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_freed_wakes_one_of_many_who_wait() {
    let (_azure, ledgers, ledger, mut woken) = full(2_000).await;
    assert_eq!(all(&mut woken), [""; 0]);
    ledgers.wake_waiters(&id());
    ledgers.gone(&id(), &binding("w7"));
    assert_eq!(all(&mut woken), [""; 0], "no slot is free");
    delete(&ledger, "foreign-7").await;
    assert_eq!(all(&mut woken), ["w0"]);
}

#[tokio::test(start_paused = true)]
async fn a_listing_wakes_as_many_as_it_has_room_for() {
    let (azure, _ledgers, ledger, mut woken) = full(2_000).await;
    azure.pages.store(17, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(1)).await;
    listed(&ledger, "x", Freshness::now()).await;
    assert_eq!(all(&mut woken), ["w0", "w1", "w2"]);
    azure.pages.store(20, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(1)).await;
    listed(&ledger, "x", Freshness::now()).await;
    assert_eq!(all(&mut woken), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_offer_that_is_not_taken_goes_to_the_next_one_and_no_further() {
    let (_azure, ledgers, ledger, mut woken) = full(2_000).await;
    delete(&ledger, "foreign-7").await;
    assert_eq!(all(&mut woken), ["w0"]);
    ledgers.passed(&binding("w0"), || false);
    assert_eq!(
        all(&mut woken),
        ["w1"],
        "the first is no applicant any more"
    );
    ledgers.passed(&binding("w1"), || true);
    ledgers.passed(&binding("w9"), || false);
    assert_eq!(all(&mut woken), [""; 0], "it keeps the others from it");
}

#[tokio::test(start_paused = true)]
async fn the_metrics_count_who_waits_and_who_was_woken_until_its_pass_is_over() {
    let (_azure, ledgers, ledger, _woken) = full(3).await;
    let waiting = || {
        let in_line = ledgers.in_line();
        in_line.get(id().key()).map(|it| (it.slot, it.turn))
    };
    assert_eq!(waiting(), Some((3, 0)));
    delete(&ledger, "foreign-7").await;
    assert_eq!(waiting(), Some((3, 0)), "one of them is woken");
    ledgers.passed(&binding("w0"), || true);
    assert_eq!(waiting(), Some((2, 0)));
    for who in ["w1", "w2"] {
        ledgers.gone(&id(), &binding(who));
    }
    assert_eq!(waiting(), None, "an identity on which nobody waits");
}
