use std::collections::BTreeMap;

use azwib_crds::ServiceAccountOrigin;
use tokio::time::advance;

use super::*;
use crate::binding::account::{CLIENT_ID, Field};

const ORDERS: (&str, &str) = ("shop", "orders");

fn configuration(client_id: &str) -> AccountConfiguration {
    AccountConfiguration {
        annotations: BTreeMap::from([(CLIENT_ID, client_id.to_owned())]),
        labels: BTreeMap::new(),
        owner_references: vec![],
        origin: ServiceAccountOrigin::Created,
        note: None,
        uid: None,
        new_owners: vec![],
    }
}

fn by(manager: &str) -> Drift {
    Drift {
        field: Field::Annotation(CLIENT_ID),
        by: Some(manager.to_owned()),
        annotations: vec![],
    }
}

/// A world in which one account is written again and again.
#[derive(Default)]
struct World {
    contests: Contests,
    version: u32,
}

impl World {
    fn admit(&self, client_id: &str) -> Admission {
        let drift = || by("kubectl-edit");
        self.contests
            .admit(ORDERS, &configuration(client_id), drift)
    }

    fn write(&mut self, client_id: &str) {
        self.version += 1;
        let version = self.version.to_string();
        let configuration = configuration(client_id);
        self.contests
            .written(ORDERS, &configuration, Some(&version));
    }

    /// Repairs as often as that goes at once.
    fn contested() -> Self {
        let mut world = Self::default();
        world.write("a");
        for _ in 0..FREE_REPAIRS {
            assert_eq!(world.admit("a"), Admission::Free);
            world.write("a");
        }
        world
    }
}

#[tokio::test(start_paused = true)]
async fn a_few_repairs_in_a_minute_go_at_once_and_then_one_every_now_and_then() {
    let mut world = World::contested();
    let Admission::Refused(contested) = world.admit("a") else {
        panic!("one too many");
    };
    assert_eq!(contested.drift, by("kubectl-edit"));
    advance(PAUSE).await;
    assert!(matches!(world.admit("a"), Admission::InContest(_)));
    world.write("a");
    assert!(matches!(world.admit("a"), Admission::Refused(_)));
    // Who began it is told for as long as it lasts.
    let another = world
        .contests
        .admit(ORDERS, &configuration("a"), || by("somebody-else"));
    let Admission::Refused(contested) = another else {
        panic!("it goes on");
    };
    assert_eq!(contested.drift, by("kubectl-edit"));
}

#[tokio::test(start_paused = true)]
async fn a_contest_is_over_once_the_account_has_stood_for_a_while() {
    let mut world = World::contested();
    assert!(matches!(world.admit("a"), Admission::Refused(_)));
    assert!(world.contests.stands(ORDERS).is_some());
    advance(PAUSE).await;
    assert_eq!(world.contests.stands(ORDERS), None);
    advance(WINDOW).await;
    assert_eq!(world.admit("a"), Admission::Free);
    world.write("a");
    assert_eq!(world.contests.stands(ORDERS), None);
}

#[tokio::test(start_paused = true)]
async fn edits_that_come_in_bursts_get_no_more_repairs_in_a_minute() {
    let mut world = World::contested();
    let mut repairs = FREE_REPAIRS;
    // Three pauses, each long enough for the contest to be over, and a burst after each.
    for _ in 0..3 {
        advance(PAUSE).await;
        assert_eq!(world.contests.stands(ORDERS), None);
        for _ in 0..FREE_REPAIRS {
            if let Admission::Free | Admission::InContest(_) = world.admit("a") {
                world.write("a");
                repairs += 1;
            }
        }
    }
    assert_eq!(repairs, FREE_REPAIRS + 3);
}

#[tokio::test(start_paused = true)]
async fn repairs_that_are_far_apart_are_no_contest() {
    let mut world = World::default();
    for _ in 0..50 {
        assert_eq!(world.admit("a"), Admission::Free);
        world.write("a");
        advance(Duration::from_secs(14)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_bindings_that_join_an_account_are_no_contest() {
    let mut world = World::default();
    for number in 0..50 {
        let asked = number.to_string();
        assert_eq!(world.admit(&asked), Admission::Free);
        world.write(&asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_changes_nothing_is_no_repair() {
    let world = World::default();
    for _ in 0..50 {
        assert_eq!(world.admit("a"), Admission::Free);
        world
            .contests
            .written(ORDERS, &configuration("a"), Some("7"));
    }
}

#[tokio::test(start_paused = true)]
async fn accounts_do_not_share_their_contests_and_are_forgotten() {
    let world = World::contested();
    let other = ("shop", "other");
    let drift = || by("x");
    let admitted = world.contests.admit(other, &configuration("a"), drift);
    assert_eq!(admitted, Admission::Free);
    for number in 0..200 {
        let name = number.to_string();
        advance(Duration::from_secs(60)).await;
        world
            .contests
            .written(("shop", &name), &configuration("a"), Some("1"));
    }
    assert!(world.contests.accounts().by_name.len() < 128);
}

#[tokio::test(start_paused = true)]
async fn two_of_ours_that_write_at_once_are_no_contest_whichever_is_heard_of_first() {
    let contests = Contests::default();
    let note = |client_id, version: u32| {
        let configuration = configuration(client_id);
        contests.written(ORDERS, &configuration, Some(&version.to_string()));
    };
    note("a", 1);
    for round in 0..20 {
        // `a` was written before `b`, and is told after it.
        note("b", 2 * round + 3);
        note("a", 2 * round + 2);
    }
    let admission = contests.admit(ORDERS, &configuration("b"), || by("nobody"));
    assert_eq!(admission, Admission::Free);
    let admission = contests.admit(ORDERS, &configuration("a"), || by("nobody"));
    assert_eq!(admission, Admission::Free);
}
