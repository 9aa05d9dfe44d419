//! Times in a schedule. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// A place in the line that is not used for so long after its time is lost.
const PLACE_KEPT: Duration = Duration::from_secs(10);

/// A binding may come later than the time it was told. At most this much of the unused schedule is made up for.
const MADE_UP_FOR: Duration = Duration::from_secs(1);

/// Since when a place in a line has to have been used not to be lost.
pub(super) fn kept_since(now: Instant) -> Instant {
    back(now, PLACE_KEPT)
}

/// When the next request may go, after one that goes now and was due at `due`.
pub(super) fn after_one(due: Instant, interval: Duration, now: Instant) -> Instant {
    due.max(back(now, MADE_UP_FOR)) + interval
}

/// How long so many requests take that come first.
pub(super) fn for_all(ahead: usize, interval: Duration) -> Duration {
    interval * u32::try_from(ahead).unwrap_or(u32::MAX)
}

fn back(now: Instant, time: Duration) -> Instant {
    now.checked_sub(time).unwrap_or(now)
}
