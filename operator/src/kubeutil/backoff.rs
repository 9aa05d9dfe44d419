//! Memory of what keeps failing, per object: how often, for which reason, and since when.
//!
//! kube-runtime backs off per watch, not per object. One entry a UID; a success forgets it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::deliberate::Bug;
use crate::runtime::jitter;
use crate::runtime::lock::lock;

/// How a failing object is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Exponential from 1 s to 60 s with jitter: outages and races.
    Backoff,
    /// 10 s, 30 s, 1 min, then every 5 min: something has to change first.
    WaitForChange,
    /// 10 s, 30 s, then every minute: another object has to come or go.
    WaitForArrival,
    /// 10 s, 30 s, then every minute for the first in line for a slot of an identity. The others are tried less often, the further back they
    /// stand: none of them finds a slot before the first does.
    WaitForSlot { ahead: usize },
    /// At a time that somebody else set, such as Azure's `Retry-After`.
    After(Duration),
    /// Exactly then: the time was kept for this object.
    Until(Instant),
}

/// The failures of an object in a row, for the same reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Failures in a row for the same reason.
    pub failures: u32,
    /// How long the reason has stood.
    pub since: Duration,
    /// How long it had stood at the failure before this one.
    pub before: Option<Duration>,
}

#[derive(Debug, Default)]
pub struct Attempts {
    entries: Mutex<HashMap<String, Entry>>,
}

#[derive(Debug)]
struct Entry {
    reason: String,
    failures: u32,
    since: Instant,
    last: Instant,
    /// How long the reason had stood before it was noted here.
    before: Duration,
}

impl Standing {
    /// A first failure.
    pub const FIRST: Self = Self {
        failures: 1,
        since: Duration::ZERO,
        before: None,
    };

    /// Whether this is the first failure of which that holds, by how long the reason has stood.
    pub fn is_first(&self, holds: impl Fn(Duration) -> bool) -> bool {
        holds(self.since) && !self.before.is_some_and(holds)
    }
}

impl Entry {
    /// How long the reason had stood at this moment.
    fn stood_at(&self, moment: Instant) -> Duration {
        moment.duration_since(self.since) + self.before
    }
}

impl Attempts {
    /// Notes one more failure of the object with this UID. Another reason than the last one starts anew.
    pub fn failed(&self, uid: &str, reason: &str) -> Standing {
        self.note(uid, reason, 1)
    }

    /// Notes that the reason still stands and no try was made: the next one comes no later for it.
    pub fn waited(&self, uid: &str, reason: &str) -> Standing {
        self.note(uid, reason, 0)
    }

    fn note(&self, uid: &str, reason: &str, failures: u32) -> Standing {
        let now = Instant::now();
        let mut entries = lock(&self.entries);
        let before = entries.get(uid).filter(|entry| entry.reason == reason);
        let standing = Standing {
            failures: before
                .map_or(0, |entry| entry.failures)
                .saturating_add(failures),
            since: before.map_or(Duration::ZERO, |entry| entry.stood_at(now)),
            before: before.map(|entry| entry.stood_at(entry.last)),
        };
        let entry = Entry {
            reason: reason.to_owned(),
            failures: standing.failures,
            since: before.map_or(now, |entry| entry.since),
            last: now,
            before: before.map_or(Duration::ZERO, |entry| entry.before),
        };
        entries.insert(uid.to_owned(), entry);
        standing
    }

    /// Notes what an earlier process had noted: a reason that has stood for so long, and was not met by this one yet.
    pub fn resume(&self, uid: &str, reason: &str, stood: Duration) {
        let now = Instant::now();
        let mut entries = lock(&self.entries);
        entries.entry(uid.to_owned()).or_insert_with(|| Entry {
            reason: reason.to_owned(),
            failures: 0,
            since: now,
            last: now,
            before: stood,
        });
    }

    /// The reason that stands against the object, if any does.
    pub fn reason(&self, uid: &str) -> Option<String> {
        let entries = lock(&self.entries);
        entries.get(uid).map(|entry| entry.reason.clone())
    }

    /// Whether anything stands against the object.
    pub fn knows(&self, uid: &str) -> bool {
        lock(&self.entries).contains_key(uid)
    }

    /// Forgets the objects of which this does not hold: those that are gone.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        lock(&self.entries).retain(|uid, _| is_there(uid));
    }

    /// Forgets the object: it succeeded, or it is gone.
    pub fn forget(&self, uid: &str) {
        lock(&self.entries).remove(uid);
    }
}

impl Pace {
    /// How long to wait when this stands against an object.
    pub fn delay(self, standing: Standing) -> Duration {
        match self {
            Self::Backoff if Bug::FailedAtOnce.is_on() => Duration::from_millis(1),
            Self::Backoff => {
                let ceiling = Duration::from_secs(1 << standing.failures.saturating_sub(1).min(6))
                    .min(Duration::from_secs(60));
                ceiling.mul_f64(jitter::factor(0.5..=1.0))
            }
            // By time, not by count: a try that an event brought forward does not put the next one off.
            Self::WaitForChange => jittered(wait_for_change(standing.since)),
            Self::WaitForSlot { ahead } => {
                let behind = u32::try_from(ahead).unwrap_or(u32::MAX);
                wait_for_arrival(standing.since).saturating_mul(behind.saturating_add(1))
            }
            Self::WaitForArrival => wait_for_arrival(standing.since),
            Self::Until(time) => time.saturating_duration_since(Instant::now()),
            // A zero, or a date in the past, would mean at once, and then again and again.
            Self::After(delay) => delay
                .max(Duration::from_secs(1))
                .mul_f64(jitter::factor(1.0..=1.1)),
        }
    }
}

