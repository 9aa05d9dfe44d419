//! Others who write to an identity at the same time: another cluster's azwib, a pipeline, a person. Pure: the time comes in.
//!
//! Azure takes one write of an identity at a time and refuses the others at once (409); there is no queue, and nobody is told when
//! the write is over. So who was refused asks again after a short time left to chance, with the turn in its hand: given back, a
//! binding with longer to wait would have it next, and the identity would stand idle while all of them back off. And who has
//! met others lets them in before its next write.

use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::jitter;

/// A pause before the next write, on average. A write takes Azure some 500 ms: of a handful of clusters one asks soon after it.
const PAUSE: Duration = Duration::from_millis(500);

/// How long one write asks again. After that its binding backs off, and another may try.
const PATIENCE: Duration = Duration::from_secs(8);

/// For so long after the last refusal others are taken to be still there.
const RECENT: Duration = Duration::from_secs(10);

/// What is known of others who write to the identity.
#[derive(Debug, Default)]
pub(super) struct Contention {
    /// When they were met last.
    met: Option<Instant>,
    /// A write has asked in vain for all of its time, and none was taken since: whatever is in the way is not over soon.
    lasts: bool,
}

impl Contention {
    /// How long a write that begins now waits first, if it does.
    pub(super) fn pause_before(&self, now: Instant) -> Option<Duration> {
        let is_recent = self.met.is_some_and(|met| now.duration_since(met) < RECENT);
        is_recent.then(pause)
    }

    /// Notes that a write was taken.
    pub(super) fn taken(&mut self) {
        self.lasts = false;
    }

    /// Notes that a write which began then was refused because of another; how long it waits before it asks again, if it does.
    pub(super) fn refused(&mut self, began: Instant, now: Instant) -> Option<Duration> {
        self.met = Some(now);
        self.lasts |= now.duration_since(began) >= PATIENCE;
        (!self.lasts).then(pause)
    }
}

fn pause() -> Duration {
    PAUSE.mul_f64(jitter::factor(0.5..=1.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_short(pause: Duration) -> bool {
        (Duration::from_millis(250)..=Duration::from_millis(750)).contains(&pause)
    }

    #[test]
    fn a_refused_write_asks_again_soon_and_for_so_long() {
        let mut contention = Contention::default();
        let began = Instant::now();
        assert_eq!(contention.pause_before(began), None);
        for second in 0..8 {
            let now = began + Duration::from_secs(second);
            assert!(contention.refused(began, now).is_some_and(is_short));
        }
        assert_eq!(contention.refused(began, began + PATIENCE), None);
        // The next one does not try for as long once more.
        let next = began + PATIENCE + Duration::from_secs(1);
        assert_eq!(contention.refused(next, next), None);
        contention.taken();
        assert!(contention.refused(next, next).is_some_and(is_short));
    }

    #[test]
    fn who_has_met_others_lets_them_in_for_a_while() {
        let mut contention = Contention::default();
        let met = Instant::now();
        contention.refused(met, met);
        contention.taken();
        let soon = contention.pause_before(met + Duration::from_secs(9));
        assert!(soon.is_some_and(is_short));
        let later = met + RECENT;
        assert_eq!(contention.pause_before(later), None);
    }
}
