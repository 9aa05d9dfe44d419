//! The time of day of a run: tokio's paused clock, from a fixed beginning.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// Maps tokio's clock to a time of day.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    pub epoch: Timestamp,
    pub at: Instant,
}

impl Time {
    /// Begins now, always at the same time of day.
    pub fn begin() -> Self {
        Self {
            epoch: Timestamp::from_second(1_767_268_800).unwrap_or_default(),
            at: Instant::now(),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.epoch
            .saturating_add(self.at.elapsed())
            .unwrap_or(Timestamp::MAX)
    }

    /// How long the run has lasted.
    pub fn elapsed(&self) -> Duration {
        self.at.elapsed()
    }

    /// When this time of day comes.
    pub fn instant(&self, time: Timestamp) -> Instant {
        let left = time.duration_since(self.epoch);
        self.at + Duration::try_from(left).unwrap_or_default()
    }
}
