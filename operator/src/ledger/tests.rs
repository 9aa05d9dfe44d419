use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use azwib_crds::{ClientId, CredentialName};
use tokio::sync::{Semaphore, mpsc};

use super::*;
use crate::azure::{AzureErrorKind, CredentialContent, Deleted, Put};

const ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders";

const SETTLE_TIME: Duration = Duration::from_secs(60);

/// An Azure that counts requests, lets writes through only when told to, and fails when told to.
struct Azure {
    gets: AtomicUsize,
    lists: AtomicUsize,
    writes_let_through: Semaphore,
    writes_done: AtomicUsize,
    fails: AtomicBool,
}

impl Azure {
    fn new(writes_let_through: usize, fails: bool) -> Arc<Self> {
        Arc::new(Self {
            gets: AtomicUsize::new(0),
            lists: AtomicUsize::new(0),
            writes_let_through: Semaphore::new(writes_let_through),
            writes_done: AtomicUsize::new(0),
            fails: AtomicBool::new(fails),
        })
    }

    async fn write<T>(&self, outcome: T) -> Result<T, AzureError> {
        self.writes_let_through.acquire().await.unwrap().forget();
        self.writes_done.fetch_add(1, Ordering::SeqCst);
        self.answer(outcome)
    }

    fn answer<T>(&self, outcome: T) -> Result<T, AzureError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(AzureError::local(AzureErrorKind::Unavailable, "down"));
        }
        Ok(outcome)
    }
}

#[async_trait]
impl IdentityService for Azure {
    async fn get_identity(&self, id: &ManagedIdentityId) -> Result<Identity, AzureError> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.answer(Identity {
            id: id.clone(),
            client_id: ClientId::parse("00000000-0000-0000-0000-000000000002").unwrap(),
            principal_id: "principal".to_owned(),
            tenant_id: "tenant".to_owned(),
            location: "westeurope".to_owned(),
        })
    }

    async fn list_credentials(
        &self,
        _: &ManagedIdentityId,
    ) -> Result<Vec<ListedCredential>, AzureError> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.answer(vec![])
    }

    async fn put_credential(
        &self,
        _: &ManagedIdentityId,
        _: &CredentialName,
        _: &CredentialContent,
    ) -> Result<Put, AzureError> {
        self.write(Put::Created).await
    }

    async fn delete_credential(
        &self,
        _: &ManagedIdentityId,
        _: &CredentialName,
    ) -> Result<Deleted, AzureError> {
        self.write(Deleted::Deleted).await
    }
}

fn ledgers(azure: &Arc<Azure>) -> (Ledgers, mpsc::UnboundedReceiver<BindingRef>) {
    let (wake, woken) = mpsc::unbounded_channel();
    (
        Ledgers::new(
            Arc::clone(azure) as Arc<dyn IdentityService>,
            wake,
            SETTLE_TIME,
        ),
        woken,
    )
}

fn id() -> ManagedIdentityId {
    ManagedIdentityId::parse(ID).unwrap()
}

fn binding(name: &str) -> BindingRef {
    BindingRef {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    }
}

fn name() -> CredentialName {
    CredentialName::parse("azwib-shop-orders").unwrap()
}

fn content() -> CredentialContent {
    CredentialContent {
        issuer: "i".to_owned(),
        subject: "s".to_owned(),
        audiences: vec!["a".to_owned()],
    }
}

const FRESH: Freshness = Freshness::Within(Duration::from_secs(60));

#[tokio::test(start_paused = true)]
async fn bindings_of_one_identity_share_its_reads() {
    let azure = Azure::new(0, false);
    let (ledgers, _woken) = ledgers(&azure);
    let (one, two) = (
        ledgers.of(&id()),
        ledgers.of(&ManagedIdentityId::parse(&ID.to_uppercase()).unwrap()),
    );
    let (first, second) = tokio::join!(one.identity(FRESH), two.identity(FRESH));
    assert_eq!(first.unwrap().client_id, second.unwrap().client_id);
    let (first, second) = tokio::join!(one.listing(FRESH), two.listing(FRESH));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(
        (
            azure.gets.load(Ordering::SeqCst),
            azure.lists.load(Ordering::SeqCst)
        ),
        (1, 1)
    );
    tokio::time::advance(Duration::from_secs(61)).await;
    one.listing(FRESH).await.unwrap();
    assert_eq!(azure.lists.load(Ordering::SeqCst), 2, "an answer grows old");
    one.listing(Freshness::Since(Instant::now())).await.unwrap();
    one.listing(Freshness::Since(Instant::now() + Duration::from_nanos(1)))
        .await
        .unwrap();
    assert_eq!(
        azure.lists.load(Ordering::SeqCst),
        3,
        "a listing that was asked for now is as of now, not later"
    );
}

