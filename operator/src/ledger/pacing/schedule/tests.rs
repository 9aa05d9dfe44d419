use azwib_crds::ManagedIdentityId;

use super::*;
use crate::azure::RetryAfter;
use crate::ledger::fair_queue::Look;
use crate::ledger::pacing::waits::ASKING;

const ASKER: Asker = Asker {
    namespace: "shop",
    look: Look::First,
};

fn identity(name: &str) -> Target {
    in_subscription("1", name)
}

fn in_subscription(subscription: &str, name: &str) -> Target {
    let subscription = format!("00000000-0000-0000-0000-00000000000{subscription}");
    Target::of(&ManagedIdentityId::new(&subscription, "rg", &format!("id-{name}")).unwrap())
}

fn throttled(seconds: u64) -> AzureError {
    let kind = AzureErrorKind::Throttled;
    AzureError::local(kind, "slow down").with_retry_after(Duration::from_secs(seconds))
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// The times at which an identity that asks as early as it is told to is let through, from `start` on.
fn admissions(
    pacing: &mut Pacing,
    identity: &Target,
    operation: Operation,
    start: Instant,
    count: usize,
) -> Vec<f64> {
    let mut now = start;
    let mut admitted = vec![];
    while admitted.len() < count {
        match pacing.admit(identity, operation, ASKER, now) {
            Ok(()) => admitted.push(now.duration_since(start).as_secs_f64()),
            Err(at) => {
                assert!(at > now, "told to come back at once");
                now = at;
            }
        }
    }
    admitted
}

#[tokio::test]
async fn nothing_is_held_back_until_azure_says_so() {
    let mut pacing = Pacing::default();
    let now = Instant::now();
    let times = admissions(&mut pacing, &identity("a"), Operation::Put, now, 100);
    assert_eq!(times, vec![0.0; 100]);
}

#[tokio::test]
async fn a_throttled_identity_waits_as_told_and_then_goes_at_the_published_rate() {
    let mut pacing = Pacing::default();
    let now = Instant::now();
    let (a, b) = (identity("a"), identity("b"));
    pacing.failed(&a, Operation::Put, &throttled(17), now);
    let times = admissions(&mut pacing, &a, Operation::Put, now, 3);
    assert_eq!(times, [17.0, 21.0, 25.0]);
    for (other, operation) in [(&b, Operation::Put), (&a, Operation::List)] {
        let times = admissions(&mut pacing, other, operation, now, 2);
        assert_eq!(times, [0.0, 0.0], "{operation:?} has a budget of its own");
    }
}

#[tokio::test]
async fn a_second_identity_within_ten_seconds_stands_for_the_subscription() {
    for (apart, rest) in [(9.0, [0.0, 0.5, 1.0]), (11.0, [0.0, 0.0, 0.0])] {
        let mut pacing = Pacing::default();
        let now = Instant::now();
        let later = now + seconds(apart);
        pacing.failed(&identity("a"), Operation::Put, &throttled(1), now);
        pacing.failed(&identity("a"), Operation::Put, &throttled(1), now);
        pacing.failed(&identity("b"), Operation::Put, &throttled(1), later);
        let third = admissions(&mut pacing, &identity("c"), Operation::Put, later, 3);
        assert_eq!(third, rest, "{apart} s apart");
        let elsewhere = in_subscription("2", "d");
        let times = admissions(&mut pacing, &elsewhere, Operation::Put, later, 2);
        assert_eq!(times, [0.0, 0.0]);
    }
}

#[tokio::test]
async fn a_second_subscription_stands_for_the_tenant() {
    let mut pacing = Pacing::default();
    let now = Instant::now();
    pacing.failed(&identity("a"), Operation::List, &throttled(1), now);
    let other = in_subscription("2", "b");
    pacing.failed(&other, Operation::List, &throttled(1), now);
    let third = in_subscription("3", "c");
    let times = admissions(&mut pacing, &third, Operation::List, now, 2);
    assert_eq!(times[0], 0.0);
    assert!((times[1] - 1.0 / 15.0).abs() < 1e-6, "{times:?}");
}

#[tokio::test]
async fn azures_own_code_names_the_subscription_at_once() {
    let mut pacing = Pacing::default();
    let now = Instant::now();
    let whole = AzureError::from_answer(crate::azure::error::Answer {
        status: 429,
        code: Some(SUBSCRIPTION_THROTTLED),
        retry_after: RetryAfter::of(seconds(3.0)),
        is_json: true,
        ..Default::default()
    });
    pacing.failed(&identity("a"), Operation::Put, &whole, now);
    let times = admissions(&mut pacing, &identity("b"), Operation::Put, now, 3);
    assert_eq!(times, [3.0, 3.5, 4.0]);
}

#[tokio::test]
async fn identities_of_a_slow_subscription_take_turns() {
    let mut pacing = Pacing::default();
    let now = Instant::now();
    for name in ["a", "b"] {
        pacing.failed(&identity(name), Operation::Put, &throttled(0), now);
    }
    let names = ["c", "d", "e"];
    let first: Vec<_> = names
        .iter()
        .map(|name| {
            pacing
                .admit(&identity(name), Operation::Put, ASKER, now)
                .err()
        })
        .collect();
    assert_eq!(
        first,
        [None, Some(now + seconds(0.5)), Some(now + seconds(1.0))]
    );
    // Whoever asks again too early is told the same, and nobody gets before who was promised a time.
    assert_eq!(
        pacing.admit(&identity("e"), Operation::Put, ASKER, now),
        Err(now + seconds(1.0))
    );
    assert_eq!(
        pacing.admit(&identity("c"), Operation::Put, ASKER, now),
        Err(now + seconds(1.5))
    );
    assert_eq!(
        pacing.admit(&identity("d"), Operation::Put, ASKER, now + seconds(0.5)),
        Ok(())
    );
}

#[tokio::test]
async fn the_rate_doubles_after_each_quiet_time_and_falls_back_with_a_429() {
    let mut pacing = Pacing::default();
    let now = Instant::now();
    let a = identity("a");
    pacing.failed(&a, Operation::Put, &throttled(1), now);
    let interval = |pacing: &mut Pacing, at: Instant| {
        let times = admissions(pacing, &a, Operation::Put, at, 2);
        times[1] - times[0]
    };
    for (after, expected) in [(10.0, 4.0), (301.0, 2.0), (601.0, 1.0), (901.0, 0.5)] {
        assert_eq!(interval(&mut pacing, now + seconds(after)), expected);
    }
    let later = now + seconds(1000.0);
    pacing.failed(&a, Operation::Put, &throttled(1), later);
    assert_eq!(interval(&mut pacing, later), 4.0);
    assert_eq!(interval(&mut pacing, later + seconds(1801.0)), 0.0);
    assert!(pacing.limits.is_empty(), "what is not limited is forgotten");
}

#[tokio::test]
async fn what_was_admitted_and_goes_late_puts_off_the_next() {
    let mut pacing = Pacing::default();
    let told = Instant::now();
    let a = identity("a");
    pacing.failed(&a, Operation::Put, &throttled(1), told);
    let now = told + seconds(1.0);
    assert_eq!(pacing.admit(&a, Operation::Put, ASKER, now), Ok(()));
    let second = now + seconds(4.0);
    assert_eq!(pacing.admit(&a, Operation::Put, ASKER, now), Err(second));
    // Its record took half a second to write.
    pacing.sent(&a, Operation::Put, now + seconds(0.5));
    assert_eq!(pacing.admit(&a, Operation::Put, ASKER, second), Ok(()));
    let earliest = pacing.earliest(&a, Operation::Put);
    assert_eq!(earliest, Some(now + seconds(4.5)));
    assert_eq!(pacing.earliest(&identity("b"), Operation::Put), None);
}

#[tokio::test]
async fn a_retry_after_of_another_answer_holds_back_but_lowers_no_rate() {
    let mut pacing = Pacing::default();
    let now = Instant::now();
    let a = identity("a");
    let busy =
        AzureError::local(AzureErrorKind::Unavailable, "busy").with_retry_after(seconds(8.0));
    pacing.failed(&a, Operation::Get, &busy, now);
    let times = admissions(&mut pacing, &a, Operation::Get, now, 3);
    assert_eq!(times, [8.0, 8.0, 8.0]);
}

/// The subscription of these identities is told to be quiet for ten years.
fn silenced(pacing: &mut Pacing, now: Instant) {
    let error = AzureError::from_answer(crate::azure::error::Answer {
        status: 429,
        code: Some(SUBSCRIPTION_THROTTLED),
        retry_after: RetryAfter::of(Duration::from_secs(315_360_000)),
        is_json: true,
        ..Default::default()
    });
    pacing.failed(&identity("a"), Operation::Get, &error, now);
}

#[tokio::test]
async fn after_a_pause_that_is_not_believed_one_request_asks() {
    let (get, start) = (Operation::Get, Instant::now());
    let mut pacing = Pacing::default();
    silenced(&mut pacing, start);
    let (b, c) = (identity("b"), identity("c"));
    let quarter = seconds(900.0);
    assert_eq!(pacing.told_to_wait(&b, get, start), Some(start + quarter));
    let now = start + quarter;
    assert_eq!(pacing.depart(&b, get, now), Ok(()));
    assert_eq!(pacing.depart(&c, get, now), Err(now + ASKING));
    // Its answer lets the others go.
    pacing.succeeded(&b, get, now + seconds(1.0));
    assert_eq!(pacing.depart(&c, get, now + seconds(1.0)), Ok(()));
    assert_eq!(
        pacing.depart(&identity("d"), get, now + seconds(1.0)),
        Ok(())
    );
}

#[tokio::test]
async fn who_asks_and_is_told_again_keeps_the_others_waiting() {
    let (get, start) = (Operation::Get, Instant::now());
    let mut pacing = Pacing::default();
    silenced(&mut pacing, start);
    let (b, c) = (identity("b"), identity("c"));
    let now = start + seconds(900.0);
    assert_eq!(pacing.depart(&b, get, now), Ok(()));
    silenced(&mut pacing, now + seconds(1.0));
    assert_eq!(
        pacing.depart(&c, get, now + seconds(2.0)),
        Err(now + seconds(901.0))
    );
}

#[tokio::test]
async fn who_asks_in_vain_lets_the_next_one_ask() {
    let (get, start) = (Operation::Get, Instant::now());
    let lost = AzureError::local(AzureErrorKind::Unavailable, "lost");
    let mut pacing = Pacing::default();
    silenced(&mut pacing, start);
    let (b, c, d) = (identity("b"), identity("c"), identity("d"));
    let now = start + seconds(900.0);
    assert_eq!(pacing.depart(&b, get, now), Ok(()));
    pacing.failed(&b, get, &lost, now + seconds(1.0));
    let now = now + seconds(2.0);
    assert_eq!(pacing.depart(&c, get, now), Ok(()));
    assert_eq!(pacing.depart(&d, get, now), Err(now + ASKING));
    // One that never comes back holds nobody up for long.
    assert_eq!(pacing.depart(&d, get, now + ASKING), Ok(()));
    // A refusal that says nothing of the pace is an answer as well.
    let refused = AzureError::local(AzureErrorKind::AuthorizationFailed, "no");
    pacing.failed(&d, get, &refused, now + ASKING);
    assert_eq!(pacing.depart(&b, get, now + ASKING), Ok(()));
    assert_eq!(pacing.depart(&c, get, now + ASKING), Ok(()));
}

fn asker(namespace: &str, look: Look) -> Asker<'_> {
    Asker { namespace, look }
}

