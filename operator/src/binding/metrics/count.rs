//! Counts as metrics.

/// A count as a gauge has it.
pub(super) fn as_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