#[tokio::test]
async fn what_failed_is_asked_again() {
    let azure = Azure::new(0, true);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    for tries in 1..=2 {
        assert!(ledger.identity(FRESH).await.is_err());
        assert!(ledger.listing(FRESH).await.is_err());
        assert_eq!(
            (
                azure.gets.load(Ordering::SeqCst),
                azure.lists.load(Ordering::SeqCst)
            ),
            (tries, tries)
        );
    }
}

#[tokio::test]
async fn only_one_has_the_turn_and_who_found_it_taken_is_woken_once() {
    let azure = Azure::new(0, false);
    let (ledgers, mut woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    let turn = ledger.turn(binding("a")).await.unwrap();
    for waiting in ["b", "c", "b"] {
        assert!(ledger.turn(binding(waiting)).await.is_err());
    }
    assert!(
        woken.try_recv().is_err(),
        "nobody is woken while the turn is held"
    );
    drop(turn);
    assert_eq!(woken.recv().await, Some(binding("b")));
    assert_eq!(woken.recv().await, Some(binding("c")));
    assert!(woken.try_recv().is_err());
    assert!(ledger.turn(binding("b")).await.is_ok());
}

#[tokio::test]
async fn another_identity_has_a_turn_of_its_own() {
    let azure = Azure::new(0, false);
    let (ledgers, _woken) = ledgers(&azure);
    let other = ManagedIdentityId::parse(&ID.replace("/orders", "/payments")).unwrap();
    let _turn = ledgers.of(&id()).turn(binding("a")).await.unwrap();
    assert!(ledgers.of(&other).turn(binding("b")).await.is_ok());
}

#[tokio::test]
async fn a_write_outlives_a_caller_that_was_cancelled_and_keeps_the_turn_until_it_is_done() {
    let azure = Azure::new(0, false);
    let (ledgers, mut woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    let turn = ledger.turn(binding("a")).await.unwrap();
    let caller = tokio::spawn(async move { turn.put(&name(), &content()).await.map(drop) });
    tokio::task::yield_now().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    assert!(
        ledger.turn(binding("b")).await.is_err(),
        "azure may still be at work"
    );
    azure.writes_let_through.add_permits(1);
    assert_eq!(woken.recv().await, Some(binding("b")));
    assert_eq!(azure.writes_done.load(Ordering::SeqCst), 1);
    ledgers.drain().await;
}

#[tokio::test]
async fn the_way_down_waits_for_writes_that_were_sent() {
    let azure = Azure::new(0, false);
    let (ledgers, _woken) = ledgers(&azure);
    let turn = ledgers.of(&id()).turn(binding("a")).await.unwrap();
    let write = tokio::spawn(async move { turn.delete(&name()).await });
    tokio::task::yield_now().await;
    let drained = tokio::spawn(async move { ledgers.drain().await });
    tokio::task::yield_now().await;
    assert!(!drained.is_finished());
    azure.writes_let_through.add_permits(1);
    drained.await.unwrap();
    assert_eq!(write.await.unwrap(), Ok(Deleted::Deleted));
}

#[tokio::test]
async fn an_acknowledged_write_shows_in_the_listing_without_another_request() {
    let azure = Azure::new(2, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    ledger.listing(FRESH).await.unwrap();
    ledger
        .turn(binding("a"))
        .await
        .unwrap()
        .put(&name(), &content())
        .await
        .unwrap();
    let listed = ledger.listing(FRESH).await.unwrap();
    assert_eq!(
        listed,
        [ListedCredential {
            name: name().to_string(),
            content: Some(content())
        }]
    );
    ledger
        .turn(binding("a"))
        .await
        .unwrap()
        .delete(&name())
        .await
        .unwrap();
    assert_eq!(ledger.listing(FRESH).await.unwrap(), []);
    assert_eq!(azure.lists.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_failed_write_makes_the_listing_be_asked_for_again() {
    let azure = Azure::new(1, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    ledger.listing(FRESH).await.unwrap();
    azure.fails.store(true, Ordering::SeqCst);
    let turn = ledger.turn(binding("a")).await.unwrap();
    assert!(turn.put(&name(), &content()).await.is_err());
    azure.fails.store(false, Ordering::SeqCst);
    ledger.listing(FRESH).await.unwrap();
    assert_eq!(azure.lists.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn who_waited_for_a_read_that_failed_shares_the_failure() {
    let azure = Azure::new(0, true);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    let (one, two) = tokio::join!(ledger.listing(FRESH), ledger.listing(FRESH));
    assert_eq!(one, two);
    assert!(one.is_err());
    assert_eq!(azure.lists.load(Ordering::SeqCst), 1);
}
