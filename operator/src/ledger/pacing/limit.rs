//! The rate of a scope that Azure has throttled. Pure: the time comes in.

use std::time::Duration;

use tokio::time::Instant;

/// How long a rate is kept without a 429 before twice as much is tried.
const QUIET_TIME: Duration = Duration::from_secs(300);

/// At this many times the published rate the limit is dropped: what Azure accepts then needs no limit of ours.
const UNLIMITED_FROM: f64 = 64.0;

/// The rate of one kind of request in one scope.
#[derive(Debug)]
pub(super) struct Limit {
    /// Times the published rate.
    factor: f64,
    /// When the rate was last changed or confirmed by a 429.
    since: Instant,
    /// When the next request that is not promised a time may go.
    pub(super) next: Instant,
    /// When the next request may go, counted from the one that was sent last.
    pub(super) earliest: Instant,
}

impl Limit {
    /// Between two requests.
    pub(super) fn interval(&self, published: f64) -> Duration {
        Duration::from_secs_f64(1.0 / (published * self.factor))
    }

    /// Doubles the rate where it was kept for long enough. Whether a limit is left.
    pub(super) fn relax(&mut self, now: Instant) -> bool {
        while self.since + QUIET_TIME <= now {
            self.factor *= 2.0;
            self.since += QUIET_TIME;
        }
        self.factor < UNLIMITED_FROM
    }

    /// The published rate, from now on.
    pub(super) fn published(now: Instant) -> Self {
        Self {
            factor: 1.0,
            since: now,
            next: now,
            earliest: now,
        }
    }

    /// Drops to the published rate, from the end of the wait on.
    pub(super) fn throttled(&mut self, now: Instant, wait: Duration) {
        self.factor = 1.0;
        self.since = now;
        self.next = self.next.max(now + wait);
    }
}