/// How long until something that has to change first is looked at again, when it has been so for this long.
pub fn wait_for_change(stood: Duration) -> Duration {
    Duration::from_secs(match stood.as_secs() {
        0..10 => 10,
        10..40 => 30,
        40..100 => 60,
        _ => 300,
    })
}

/// How long until the next look where another object has to come or go: whoever makes it watches for the effect.
pub fn wait_for_arrival(stood: Duration) -> Duration {
    if Bug::ArrivalSeenLate.is_on() {
        return wait_for_change(stood);
    }
    wait_for_change(stood).min(Duration::from_secs(60))
}

/// The last and longest step is spread, so that what began together does not come back together.
fn jittered(delay: Duration) -> Duration {
    if delay < Duration::from_secs(300) {
        delay
    } else {
        delay.mul_f64(jitter::factor(0.9..=1.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_count_up_until_the_reason_changes() {
        let attempts = Attempts::default();
        assert_eq!(attempts.failed("a", "Throttled").failures, 1);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(
            attempts.failed("a", "Throttled"),
            Standing {
                failures: 2,
                since: Duration::from_secs(5),
                before: Some(Duration::ZERO),
            }
        );
        assert_eq!(
            attempts.failed("b", "Throttled").failures,
            1,
            "objects do not share their count"
        );
        assert_eq!(attempts.waited("a", "Throttled").failures, 2);
        assert_eq!(attempts.failed("a", "ScopeLocked"), Standing::FIRST);
        attempts.forget("a");
        assert_eq!(attempts.failed("a", "ScopeLocked").failures, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_stood_for_a_while_is_noticed_once() {
        let attempts = Attempts::default();
        let mut noticed = vec![];
        for _ in 0..8 {
            let standing = attempts.failed("a", "Refused");
            noticed.push((
                standing.is_first(|stood| stood >= Duration::ZERO),
                standing.is_first(|stood| stood >= Duration::from_secs(10)),
            ));
            tokio::time::advance(Duration::from_secs(4)).await;
        }
        let at = |which: fn(&(bool, bool)) -> bool| noticed.iter().position(which);
        assert_eq!((at(|it| it.0), at(|it| it.1)), (Some(0), Some(3)));
        assert_eq!(noticed.iter().filter(|it| it.0 || it.1).count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_earlier_process_has_noted_counts_while_its_reason_stands() {
        let attempts = Attempts::default();
        let stood = Duration::from_secs(120);
        attempts.resume("a", "ScopeLocked", stood);
        tokio::time::advance(Duration::from_secs(5)).await;
        let standing = attempts.failed("a", "ScopeLocked");
        assert_eq!((standing.failures, standing.since.as_secs()), (1, 125));
        attempts.resume("a", "Throttled", stood);
        assert_eq!(attempts.failed("a", "ScopeLocked").failures, 2);
        assert_eq!(attempts.failed("a", "Throttled").since, Duration::ZERO);
    }

    fn delay(pace: Pace, failures: u32, since: u64) -> Duration {
        pace.delay(Standing {
            failures,
            since: Duration::from_secs(since),
            before: None,
        })
    }

    #[test]
    fn delays_grow_to_their_ceiling_and_never_undercut_a_set_time() {
        for (failures, least, most) in [
            (1, 500, 1_000),
            (2, 1_000, 2_000),
            (4, 4_000, 8_000),
            (60, 30_000, 60_000),
        ] {
            let delay = delay(Pace::Backoff, failures, 0).as_millis();
            assert!(
                (least..=most).contains(&delay),
                "{failures} failures: {delay} ms"
            );
        }
        let wait = Pace::WaitForChange;
        for (since, seconds) in [(0, 10), (10, 30), (41, 60)] {
            assert_eq!(delay(wait, 1, since), Duration::from_secs(seconds));
        }
        assert!(delay(wait, 4, 102) >= Duration::from_secs(270));
        for (ahead, since, seconds) in [(0, 0, 10), (0, 200, 60), (1, 200, 120), (15, 200, 960)] {
            let delay = delay(Pace::WaitForSlot { ahead }, 1, since);
            assert_eq!(delay, Duration::from_secs(seconds), "{ahead} ahead");
        }
        for (since, seconds) in [(0, 10), (10, 30), (41, 60), (102, 60), (9_000, 60)] {
            let arrival = delay(Pace::WaitForArrival, 1, since);
            assert_eq!(arrival, Duration::from_secs(seconds));
        }
        let set = Pace::After(Duration::from_secs(17));
        assert!(delay(set, 1, 0) >= Duration::from_secs(17));
        assert!(delay(Pace::After(Duration::ZERO), 1, 0) >= Duration::from_secs(1));
    }

    #[test]
    fn tries_that_events_bring_forward_do_not_put_the_next_one_off() {
        for failures in 1..9 {
            let wait = delay(Pace::WaitForChange, failures, 3);
            assert_eq!(wait, Duration::from_secs(10));
        }
    }
}
