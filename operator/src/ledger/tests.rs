use std::sync::atomic::Ordering;

use azwib_crds::{Audience, CredentialAdoption, CredentialName, Issuer, Subject};
use k8s_openapi::jiff::Timestamp;
use tokio::sync::mpsc;

use super::*;
use crate::azure::IdentityService;
use crate::azure::ListedCredential;
use crate::azure::{CredentialContent, Deleted, Put};
use azwib_crds::ManagedIdentityId;
use fake_azure::Azure;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

mod contended;
mod fake_azure;
mod gone;
mod pages;
mod waiting;
mod written;

const ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders";

const SETTLE_TIME: Duration = Duration::from_secs(60);

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

fn writer(name: &str) -> Writer {
    Writer {
        urgency: Urgency::Creation,
        rank: Rank {
            created: None,
            binding: binding(name),
        },
    }
}

/// The applicant of a binding that was created at that second and waits for a slot.
fn waiter(name: &str, second: i64) -> decide::Applicant {
    let issuer = Issuer::parse("https://oidc.example/").unwrap();
    decide::Applicant {
        credential: decide::DesiredCredential {
            name: CredentialName::derive(&issuer, "shop", name),
            issuer,
            subject: Subject::of_service_account("shop", name),
            audience: Audience::parse("a").unwrap(),
            adoption: CredentialAdoption::IfIdentical,
        },
        standing: decide::Precedence::Waiting,
        rank: Arc::new(Rank {
            created: Some(Timestamp::from_second(second).unwrap()),
            binding: binding(name),
        }),
    }
}

async fn place(ledger: &Arc<Ledger>, name: &str) -> Result<Place, NotNow> {
    ledger.place(&writer(name), Operation::Put).await
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
    ledgers.passed(&binding("c"), || true);
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
    let caller =
        tokio::spawn(async move { held.put(&name(), &content(), || true).await.map(drop) });
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

#[tokio::test]
async fn who_waits_for_a_slot_is_woken_by_a_deletion_and_by_a_promise_that_is_not_kept() {
    let azure = Azure::new(1, false);
    let (ledgers, mut woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    listed(&ledger, "a", fresh()).await;
    ledger.wait_for_slot(&waiter("w", 1), false);
    let mut promised = place(&ledger, "a").await.unwrap();
    let wanted = waiter("w", 1).credential;
    let create = promised.decide(&wanted, |promised| {
        assert!(promised.names.is_empty() && promised.subjects.is_empty());
        Ok::<_, ()>(decide::Decision::Create)
    });
    assert_eq!(create, Ok(decide::Decision::Create));
    assert_eq!(ledger.promised(), [wanted.name.to_string()].into());
    assert_eq!(
        ledger.promised_subjects(),
        [wanted.subject.to_string()].into()
    );
    drop(promised);
    assert_eq!(woken.recv().await, Some(binding("w")));
    assert!(ledger.promised().is_empty());
    ledger.wait_for_slot(&waiter("w", 1), false);
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
    assert!(prepared.admit(Look::First).is_ok());
    azure.throttles.store(true, Ordering::SeqCst);
    assert!(held.put(&name(), &content(), || true).await.is_err());
    azure.throttles.store(false, Ordering::SeqCst);
    let until = Instant::now() + Duration::from_secs(17);
    let paced = Some(NotNow::Paced { until });
    assert_eq!(prepared.turn().await.err(), paced);
    assert_eq!(place(&ledger, "c").await.err(), Some(NotNow::UnderWay));
    assert!(woken.try_recv().is_err(), "nobody can write before");
    tokio::time::advance(Duration::from_secs(17)).await;
    assert!(place(&ledger, "c").await.is_err(), "b stands before");
    let back = place(&ledger, "b").await.unwrap();
    assert!(back.admit(Look::First).is_ok());
    assert_eq!(azure.writes_begun.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_a_throttled_read_has_put_in_doubt_stays_so_until_it_has_answered() {
    let azure = Azure::new(1, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    let who = binding("a");
    assert!(!ledger.is_in_doubt());
    azure.throttles.store(true, Ordering::SeqCst);
    let asker = fair_queue::Asker {
        namespace: "shop",
        look: Look::First,
    };
    let alone = [(Operation::Get, asker)];
    assert!(ledger.credential(&name(), asker, &alone).await.is_err());
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

#[tokio::test(start_paused = true)]
async fn a_credential_is_read_only_when_its_deletion_may_go_as_well() {
    let azure = Azure::new(1, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    let deletion = Writer {
        urgency: Urgency::Deletion,
        ..writer("a")
    };
    let place = ledger.place(&deletion, Operation::Delete).await.unwrap();
    azure.throttles.store(true, Ordering::SeqCst);
    let turn = place.turn().await.map_err(|_| "no turn").unwrap();
    assert!(turn.delete(&name(), true).await.is_err());
    azure.throttles.store(false, Ordering::SeqCst);
    let reads = azure.credential_reads.load(Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(17)).await;
    // The first after the pause may go, and the next not before an interval has passed.
    for (after, expected) in [(0, 1), (1, 1), (3, 2)] {
        tokio::time::advance(Duration::from_secs(after)).await;
        let place = ledger.place(&deletion, Operation::Delete).await;
        if let Ok(place) = place {
            let _ = place.credential_to_delete(&name(), Look::First).await;
        }
        let read = azure.credential_reads.load(Ordering::SeqCst) - reads;
        assert_eq!(read, expected, "after {after} s more");
    }
}

#[tokio::test]
async fn who_applies_for_what_is_about_to_be_deleted_comes_after_the_deletion() {
    let azure = Azure::new(1, false);
    let (ledgers, mut woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    let deletion = place(&ledger, "old").await.unwrap();
    let other = writer("new");
    assert!(!ledger.awaits_deletion(&other, &name()));
    deletion.announce_deletion(&name());
    assert!(ledger.awaits_deletion(&other, &name()));
    assert!(ledger.promised().is_empty(), "it takes no slot");
    let turn = deletion.turn().await.map_err(|_| "no turn").unwrap();
    turn.delete(&name(), true).await.unwrap();
    assert_eq!(woken.recv().await, Some(binding("new")));
    assert!(!ledger.awaits_deletion(&other, &name()));
}

#[tokio::test]
async fn groups_that_look_alike_have_a_ledger_each_and_two_spellings_of_one_share_theirs() {
    let azure = Azure::new(0, false);
    let (ledgers, _woken) = ledgers(&azure);
    let group_asked_for = |group: &str| {
        let id = ManagedIdentityId::new("00000000-0000-0000-0000-000000000001", group, "orders");
        ledgers.of(&id.unwrap()).id().resource_group().to_owned()
    };
    for (group, expected) in [
        ("rg-kiosk", "rg-kiosk"),
        // The sign of the unit Kelvin.
        ("rg-\u{212a}iosk", "rg-\u{212a}iosk"),
        ("RG-Kiosk", "rg-kiosk"),
    ] {
        assert_eq!(group_asked_for(group), expected);
    }
}
