//! Two clocks at once, for whoever has to know how much time has passed whatever became of the machine meanwhile.
//!
//! Tokio's clock and `Instant` stand still while a machine is suspended. `CLOCK_BOOTTIME` runs on. It stands still where a
//! hypervisor stops the whole machine, and there the wall clock, once it is put right, shows the gap.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use super::lock::lock;

/// What both clocks showed at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Since the machine was started, with the time in which it was suspended.
    pub boot: Duration,
    /// The time of day, which somebody may set.
    pub wall: Timestamp,
}

/// Where the two come from.
#[derive(Debug, Clone, Default)]
pub enum Clocks {
    /// From the machine.
    #[default]
    Machine,
    /// From tokio's clock and what has happened to it, for tests and a simulation.
    Moved(Arc<Moves>),
}

impl Clocks {
    /// Clocks that go with tokio's until they are moved.
    pub fn moved(wall: Timestamp) -> (Self, Arc<Moves>) {
        let moves = Arc::new(Moves {
            began: Instant::now(),
            wall,
            moved: Mutex::default(),
            stopped: Mutex::default(),
        });
        (Self::Moved(Arc::clone(&moves)), moves)
    }

    /// What both show now.
    pub fn read(&self) -> Reading {
        match self {
            Self::Machine => Reading {
                boot: since_boot(),
                wall: Timestamp::now(),
            },
            Self::Moved(moves) => moves.read(),
        }
    }
}

/// What happened to clocks that otherwise go with tokio's.
#[derive(Debug)]
pub struct Moves {
    began: Instant,
    wall: Timestamp,
    /// How long the machine was suspended, and by how much somebody has set the wall clock.
    moved: Mutex<(Duration, SignedDuration)>,
    /// What they showed when the process was stopped, as long as it is.
    stopped: Mutex<Option<Reading>>,
}

impl Moves {
    /// The machine was suspended for so long, and is not any more: tokio's clock stood still meanwhile.
    pub fn suspend(&self, duration: Duration) {
        let moved = &mut *lock(&self.moved);
        moved.0 = moved.0.saturating_add(duration);
    }

    /// Somebody has set the wall clock forward by this, or back.
    pub fn set_wall(&self, by: SignedDuration) {
        let moved = &mut *lock(&self.moved);
        moved.1 = moved.1.saturating_add(by);
    }

    /// The process is stopped: it sees no clock move until it goes on. Tokio's runs on.
    pub fn stop(&self) {
        let now = self.read();
        lock(&self.stopped).get_or_insert(now);
    }

    /// The process goes on.
    pub fn go_on(&self) {
        lock(&self.stopped).take();
    }

    fn read(&self) -> Reading {
        if let Some(stopped) = *lock(&self.stopped) {
            return stopped;
        }
        let (suspended, set) = *lock(&self.moved);
        let boot = self.began.elapsed().saturating_add(suspended);
        let wall = self.wall.saturating_add(boot);
        let wall = wall.and_then(|wall| wall.saturating_add(set));
        Reading {
            boot,
            wall: wall.unwrap_or(Timestamp::MAX),
        }
    }
}

#[cfg(target_os = "linux")]
const SINCE_BOOT: ClockId = ClockId::Boottime;

/// Elsewhere the operator runs on developers' machines only.
#[cfg(not(target_os = "linux"))]
const SINCE_BOOT: ClockId = ClockId::Monotonic;

fn since_boot() -> Duration {
    let time = clock_gettime(SINCE_BOOT);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_clocks_run() {
        let clocks = Clocks::Machine;
        let before = clocks.read();
        std::thread::sleep(Duration::from_millis(2));
        let after = clocks.read();
        let passed = after.boot - before.boot;
        assert!(passed >= Duration::from_millis(2), "{passed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspend_moves_both_clocks_and_a_hand_only_one() {
        let (clocks, moves) = Clocks::moved(Timestamp::UNIX_EPOCH);
        tokio::time::advance(Duration::from_secs(5)).await;
        moves.suspend(Duration::from_secs(60));
        moves.set_wall(SignedDuration::from_secs(-30));
        let reading = clocks.read();
        assert_eq!(reading.boot, Duration::from_secs(65));
        assert_eq!(reading.wall.as_second(), 35);
        moves.stop();
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(clocks.read(), reading);
        moves.go_on();
        assert_eq!(clocks.read().boot, Duration::from_secs(75));
    }
}
