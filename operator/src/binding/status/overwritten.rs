//! Statuses that somebody else writes again and again, and finalizers that somebody takes off.
//!
//! A foreign status is corrected at once. But if each one were, a writer that answers each of our statuses would
//! make both go on as fast as the API server can. So only a few a minute are corrected at once, and after that one every 15 seconds.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::deliberate::Bug;
use crate::runtime::lock::lock;
use crate::runtime::sweep::Sweep;

/// So many looks at statuses of others within [`WINDOW`] go at once.
const FREE_LOOKS: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// The time between two looks after that.
const PAUSE: Duration = Duration::from_secs(15);

/// The looks at bindings whose statuses others have written, by UID.
#[derive(Debug, Default)]
pub struct Overwritten(Mutex<Bindings>);

#[derive(Debug, Default)]
struct Bindings {
    by_uid: HashMap<String, Looks>,
    sweep: Sweep,
}

#[derive(Debug, Default)]
struct Looks {
    /// How many statuses of others the last look has met.
    met: u32,
    /// When there were more of them than at the look before.
    at: VecDeque<Instant>,
}

impl Looks {
    /// Admits a look now, or says how long until the next.
    fn admit(&mut self, now: Instant) -> Option<Duration> {
        self.at.retain(|at| now.duration_since(*at) < WINDOW);
        let left = self
            .at
            .back()
            .map(|last| PAUSE.saturating_sub(now.duration_since(*last)))
            .filter(|left| self.at.len() >= FREE_LOOKS && !left.is_zero());
        if left.is_none() {
            self.at.push_back(now);
        }
        left
    }
}

impl Overwritten {
    /// Asks for a look at a binding that others have given so many statuses. How long it has to wait, if it has to.
    pub fn wait(&self, uid: &str, others: u32) -> Option<Duration> {
        if others == 0 || Bug::StatusWithoutBrake.is_on() {
            return None;
        }
        let now = Instant::now();
        let mut bindings = self.bindings();
        let looks = bindings.of(uid, now);
        if looks.met == others {
            return None;
        }
        let left = looks.admit(now);
        if left.is_none() {
            looks.met = others;
        }
        left
    }

    /// Asks to put on once more what somebody has taken off the binding. How long that has to wait, if it has to.
    pub fn wait_for_next(&self, uid: &str) -> Option<Duration> {
        let now = Instant::now();
        self.bindings().of(uid, now).admit(now)
    }

    /// Forgets all bindings but these.
    pub fn retain(&self, uids: &HashSet<String>) {
        self.bindings().by_uid.retain(|uid, _| uids.contains(uid));
    }

    /// Forgets a binding that is gone.
    pub fn forget(&self, uid: &str) {
        self.bindings().by_uid.remove(uid);
    }

    fn bindings(&self) -> MutexGuard<'_, Bindings> {
        lock(&self.0)
    }
}

impl Bindings {
    /// What there is of this binding. Those of which nothing counts any more are forgotten.
    fn of(&mut self, uid: &str, now: Instant) -> &mut Looks {
        let is_recent = |at: &Instant| now.duration_since(*at) < WINDOW;
        let counts = |looks: &Looks| looks.met > 0 || looks.at.iter().any(is_recent);
        self.sweep.run(&mut self.by_uid, counts);
        self.by_uid.entry(uid.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_few_statuses_of_others_are_looked_at_at_once_and_then_one_each_quarter_of_a_minute()
    {
        let overwritten = Overwritten::default();
        assert_eq!(overwritten.wait("a", 0), None, "nobody has");
        for others in 1..=5 {
            assert_eq!(overwritten.wait("a", others), None);
            assert_eq!(overwritten.wait("a", others), None, "it was looked at");
        }
        assert_eq!(overwritten.wait("a", 6), Some(PAUSE));
        assert_eq!(overwritten.wait("b", 6), None, "another binding");
        advance(5 * SECOND).await;
        assert_eq!(overwritten.wait("a", 7), Some(10 * SECOND));
        advance(10 * SECOND).await;
        assert_eq!(overwritten.wait("a", 8), None);
        assert_eq!(overwritten.wait("a", 9), Some(PAUSE));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_off_again_and_again_is_put_on_every_quarter_of_a_minute() {
        let taken_off = Overwritten::default();
        for _ in 0..5 {
            assert_eq!(taken_off.wait_for_next("a"), None);
        }
        assert_eq!(taken_off.wait_for_next("a"), Some(PAUSE));
        assert_eq!(taken_off.wait_for_next("b"), None, "another binding");
        advance(PAUSE).await;
        assert_eq!(taken_off.wait_for_next("a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fight_of_an_hour_has_few_looks_a_minute_and_is_forgotten_after_one() {
        let overwritten = Overwritten::default();
        let looks = |overwritten: &Overwritten, others| overwritten.wait("a", others).is_none();
        let mut made = 0;
        for others in 1..=3_600 {
            made += usize::from(looks(&overwritten, others));
            advance(SECOND).await;
        }
        assert!((200..=320).contains(&made), "{made}");
        advance(WINDOW).await;
        for others in 3_601..=3_605 {
            assert!(looks(&overwritten, others));
        }
        overwritten.retain(&["b".to_owned()].into());
        assert!(looks(&overwritten, 3_606), "it was forgotten");
    }
}
