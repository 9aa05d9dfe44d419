//! Reckoning with moments.

use jiff::{SignedDuration, Timestamp};

/// A moment so many milliseconds later.
pub(crate) fn after(moment: Timestamp, milliseconds: u64) -> Timestamp {
    let wait = SignedDuration::from_millis(i64::try_from(milliseconds).unwrap_or(i64::MAX));
    moment.saturating_add(wait).unwrap_or(Timestamp::MAX)
}
