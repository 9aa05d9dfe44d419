//! The time of day, for what is written down: conditions and their ages. Waiting goes by tokio's clock.

use std::cell::Cell;

use k8s_openapi::jiff::{Timestamp, tz::TimeZone};
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

thread_local! {
    static OF_THREAD: Cell<Clock> = const { Cell::new(Clock::Wall) };
}

/// Lets this thread tell the time of day by another clock, for a simulation.
pub fn follow(clock: Clock) {
    OF_THREAD.set(clock);
}

/// The minute of the day at whose end this moment is over, in UTC, for a message. Whole minutes, so that the same moment is
/// told alike however often it is: the two clocks differ by a little more or less each time.
pub fn minute_of(moment: Instant) -> String {
    let now = OF_THREAD.get().now();
    let left = moment.saturating_duration_since(Instant::now());
    let at = now.saturating_add(left).unwrap_or(Timestamp::MAX);
    minute_at(at)
}

/// This time, rounded up to a minute.
pub fn minute_at(time: Timestamp) -> String {
    let minutes = time.as_second().saturating_add(59).div_euclid(60);
    let minute = Timestamp::from_second(60 * minutes).unwrap_or(Timestamp::MAX);
    minute
        .to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%dT%H:%MZ")
        .to_string()
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

    #[tokio::test(start_paused = true)]
    async fn a_moment_is_told_alike_however_often_it_is() {
        follow(Clock::Tokio {
            time: Timestamp::UNIX_EPOCH,
            at: Instant::now(),
        });
        let moment = Instant::now() + Duration::from_secs(61);
        for _ in 0..3 {
            assert_eq!(minute_of(moment), "1970-01-01T00:02Z");
            tokio::time::advance(Duration::from_secs(20)).await;
        }
        follow(Clock::Wall);
    }
}
