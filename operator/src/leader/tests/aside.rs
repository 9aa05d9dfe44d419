//! A process that takes no part in the election.

use super::*;

/// Such a process, until nobody leads.
fn aside(server: &ApiServer) -> JoinHandle<()> {
    let (clocks, _) = Clocks::moved(Timestamp::from_second(NOON).unwrap());
    let client = server.client("aside");
    tokio::spawn(async move {
        until_nobody_leads(&client, &place(), TIMINGS, &clocks).await;
    })
}

#[tokio::test(start_paused = true)]
async fn who_takes_no_part_waits_as_long_as_somebody_leads_also_where_the_lease_is_deleted() {
    let server = ApiServer::new();
    let (_elector, term, _) = leading(&server, "a").await;
    let aside = aside(&server);
    for _ in 0..3 {
        sleep(seconds(20)).await;
        assert!(!aside.is_finished());
        server.delete_by_hand();
    }
    sleep(seconds(20)).await;
    assert_eq!(server.holder(), "a", "who leads makes it anew");
    assert!(!aside.is_finished());
    let began = Instant::now();
    term.release().await;
    aside.await.unwrap();
    assert!(began.elapsed() <= seconds(3), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_lease_it_waits_for_as_long_as_a_leader_may_take_to_make_it_anew() {
    let server = ApiServer::new();
    let began = Instant::now();
    aside(&server).await.unwrap();
    let took = began.elapsed().as_secs();
    assert!((15..=17).contains(&took), "{took}");
    assert!(server.written().is_empty(), "it takes no Lease");
}

#[tokio::test(start_paused = true)]
async fn it_does_not_take_it_for_an_answer_that_the_lease_cannot_be_read() {
    let server = ApiServer::new();
    server.cut_off("aside");
    let aside = aside(&server);
    sleep(seconds(600)).await;
    assert!(!aside.is_finished());
}
