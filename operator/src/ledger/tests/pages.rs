//! Listings of more than one page.

use super::*;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_listing_is_all_its_pages() {
    let azure = Azure::new(0, false);
    azure.pages.store(3, Ordering::SeqCst);
    let (ledgers, _woken) = ledgers(&azure);
    let began = Instant::now();
    let ledger = ledgers.of(&id());
    let listed = ledger.listing(&binding("a"), Freshness::now()).await;
    let credentials = listed.unwrap().credentials;
    let names: Vec<_> = credentials.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["foreign-1", "foreign-2", "foreign-3"]);
    assert_eq!(began.elapsed(), Duration::ZERO, "as fast as Azure lets it");
}

#[tokio::test(start_paused = true)]
async fn every_page_of_a_throttled_listing_goes_at_the_published_pace() {
    let azure = Azure::new(0, false);
    azure.pages.store(3, Ordering::SeqCst);
    let (ledgers, _woken) = ledgers(&azure);
    let ledger = ledgers.of(&id());
    azure.throttles.store(true, Ordering::SeqCst);
    let refused = ledger.listing(&binding("a"), Freshness::now()).await;
    assert!(refused.is_err());
    azure.throttles.store(false, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(17)).await;
    let began = Instant::now();
    let listed = ledger.listing(&binding("a"), Freshness::now()).await;
    assert_eq!(listed.unwrap().credentials.len(), 3);
    // One in four seconds.
    assert_eq!(began.elapsed().as_secs(), 8);
}
