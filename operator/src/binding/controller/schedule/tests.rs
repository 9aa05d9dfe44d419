use std::time::Duration;

use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;

use super::*;

fn who(namespace: &str, name: usize) -> BindingRef {
    BindingRef {
        namespace: namespace.to_owned(),
        name: format!("{name:04}"),
    }
}

fn asked(schedule: &mut Schedule, namespace: &str, names: std::ops::Range<usize>, at: Instant) {
    for name in names {
        schedule.ask(who(namespace, name), at);
    }
}

/// Starts all that may start.
fn started(schedule: &mut Schedule, now: Instant) -> Vec<BindingRef> {
    std::iter::from_fn(|| schedule.start(now)).collect()
}

fn of(started: &[BindingRef], namespace: &str) -> usize {
    started
        .iter()
        .filter(|it| it.namespace == namespace)
        .count()
}

#[test]
fn a_namespace_leaves_workers_to_the_others_however_many_it_wants() {
    let (mut schedule, now) = (Schedule::new(64), Instant::now());
    for (namespace, expected) in [("slow", 32), ("slow-too", 16), ("third", 8), ("fourth", 4)] {
        asked(&mut schedule, namespace, 0..100, now);
        let started = started(&mut schedule, now);
        assert_eq!(of(&started, namespace), expected, "{namespace}");
    }
    schedule.ask(who("innocent", 0), now);
    assert_eq!(started(&mut schedule, now), [who("innocent", 0)]);
}

#[test]
fn looks_that_hang_in_many_namespaces_leave_workers_to_the_others() {
    let (mut schedule, now) = (Schedule::new(64), Instant::now());
    let namespaces: Vec<_> = (0..15).map(|number| format!("slow-{number}")).collect();
    for namespace in &namespaces {
        asked(&mut schedule, namespace, 0..100, now);
    }
    let mut running = started(&mut schedule, now).len();
    schedule.ask(who("innocent", 0), now);
    // What hangs gives its worker back by itself: nothing has to end.
    let mut at = now;
    let mut innocent = None;
    while innocent.is_none() {
        at = schedule.next_due().expect("a worker is given back");
        let more = started(&mut schedule, at);
        running += more.len();
        innocent = more.into_iter().find(|it| it.namespace == "innocent");
    }
    assert!(at <= now + SLOW_AFTER, "it had to wait for {:?}", at - now);
    assert!(running <= 9 * 64, "{running} looks at once");
}

#[test]
fn a_namespace_in_which_several_looks_hang_is_given_the_next_when_one_ends() {
    let (mut schedule, now) = (Schedule::new(64), Instant::now());
    asked(&mut schedule, "slow", 0..100, now);
    let hanging = started(&mut schedule, now);
    assert_eq!(hanging.len(), 32);
    let later = now + SLOW_AFTER;
    assert_eq!(started(&mut schedule, later), []);
    for hung in &hanging[..24] {
        schedule.ended(hung);
        assert_eq!(started(&mut schedule, later), [], "still too many");
    }
    schedule.ended(&hanging[24]);
    // Seven of it hang still, and with these it has as many as are left free.
    assert_eq!(started(&mut schedule, later).len(), 29);
}

#[test]
fn one_worker_looks_at_one_after_the_other() {
    let (mut schedule, now) = (Schedule::new(1), Instant::now());
    asked(&mut schedule, "shop", 0..3, now);
    for name in 0..3 {
        assert_eq!(started(&mut schedule, now), [who("shop", name)]);
        schedule.ended(&who("shop", name));
    }
    assert_eq!(started(&mut schedule, now), []);
}

#[test]
fn namespaces_come_in_turn_and_in_each_who_was_due_first() {
    let (mut schedule, now) = (Schedule::new(2), Instant::now());
    asked(&mut schedule, "many", 0..100, now);
    let later = now + Duration::from_millis(1);
    asked(&mut schedule, "few", 0..2, later);
    let mut order = vec![];
    while let Some(next) = schedule.start(later) {
        schedule.ended(&next);
        order.push(next);
        if order.len() == 5 {
            break;
        }
    }
    let expected = [
        ("many", 0),
        ("few", 0),
        ("many", 1),
        ("few", 1),
        ("many", 2),
    ];
    assert_eq!(
        order,
        expected.map(|(namespace, name)| who(namespace, name))
    );
}

