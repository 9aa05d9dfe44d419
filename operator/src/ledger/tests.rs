use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use azwib_crds::{ClientId, CredentialName};
use futures::{StreamExt, stream};
use tokio::sync::{Semaphore, mpsc};

use super::*;
use crate::azure::{
    AzureErrorKind, CredentialContent, CredentialPage, CredentialPages, Deleted, Put,
};

mod gone;
mod pages;

const ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders";

const SETTLE_TIME: Duration = Duration::from_secs(60);

/// An Azure that counts requests, lets writes through only when told to, and fails when told to.
struct Azure {
    gets: AtomicUsize,
    lists: AtomicUsize,
    writes_let_through: Semaphore,
    writes_begun: AtomicUsize,
    writes_done: AtomicUsize,
    fails: AtomicBool,
    /// Whether what fails is the answer only.
    lost: AtomicBool,
    throttles: AtomicBool,
    /// How many pages a listing has.
    pages: AtomicUsize,
    /// Whether the identity is gone.
    gone: AtomicBool,
}

impl Azure {
    fn new(writes_let_through: usize, fails: bool) -> Arc<Self> {
        Arc::new(Self {
            gets: AtomicUsize::new(0),
            lists: AtomicUsize::new(0),
            writes_let_through: Semaphore::new(writes_let_through),
            writes_begun: AtomicUsize::new(0),
            writes_done: AtomicUsize::new(0),
            fails: AtomicBool::new(fails),
            lost: AtomicBool::new(false),
            throttles: AtomicBool::new(false),
            pages: AtomicUsize::new(1),
            gone: AtomicBool::new(false),
        })
    }

    async fn write<T>(&self, outcome: T) -> Result<T, AzureError> {
        self.writes_begun.fetch_add(1, Ordering::SeqCst);
        self.writes_let_through.acquire().await.unwrap().forget();
        self.writes_done.fetch_add(1, Ordering::SeqCst);
        self.answer(outcome)
    }

    fn answer<T>(&self, outcome: T) -> Result<T, AzureError> {
        if self.fails.load(Ordering::SeqCst) {
            let down = AzureError::local(AzureErrorKind::Unavailable, "down");
            let lost = self.lost.load(Ordering::SeqCst);
            return Err(if lost { down.of_lost_write() } else { down });
        }
        if self.throttles.load(Ordering::SeqCst) {
            let kind = AzureErrorKind::Throttled { retry_after: None };
            let throttled = AzureError::local(kind, "slow down");
            return Err(throttled.with_retry_after(Duration::from_secs(17)));
        }
        if self.gone.load(Ordering::SeqCst) {
            let kind = AzureErrorKind::ParentNotFound;
            return Err(AzureError::local(kind, "no such identity"));
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

    fn list_credentials<'a>(&'a self, _: &ManagedIdentityId) -> CredentialPages<'a> {
        let pages = self.pages.load(Ordering::SeqCst);
        stream::iter(1..=pages)
            .then(move |page| async move {
                self.lists.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                let foreign = ListedCredential {
                    name: format!("foreign-{page}"),
                    content: None,
                };
                self.answer(CredentialPage {
                    credentials: if pages > 1 { vec![foreign] } else { vec![] },
                    has_next: page < pages,
                })
            })
            .boxed()
    }