#[tokio::test]
async fn repeats_stay_below_one_a_second_and_others_wait_for_one_of_them_only() {
    let mut pacing = Pacing::default();
    let start = Instant::now();
    let greedy = asker("greedy", Look::Repeat);
    let mut due: Vec<_> = (0..60)
        .map(|number| (start, format!("missing-{number}"), greedy))
        .collect();
    // Somebody else's comes while sixty wait.
    let innocent = asker("innocent", Look::Repeat);
    due.push((start + seconds(5.0), "innocent".to_owned(), innocent));
    let mut went = vec![];
    while let Some(next) = (0..due.len()).min_by_key(|it| due[*it].0) {
        let (now, name, asker) = due.remove(next);
        match pacing.admit_repeat(&identity(&name), Operation::Get, asker, now) {
            Ok(()) => went.push((now.duration_since(start).as_secs_f64(), name)),
            Err(at) => {
                assert!(at > now, "told to come back at once");
                due.push((at, name, asker));
            }
        }
    }
    assert_eq!(went.len(), 61);
    for pair in went.windows(2) {
        assert!(pair[1].0 - pair[0].0 > 1.0, "{pair:?}");
    }
    let innocent = went.iter().find(|(_, name)| name == "innocent").unwrap();
    assert!(innocent.0 < 8.0, "{innocent:?}");
    let elsewhere = in_subscription("2", "x");
    let other = pacing.admit_repeat(&elsewhere, Operation::Get, greedy, start);
    assert_eq!(
        other,
        Ok(()),
        "another subscription has a schedule of its own"
    );
}