#[test]
fn the_earliest_time_that_was_asked_for_counts() {
    let (mut schedule, now) = (Schedule::new(4), Instant::now());
    let after = |seconds| now + Duration::from_secs(seconds);
    for seconds in [20, 10, 30] {
        schedule.ask(who("shop", 0), after(seconds));
    }
    assert_eq!(schedule.next_due(), Some(after(10)));
    assert_eq!(started(&mut schedule, after(9)), []);
    assert_eq!(started(&mut schedule, after(10)), [who("shop", 0)]);
    schedule.ended(&who("shop", 0));
    assert_eq!(started(&mut schedule, after(30)), [], "one entry an object");
    assert_eq!(schedule.next_due(), None);
}

#[test]
fn what_is_asked_for_during_a_look_is_looked_at_once_after_it() {
    let (mut schedule, now) = (Schedule::new(4), Instant::now());
    schedule.ask(who("shop", 0), now);
    assert_eq!(started(&mut schedule, now), [who("shop", 0)]);
    for _ in 0..3 {
        schedule.ask(who("shop", 0), now);
        assert_eq!(started(&mut schedule, now), [], "not twice at once");
    }
    schedule.ended(&who("shop", 0));
    assert_eq!(started(&mut schedule, now), [who("shop", 0)]);
    schedule.ended(&who("shop", 0));
    assert_eq!(started(&mut schedule, now), []);
}

#[test]
fn nothing_is_left_of_what_was_looked_at() {
    let (mut schedule, now) = (Schedule::new(4), Instant::now());
    for namespace in ["a", "b", "c"] {
        asked(&mut schedule, namespace, 0..9, now);
    }
    while let Some(next) = schedule.start(now) {
        schedule.ended(&next);
    }
    assert!(schedule.objects.is_empty() && schedule.due.is_empty());
    assert!(schedule.namespaces.is_empty() && schedule.turns.is_empty());
    assert_eq!((schedule.quick.len(), schedule.slow), (0, 0));
}

#[test]
fn the_metrics_count_what_becomes_due_and_how_long_it_waits_for_a_worker() {
    let metrics = WorkqueueMetrics::default();
    let mut registry = Registry::default();
    metrics.register(&mut registry, "bindings");
    let value = |name: &str| -> f64 {
        let mut scrape = String::new();
        prometheus_text::encode(&mut scrape, &registry).unwrap();
        let mut lines = scrape.lines();
        let line = lines.find(|line| line.starts_with(&format!("{name}{{")));
        line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    let now = Instant::now();
    let mut schedule = Schedule::new(1).counted_by(metrics.clone());
    let (one, two) = (who("a", 1), who("b", 2));
    schedule.ask(one.clone(), now);
    schedule.ask(two.clone(), now);
    assert_eq!(value("workqueue_depth"), 0.0, "nobody has looked yet");
    assert_eq!(schedule.start(now), Some(one.clone()));
    assert_eq!(schedule.start(now), None, "the only worker is busy");
    assert_eq!(value("workqueue_depth"), 1.0);
    // It is asked for again while it is being looked at, twice: that is one more.
    schedule.ask(one.clone(), now);
    schedule.ask(one.clone(), now);
    assert_eq!(schedule.start(now), None);
    assert_eq!(value("workqueue_depth"), 2.0);
    schedule.ended(&one);
    let later = now + Duration::from_millis(500);
    assert_eq!(schedule.start(later), Some(two.clone()));
    schedule.ended(&two);
    assert_eq!(schedule.start(later), Some(one.clone()));
    schedule.ended(&one);
    assert_eq!(value("workqueue_depth"), 0.0);
    assert_eq!(value("workqueue_adds_total"), 3.0);
    assert_eq!(value("workqueue_queue_duration_seconds_sum"), 1.0);
    assert_eq!(value("workqueue_work_duration_seconds_count"), 3.0);
    assert_eq!(value("workqueue_unfinished_work_seconds"), 0.0);
}