    async fn get_credential(
        &self,
        _: &ManagedIdentityId,
        _: &CredentialName,
    ) -> Result<Option<ListedCredential>, AzureError> {
        self.answer(None)
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
    let settings = LedgerSettings {
        write_settle_time: SETTLE_TIME,
        credential_limit: 20,
        requests_in_flight: 2,
    };
    let service = Arc::clone(azure) as Arc<dyn IdentityService>;
    (Ledgers::new(service, wake, settings), woken)
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

fn fresh() -> Freshness {
    Freshness::within(Duration::from_secs(60))
}

fn applicant(name: &str) -> Applicant {
    Applicant {
        urgency: Urgency::Creation,
        rank: plan::Rank {
            created: None,
            binding: binding(name),
        },
    }
}

async fn place(ledger: &Arc<Ledger>, name: &str) -> Result<Place, NotNow> {
    ledger.place(&applicant(name), Operation::Put).await
}

async fn turn(ledger: &Arc<Ledger>, name: &str) -> Turn {
    let turn = place(ledger, name).await.unwrap().turn().await;
    turn.map_err(|error| format!("{error:?}")).unwrap()
}

async fn listed(ledger: &Arc<Ledger>, who: &str, freshness: Freshness) -> Vec<ListedCredential> {
    ledger
        .listing(&binding(who), freshness)
        .await
        .unwrap()
        .credentials
}

#[tokio::test(start_paused = true)]
async fn bindings_of_one_identity_share_its_reads() {
    let azure = Azure::new(0, false);
    let (ledgers, mut woken) = ledgers(&azure);
    let (one, two) = (
        ledgers.of(&id()),
        ledgers.of(&ManagedIdentityId::parse(&ID.to_uppercase()).unwrap()),
    );
    let (a, b) = (binding("a"), binding("b"));
    let (first, second) = tokio::join!(one.identity(&a, fresh()), two.identity(&b, fresh()));
    assert!(first.is_ok());
    assert_eq!(second, Err(ReadError::NotNow(NotNow::UnderWay)));
    assert_eq!(woken.recv().await, Some(binding("b")));
    assert!(two.identity(&b, fresh()).await.is_ok());
    listed(&one, "a", fresh()).await;
    listed(&two, "b", fresh()).await;
    let requests = || {
        (
            azure.gets.load(Ordering::SeqCst),
            azure.lists.load(Ordering::SeqCst),
        )
    };
    assert_eq!(requests(), (1, 1));
    tokio::time::advance(Duration::from_secs(61)).await;
    listed(&one, "a", fresh()).await;
    assert_eq!(requests(), (1, 2), "an answer grows old");
}

#[tokio::test]
async fn the_place_that_is_free_goes_to_who_has_waited_and_one_is_called_at_a_time() {
    let azure = Azure::new(0, false);
    let (ledgers, mut woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    let first = place(&ledger, "a").await.unwrap();
    let second = place(&ledger, "b").await.unwrap();
    for waiting in ["d", "c", "d"] {
        assert_eq!(place(&ledger, waiting).await.err(), Some(NotNow::UnderWay));
    }
    assert!(
        woken.try_recv().is_err(),
        "nobody is woken while the places are held"
    );
    drop(first);
    assert_eq!(woken.recv().await, Some(binding("c")));
    drop(second);
    assert!(woken.try_recv().is_err(), "c has not come yet");
    // It comes, and wants nothing any more.
    ledgers.passed(&binding("c"));
    assert_eq!(woken.recv().await, Some(binding("d")));
    assert!(place(&ledger, "d").await.is_ok());
}

#[tokio::test]
async fn another_identity_has_places_of_its_own() {
    let azure = Azure::new(0, false);
    let (ledgers, _woken) = ledgers(&azure);
    let other = ManagedIdentityId::parse(&ID.replace("/orders", "/payments")).unwrap();
    let ledger = ledgers.of(&id());
    let _held = (turn(&ledger, "a").await, place(&ledger, "b").await);
    turn(&ledgers.of(&other), "c").await;
}

#[tokio::test]
async fn a_write_outlives_a_caller_that_was_cancelled_and_keeps_the_turn_until_it_is_done() {
    let azure = Azure::new(0, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    let held = turn(&ledger, "a").await;
    let caller = tokio::spawn(async move { held.put(&name(), &content()).await.map(drop) });
    tokio::task::yield_now().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    let next = place(&ledger, "b").await.unwrap();
    let next = tokio::spawn(async move { next.turn().await.map(drop) });
    tokio::task::yield_now().await;
    assert!(!next.is_finished(), "azure may still be at work");
    azure.writes_let_through.add_permits(1);
    assert_eq!(next.await.unwrap(), Ok(()));
    assert_eq!(azure.writes_done.load(Ordering::SeqCst), 1);
    ledgers.drain().await;
}

#[tokio::test]
async fn the_way_down_waits_for_writes_that_were_sent() {
    let azure = Azure::new(0, false);
    let (ledgers, _woken) = ledgers(&azure);
    let held = turn(&ledgers.of(&id()), "a").await;
    let write = tokio::spawn(async move { held.delete(&name(), true).await });
    tokio::task::yield_now().await;
    let drained = tokio::spawn(async move { ledgers.drain().await });
    tokio::task::yield_now().await;
    assert!(!drained.is_finished());
    azure.writes_let_through.add_permits(1);
    drained.await.unwrap();
    assert_eq!(write.await.unwrap(), Ok(Deleted::Deleted));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledged_write_shows_in_listings_that_may_lack_it() {
    let azure = Azure::new(2, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    listed(&ledger, "a", fresh()).await;
    let put = turn(&ledger, "a").await.put(&name(), &content()).await;
    assert_eq!(put, Ok(Put::Created));
    let written = [ListedCredential {
        name: name().to_string(),
        content: Some(content()),
    }];
    assert_eq!(listed(&ledger, "a", fresh()).await, written);
    assert_eq!(azure.lists.load(Ordering::SeqCst), 1);
    assert_eq!(
        listed(&ledger, "a", Freshness::now()).await,
        written,
        "azure's own answer lacks it"
    );
    tokio::time::advance(SETTLE_TIME).await;
    assert_eq!(listed(&ledger, "a", Freshness::now()).await, []);
    turn(&ledger, "a")
        .await
        .delete(&name(), true)
        .await
        .unwrap();
    assert_eq!(listed(&ledger, "a", fresh()).await, []);
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_to_an_earlier_process_shows_in_listings_that_may_lack_it() {
    let azure = Azure::new(0, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    let written = [ListedCredential {
        name: name().to_string(),
        content: Some(content()),
    }];
    let ago = Duration::from_secs(10);
    assert_eq!(listed(&ledger, "a", fresh()).await, []);
    ledger.take_note_of_acknowledged(name().as_str(), content(), ago);
    assert_eq!(
        listed(&ledger, "a", fresh()).await,
        written,
        "the listing was there first"
    );
    tokio::time::advance(Duration::from_secs(49)).await;
    assert_eq!(listed(&ledger, "a", Freshness::now()).await, written);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(
        listed(&ledger, "a", Freshness::now()).await,
        [],
        "somebody has deleted it"
    );
}

#[tokio::test(start_paused = true)]
async fn whatever_a_clock_says_an_earlier_process_wrote_before_this_one_started() {
    let azure = Azure::new(0, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    tokio::time::advance(SETTLE_TIME).await;
    // Status says that it was a moment ago, and goes on saying so.
    ledger.take_note_of_acknowledged(name().as_str(), content(), Duration::ZERO);
    assert_eq!(listed(&ledger, "a", Freshness::now()).await, []);
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_answer_nobody_writes_before_the_settle_time() {
    let azure = Azure::new(1, true);
    let (ledgers, mut woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    let held = turn(&ledger, "a").await;
    let prepared = place(&ledger, "b").await.unwrap();
    azure.lost.store(true, Ordering::SeqCst);
    assert!(held.put(&name(), &content()).await.is_err());
    azure.fails.store(false, Ordering::SeqCst);
    let settles_in = SETTLE_TIME;
    let unsettled = Some(NotNow::Unsettled { settles_in });
    assert_eq!(
        prepared.turn().await.err(),
        unsettled,
        "its record was written"
    );
    assert_eq!(place(&ledger, "c").await.err(), unsettled);
    assert_eq!(place(&ledger, "d").await.err(), unsettled);
    assert_eq!(
        azure.lists.load(Ordering::SeqCst),
        1,
        "one listing may show what became of it"
    );
    tokio::time::advance(SETTLE_TIME).await;
    assert!(place(&ledger, "c").await.is_ok());
    assert_eq!(woken.recv().await, Some(binding("d")));
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_shows_a_lost_write_lets_everybody_on() {
    let azure = Azure::new(1, true);
    let (ledgers, mut woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    azure.lost.store(true, Ordering::SeqCst);
    let deletion = turn(&ledger, "a").await.delete(&name(), true).await;
    assert!(deletion.unwrap_err().outcome_unknown());
    assert!(
        place(&ledger, "b").await.is_err(),
        "the listing fails as well"
    );
    azure.fails.store(false, Ordering::SeqCst);
    listed(&ledger, "c", Freshness::now()).await;
    assert_eq!(woken.recv().await, Some(binding("b")));
    assert!(place(&ledger, "b").await.is_ok());
}

#[tokio::test]
async fn who_waits_for_a_slot_is_woken_by_a_deletion_and_by_a_promise_that_is_not_kept() {
    let azure = Azure::new(1, false);
    let (ledgers, mut woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    listed(&ledger, "a", fresh()).await;
    ledger.wait_for_slot(&binding("w"), false);
    let mut promised = place(&ledger, "a").await.unwrap();
    let create = promised.decide(&name(), |promised| {
        assert!(promised.is_empty());
        plan::Decision::Create
    });
    assert_eq!(create, plan::Decision::Create);
    assert_eq!(ledger.promised(), [name().to_string()].into());
    drop(promised);
    assert_eq!(woken.recv().await, Some(binding("w")));
    assert!(ledger.promised().is_empty());
    ledger.wait_for_slot(&binding("w"), false);
    turn(&ledger, "a")
        .await
        .delete(&name(), true)
        .await
        .unwrap();
    assert_eq!(woken.recv().await, Some(binding("w")));
}

#[tokio::test(start_paused = true)]
async fn at_most_the_allowed_number_of_requests_is_under_way_in_a_subscription() {
    let azure = Azure::new(0, false);
    let (ledgers, _woken) = ledgers(&azure);
    let mut writes = vec![];
    for identity in ["one", "two", "three"] {
        let id = ManagedIdentityId::parse(&ID.replace("/orders", &format!("/{identity}")));
        let held = turn(&ledgers.of(&id.unwrap()), identity).await;
        writes.push(tokio::spawn(
            async move { held.delete(&name(), true).await },
        ));
    }
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(azure.writes_begun.load(Ordering::SeqCst), 2);
    azure.writes_let_through.add_permits(3);
    for write in writes {
        assert!(write.await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn azures_pace_holds_for_whoever_prepares_the_next_write() {
    let azure = Azure::new(9, false);
    let (ledgers, mut woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    let held = turn(&ledger, "a").await;
    let prepared = place(&ledger, "b").await.unwrap();
    assert!(prepared.admit().is_ok());
    azure.throttles.store(true, Ordering::SeqCst);
    assert!(held.put(&name(), &content()).await.is_err());
    azure.throttles.store(false, Ordering::SeqCst);
    let until = Instant::now() + Duration::from_secs(17);
    let paced = Some(NotNow::Paced { until });
    assert_eq!(prepared.turn().await.err(), paced);
    assert_eq!(place(&ledger, "c").await.err(), Some(NotNow::UnderWay));
    assert!(woken.try_recv().is_err(), "nobody can write before");
    tokio::time::advance(Duration::from_secs(17)).await;
    assert!(place(&ledger, "c").await.is_err(), "b stands before");
    let back = place(&ledger, "b").await.unwrap();
    assert!(back.admit().is_ok());
    assert_eq!(azure.writes_begun.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_process_recorded_counts_as_sent_and_what_this_one_recorded_does_not() {
    let azure = Azure::new(9, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    ledger.recorded(&name());
    // The watch shows the record of our own write before it shows what came of it.
    ledger.take_note_of_pending(name().as_str(), content());
    assert!(place(&ledger, "a").await.is_ok());
    ledger.take_note_of_pending("azwib-earlier", content());
    let settles_in = SETTLE_TIME;
    let unsettled = Some(NotNow::Unsettled { settles_in });
    assert_eq!(place(&ledger, "a").await.err(), unsettled);
    tokio::time::advance(SETTLE_TIME).await;
    assert!(place(&ledger, "a").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_a_throttled_read_has_put_in_doubt_stays_so_until_it_has_answered() {
    let azure = Azure::new(1, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    let who = binding("a");
    assert!(!ledger.is_in_doubt());
    azure.throttles.store(true, Ordering::SeqCst);
    assert!(ledger.credential(&name()).await.is_err());
    azure.throttles.store(false, Ordering::SeqCst);
    let until = Instant::now() + Duration::from_secs(17);
    assert_eq!(ledger.is_gone(&who).await, Err(NotNow::Paced { until }));
    assert!(ledger.is_in_doubt(), "it comes before its credentials");
    tokio::time::advance(Duration::from_secs(17)).await;
    assert_eq!(ledger.is_gone(&who).await, Ok(false));
    assert!(!ledger.is_in_doubt());
    tokio::time::advance(Duration::from_secs(17)).await;
    azure.gone.store(true, Ordering::SeqCst);
    assert_eq!(ledger.is_gone(&who).await, Ok(true));
}

#[tokio::test]
async fn who_claims_what_is_about_to_be_deleted_comes_after_the_deletion() {
    let azure = Azure::new(1, false);
    let (ledgers, mut woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    let deletion = place(&ledger, "old").await.unwrap();
    let twin = applicant("new");
    assert!(!ledger.awaits_deletion(&twin, &name()));
    deletion.announce_deletion(&name());
    assert!(ledger.awaits_deletion(&twin, &name()));
    assert!(ledger.promised().is_empty(), "it takes no slot");
    let turn = deletion.turn().await.map_err(|_| "no turn").unwrap();
    turn.delete(&name(), true).await.unwrap();
    assert_eq!(woken.recv().await, Some(binding("new")));
    assert!(!ledger.awaits_deletion(&twin, &name()));
}