#[tokio::test]
async fn in_a_slow_subscription_first_looks_go_before_repeats_and_namespaces_take_turns() {
    let mut pacing = Pacing::default();
    let now = Instant::now();
    for name in ["a", "b"] {
        pacing.failed(&identity(name), Operation::Get, &throttled(1), now);
    }
    let now = now + seconds(1.0);
    let mut ask = |name: &str, namespace, look| {
        let asker = asker(namespace, look);
        let admitted = pacing.admit(&identity(name), Operation::Get, asker, now);
        let at = admitted.err().unwrap_or(now).duration_since(now);
        at.as_millis()
    };
    for (number, expected) in (0..5).zip([0, 100, 200, 300, 400]) {
        let name = format!("greedy-{number}");
        assert_eq!(ask(&name, "greedy", Look::First), expected);
    }
    assert_eq!(ask("failed", "innocent", Look::Repeat), 500);
    assert_eq!(ask("new", "innocent", Look::First), 200);
    assert_eq!(ask("newer", "innocent", Look::First), 400);
    assert_eq!(ask("greedy-1", "greedy", Look::First), 100);
    assert_eq!(ask("greedy-4", "greedy", Look::First), 600);
    assert_eq!(ask("failed", "innocent", Look::Repeat), 700);
}

#[tokio::test]
async fn requests_go_together_or_none_of_them_and_the_early_one_keeps_its_place() {
    let mut pacing = Pacing::default();
    let (a, start) = (identity("a"), Instant::now());
    let alone = asker("shop", Look::First);
    let both = [(Operation::Get, alone), (Operation::Delete, alone)];
    assert_eq!(pacing.admit_together(&a, &both, start), Ok(()));
    pacing.failed(&a, Operation::Delete, &throttled(17), start);
    pacing.failed(&a, Operation::Get, &throttled(12), start);
    let told = start + seconds(17.0);
    let early = start + seconds(13.0);
    assert_eq!(pacing.admit_together(&a, &both, early), Err(told));
    // The read was admitted at 13 s and was not made: it needs no other time.
    assert_eq!(pacing.admit_together(&a, &both, told), Ok(()));
    let next = told + seconds(4.0);
    assert_eq!(pacing.admit_together(&a, &both, told), Err(next));
    assert_eq!(pacing.admit_together(&a, &both, next), Ok(()));
}

