use k8s_openapi::jiff::Timestamp;

use super::*;
use crate::ledger::Rank;

fn writer(name: &str, urgency: Urgency, second: i64) -> Writer {
    let created = Some(Timestamp::from_second(second).unwrap());
    let binding = binding(name);
    Writer {
        urgency,
        rank: Rank { created, binding },
    }
}

fn binding(name: &str) -> BindingRef {
    BindingRef {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    }
}

fn creation(name: &str, second: i64) -> Writer {
    writer(name, Urgency::Creation, second)
}

/// A line whose places are taken, in which these wait.
fn busy(waiting: &[Writer]) -> WriteQueue {
    let mut line = WriteQueue::default();
    let now = Instant::now();
    for first in ["x", "y"] {
        assert!(line.take(&creation(first, 0), now));
    }
    for who in waiting {
        assert!(!line.take(who, now));
    }
    line
}

#[tokio::test]
async fn deletions_come_first_then_repairs_then_the_oldest() {
    let mut line = busy(&[
        creation("young", 9),
        creation("old", 1),
        writer("repair", Urgency::Repair, 5),
        writer("deletion", Urgency::Deletion, 7),
    ]);
    let mut order = vec![];
    for _ in 0..4 {
        line.give_back(&binding("x"));
        let called = line.call(Instant::now()).unwrap();
        assert!(line.passed(&called));
        order.push(called.name);
    }
    assert_eq!(order, ["deletion", "repair", "old", "young"]);
    assert_eq!(line.call(Instant::now()), None);
}

#[tokio::test]
async fn nobody_overtakes_who_stands_before() {
    let mut line = busy(&[creation("old", 1)]);
    line.give_back(&binding("x"));
    let now = Instant::now();
    assert!(!line.take(&creation("young", 2), now));
    assert!(line.take(&creation("old", 1), now));
    line.give_back(&binding("y"));
    assert!(line.take(&creation("young", 2), now));
}

#[tokio::test]
async fn one_is_called_at_a_time_and_the_next_when_it_does_not_take_the_place() {
    let mut line = busy(&[creation("a", 1), creation("b", 2)]);
    let now = Instant::now();
    assert_eq!(line.call(now), None, "no place is free");
    line.give_back(&binding("x"));
    assert_eq!(line.call(now), Some(binding("a")));
    assert_eq!(line.call(now), None, "somebody is called already");
    assert!(!line.passed(&binding("b")));
    assert!(line.passed(&binding("a")), "it came and took nothing");
    assert_eq!(line.call(now), Some(binding("b")));
    assert!(line.take(&creation("b", 2), now));
    assert!(!line.passed(&binding("b")), "it took the place");
}

#[tokio::test]
async fn while_azure_sets_the_pace_the_first_comes_back_by_itself() {
    let mut line = WriteQueue::default();
    let now = Instant::now();
    let (a, b) = (creation("a", 1), creation("b", 2));
    assert!(line.take(&a, now));
    let until = now + Duration::from_secs(4);
    line.give_back(a.binding());
    line.pace(&a, until);
    assert!(!line.take(&b, now));
    assert_eq!(line.call(now), None);
    assert!(!line.take(&b, until), "it stands behind");
    assert!(line.take(&a, until));
}

#[tokio::test]
async fn what_is_about_to_be_created_is_promised_until_the_place_is_given_back() {
    let mut line = WriteQueue::default();
    assert!(line.take(&creation("a", 1), Instant::now()));
    assert!(line.promised().is_empty());
    line.intend(
        &binding("a"),
        Intent::Creation {
            name: "azwib-a".to_owned(),
            subject: "a".to_owned(),
        },
    );
    assert_eq!(line.promised(), BTreeSet::from(["azwib-a".to_owned()]));
    line.give_back(&binding("a"));
    assert!(line.promised().is_empty());
}

#[tokio::test]
async fn who_has_left_is_not_called() {
    let mut line = busy(&[creation("a", 1), creation("b", 2)]);
    line.leave(&binding("a"));
    assert!(!line.passed(&binding("a")));
    line.give_back(&binding("x"));
    assert_eq!(line.call(Instant::now()), Some(binding("b")));
}

#[tokio::test]
async fn who_does_not_come_is_not_waited_for_long() {
    let mut line = busy(&[creation("gone", 1), creation("b", 2), creation("c", 3)]);
    line.give_back(&binding("x"));
    let now = Instant::now();
    assert_eq!(line.call(now), Some(binding("gone")));
    let later = now + CALL_PATIENCE;
    assert_eq!(line.call(later), Some(binding("b")));

    let mut line = WriteQueue::default();
    assert!(line.take(&creation("gone", 1), now));
    line.give_back(&binding("gone"));
    line.pace(&creation("gone", 1), now);
    assert!(!line.take(&creation("b", 2), now));
    assert!(line.take(&creation("b", 2), now + CALL_PATIENCE));
}

#[tokio::test]
async fn what_puts_off_deletions_does_not_put_off_the_others() {
    let (now, until) = (Instant::now(), Instant::now() + Duration::from_secs(3600));
    for (paced, free) in [
        (writer("x", Urgency::Deletion, 0), creation("y", 1)),
        (creation("x", 0), writer("y", Urgency::Deletion, 1)),
    ] {
        let mut line = WriteQueue::default();
        assert!(line.take(&paced, now));
        line.pace(&paced, until);
        line.give_back(paced.binding());
        assert_eq!(line.call(now), None, "who is paced comes back by itself");
        assert_eq!(line.paced(&paced, now), Some(until));
        assert_eq!(line.paced(&free, now), None);
        assert!(line.take(&free, now), "{free:?}");
    }
}
