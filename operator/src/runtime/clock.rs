//! The time of day, for what is written down: conditions and their ages. Waiting goes by tokio's clock.

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// Where the time of day comes from.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    /// From the machine.
    #[default]
    Wall,
    /// From tokio's clock, on which a simulation moves time.
    Tokio {
        /// The time of day at a moment of tokio's clock.
        time: Timestamp,
        /// That moment.
        at: Instant,
    },
}

impl Clock {
    /// The time of day.
    pub fn now(&self) -> Timestamp {
        match *self {
            Self::Wall => Timestamp::now(),
            Self::Tokio { time, at } => time.saturating_add(at.elapsed()).unwrap_or(Timestamp::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_follows_tokio_goes_with_paused_time() {
        let time = Timestamp::UNIX_EPOCH;
        let clock = Clock::Tokio {
            time,
            at: Instant::now(),
        };
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now(), time + Duration::from_secs(90));
    }
}
