//! What was written, by this process or an earlier one, and what a read says of it.

use super::*;
use crate::azure::ListedCredential;
use std::time::Duration;

fn earlier(ago: Duration) -> AcknowledgedEarlier {
    AcknowledgedEarlier {
        name: name().to_string(),
        content: content(),
        ago,
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_go_at_the_last_moment_is_not_sent_and_leaves_nothing_behind() {
    let azure = Azure::new(2, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    let put = turn(&ledger, "a").await;
    let put = put.put(&name(), &content(), || false).await;
    assert_eq!(put, Ok(None));
    assert_eq!(azure.writes_begun.load(Ordering::SeqCst), 0);
    assert_eq!(listed(&ledger, "a", fresh()).await, []);
    let put = turn(&ledger, "b").await;
    let put = put.put(&name(), &content(), || true).await;
    assert_eq!(put, Ok(Some(Put::Created)), "the turn is free");
}

#[tokio::test(start_paused = true)]
async fn an_acknowledged_write_shows_in_listings_that_may_lack_it() {
    let azure = Azure::new(2, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    listed(&ledger, "a", fresh()).await;
    let put = turn(&ledger, "a")
        .await
        .put(&name(), &content(), || true)
        .await;
    assert_eq!(put, Ok(Some(Put::Created)));
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
    ledger.take_note_of_acknowledged(earlier(ago));
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
    ledger.take_note_of_acknowledged(earlier(Duration::ZERO));
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
    assert!(held.put(&name(), &content(), || true).await.is_err());
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
    // What was listed before may lack what Azure has carried out since: it is asked for again.
    let lists = azure.lists.load(Ordering::SeqCst);
    let recent = || Freshness::within(SETTLE_TIME);
    listed(&ledger, "c", recent()).await;
    listed(&ledger, "c", recent()).await;
    assert_eq!(azure.lists.load(Ordering::SeqCst), lists + 1);
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
async fn what_an_earlier_process_may_be_deleting_counts_as_sent_and_what_this_one_recorded_does_not()
 {
    let azure = Azure::new(9, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    ledger.recorded(&name());
    ledger.take_note_of_deletion(name().as_str());
    assert!(place(&ledger, "a").await.is_ok());
    ledger.take_note_of_deletion("azwib-earlier");
    let settles_in = SETTLE_TIME;
    let unsettled = Some(NotNow::Unsettled { settles_in });
    assert_eq!(place(&ledger, "a").await.err(), unsettled);
    tokio::time::advance(SETTLE_TIME).await;
    assert!(place(&ledger, "a").await.is_ok());
    // Whatever it has sent has had its effect by now.
    ledger.take_note_of_deletion("azwib-later");
    assert!(place(&ledger, "a").await.is_ok());
}

/// The watch of a replica that takes over may be behind: it shows the record of the PUT first, and later that the binding goes.
#[tokio::test(start_paused = true)]
async fn a_deletion_that_shows_after_the_put_keeps_others_off_although_a_listing_shows_the_put() {
    let azure = Azure::new(9, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    ledger.take_note_of_pending("azwib-earlier", content());
    ledger.take_note_of_deletion("azwib-earlier");
    let shown = ListedCredential {
        name: "azwib-earlier".to_owned(),
        content: Some(content()),
    };
    let asked = Instant::now() + Duration::from_secs(1);
    ledger.books().lost.settle(&[shown], asked);
    let settles_in = SETTLE_TIME;
    let unsettled = Some(NotNow::Unsettled { settles_in });
    assert_eq!(place(&ledger, "a").await.err(), unsettled);
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_the_watch_is_behind_on_keeps_others_off_until_time_has_settled_it() {
    let azure = Azure::new(9, false);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    ledger.take_note_of_unseen(&binding("b"));
    let settles_in = SETTLE_TIME;
    let unsettled = Some(NotNow::Unsettled { settles_in });
    assert_eq!(place(&ledger, "a").await.err(), unsettled);
    tokio::time::advance(SETTLE_TIME).await;
    assert!(place(&ledger, "a").await.is_ok());
}