#[tokio::test]
async fn the_metrics_count_what_is_held_back_and_forget_what_is_over() {
    let mut pacing = Pacing::default();
    let now = Instant::now();
    let put = Operation::Put;
    assert_eq!(pacing.state(now), PacingState::default());
    pacing.failed(&identity("a"), put, &throttled(7), now);
    pacing.failed(&identity("b"), put, &throttled(3), now);
    pacing
        .admit(&identity("c"), put, ASKER, now + seconds(3.0))
        .unwrap();
    let waits = pacing.admit(&identity("d"), put, ASKER, now + seconds(3.0));
    assert!(waits.is_err(), "the subscription is limited, too");
    let state = pacing.state(now + seconds(3.0));
    let held = |scope, operation| {
        let held = state.held[&(scope, operation)];
        (held.paused, held.limited)
    };
    assert_eq!(held("identity", put), (1, 2));
    assert_eq!(held("subscription", put), (0, 1));
    assert_eq!(held("tenant", put), (0, 0));
    assert_eq!(held("identity", Operation::Get), (0, 0));
    assert_eq!(state.longest_pause, seconds(4.0));
    assert_eq!(state.waiting, 1);
    let later = now + seconds(7.0);
    assert_eq!(pacing.state(later).held[&("identity", put)].paused, 0);
    assert_eq!(pacing.state(later).longest_pause, Duration::ZERO);
}
