//! Bindings that go while others wait.

use futures::StreamExt;

use super::*;
use crate::runtime::lock::lock;
use azwib_crds::ManagedIdentityId;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn who_waited_behind_one_that_is_gone_is_called_at_once() {
    let azure = Azure::new(9, false);
    let (ledgers, mut woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    let held = [place(&ledger, "x").await, place(&ledger, "y").await];
    for ghost in ["a", "b", "c", "living"] {
        assert!(place(&ledger, ghost).await.is_err());
    }
    drop(held);
    assert_eq!(woken.try_recv().ok(), Some(binding("a")));
    for ghost in ["a", "b", "c"] {
        ledgers.gone(&id(), &binding(ghost));
    }
    let called: Vec<_> = std::iter::from_fn(|| woken.try_recv().ok()).collect();
    assert_eq!(called.last(), Some(&binding("living")), "{called:?}");
    assert!(place(&ledger, "living").await.is_ok());
}

#[tokio::test]
async fn a_slot_freed_between_the_look_and_the_wait_is_not_missed() {
    let azure = Azure::new(9, false);
    azure.pages.store(20, Ordering::SeqCst);
    let (ledgers, mut woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    // One foreign credential on each page.
    assert_eq!(listed(&ledger, "w", fresh()).await.len(), 20);
    ledger.wait_for_slot(&waiter("w", 1), true);
    assert!(woken.try_recv().is_err(), "all are in use");
    let foreign: CredentialName = CredentialName::parse("foreign-7").unwrap();
    let turn = turn(&ledger, "d").await;
    turn.delete(&foreign, true).await.unwrap();
    assert_eq!(woken.try_recv().ok(), Some(binding("w")));
    // Its decision was made before that.
    ledger.wait_for_slot(&waiter("w", 1), true);
    assert_eq!(woken.try_recv().ok(), Some(binding("w")));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_others_to_come_back_is_not_sent_into_a_pause_that_azure_has_asked_for() {
    let azure = Azure::new(9, false);
    let (ledgers, _woken) = ledgers(&azure);
    let (first, second) = (ledgers.of(&id()), ledgers.of(&id()));
    azure.throttles.store(true, Ordering::SeqCst);
    assert!(
        first
            .listing(&binding("a"), Freshness::now())
            .await
            .is_err()
    );
    azure.throttles.store(false, Ordering::SeqCst);
    let asked = azure.lists.load(Ordering::SeqCst);
    // Admitted long ago, as far as the gate can tell.
    let request = second.shared.service.list_credentials(&second.id);
    let page = async { request.into_future().await.0.transpose() };
    let sent = second
        .shared
        .gate
        .send(&second.target, Operation::List, page);
    let held_back = sent.await.unwrap_err();
    assert_eq!(held_back.retry_after(), Some(Duration::from_secs(17)));
    assert_eq!(azure.lists.load(Ordering::SeqCst), asked);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_an_identity_that_nobody_has_to_do_with_is_forgotten() {
    let azure = Azure::new(9, false);
    let (ledgers, _woken) = ledgers(&azure);
    let other = |name: &str| ManagedIdentityId::parse(&ID.replace("/orders", name)).unwrap();
    let held = ledgers.of(&other("/held"));
    let known = || lock(&ledgers.entries).ledgers.len();
    for name in ["/needed", "/left"] {
        ledgers.of(&other(name));
    }
    let prune = || ledgers.prune(|id| *id == other("/needed"));
    tokio::time::advance(SETTLE_TIME).await;
    prune();
    assert_eq!(known(), 3, "a read may still lag behind a write");
    tokio::time::advance(2 * SETTLE_TIME).await;
    prune();
    assert_eq!(known(), 2, "one was left");
    assert!(Arc::ptr_eq(&held, &ledgers.of(&other("/held"))));
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_identities_in_new_subscriptions_leaves_nothing_behind() {
    let azure = Azure::new(usize::MAX >> 4, false);
    let (ledgers, _woken) = ledgers(&azure);
    for number in 0..3_600 {
        let subscription = format!("00000000-0000-0000-0000-{number:012}");
        let id = ID.replace("00000000-0000-0000-0000-000000000001", &subscription);
        let id = ManagedIdentityId::parse(&id).unwrap();
        let ledger = ledgers.of(&id);
        // Now and then Azure throttles, which is remembered for hours where it concerns who stays.
        azure.throttles.store(number % 60 == 0, Ordering::SeqCst);
        let _ = ledger.identity(&binding("a"), fresh()).await;
        let _ = ledger.listing(&binding("a"), fresh()).await;
        ledgers.gone(&id, &binding("a"));
        tokio::time::advance(Duration::from_secs(1)).await;
        if number % 60 == 0 {
            ledgers.prune(|_| false);
            let known = lock(&ledgers.entries).ledgers.len();
            assert!(known <= 200, "{known} ledgers after {number} s");
        }
    }
    tokio::time::advance(Duration::from_secs(3_600)).await;
    ledgers.prune(|_| false);
    assert_eq!(lock(&ledgers.entries).ledgers.len(), 0);
    assert_eq!(ledgers.shared.gate.remembered(), 0);
}
