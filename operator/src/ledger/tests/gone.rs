//! Bindings that go while others wait.

use futures::StreamExt;

use super::*;

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
    ledger.wait_for_slot(&binding("w"), true);
    assert!(woken.try_recv().is_err(), "all are in use");
    let foreign: CredentialName = CredentialName::parse("foreign-7").unwrap();
    let turn = turn(&ledger, "d").await;
    turn.delete(&foreign, true).await.unwrap();
    assert_eq!(woken.try_recv().ok(), Some(binding("w")));
    // Its decision was made before that.
    ledger.wait_for_slot(&binding("w"), true);
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
    let sent = second.shared.gate.send(&second.id, Operation::List, page);
    let held_back = sent.await.unwrap_err();
    assert_eq!(held_back.retry_after(), Some(Duration::from_secs(17)));
    assert_eq!(azure.lists.load(Ordering::SeqCst), asked);
}

#[tokio::test(start_paused = true)]
async fn the_ledger_of_an_identity_that_nobody_has_to_do_with_is_forgotten() {
    let azure = Azure::new(9, false);
    let (ledgers, _woken) = ledgers(&azure);
    let other = |name: &str| ManagedIdentityId::parse(&ID.replace("/orders", name)).unwrap();
    let held = ledgers.of(&other("/held"));
    let known = || lock(&ledgers.entries).ledgers.len();
    for name in ["/kept", "/left"] {
        ledgers.of(&other(name));
    }
    tokio::time::advance(UNUSED / 2).await;
    assert!(ledgers.last_listing(&other("/kept")).is_none());
    tokio::time::advance(UNUSED / 2).await;
    ledgers.of(&other("/new"));
    assert_eq!(known(), 3, "one was left");
    assert!(Arc::ptr_eq(&held, &ledgers.of(&other("/held"))));
}
