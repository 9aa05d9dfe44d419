//! What every write asks for a moment before it is sent.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;

use crate::runtime::clocks::{Clocks, Reading};
use crate::runtime::deliberate::Bug;
use crate::runtime::lock::lock;

/// The right to write, as long as it lasts. Clones are of the same claim.
///
/// It lasts for the renew deadline, counted from a moment before the last renewal was sent: another process may take the
/// Lease no sooner than a lease duration after it has seen that renewal. Once it is void it stays void: another term makes
/// another claim.
#[derive(Debug, Clone)]
pub struct Claim(Option<Arc<Election>>);

/// Why a write was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this process does not lead any more, and so it does not write")]
pub struct NoClaim;

#[derive(Debug)]
struct Election {
    clocks: Clocks,
    renew_deadline: Duration,
    /// What the clocks showed before the last renewal was sent. None: the claim is void.
    renewed: Mutex<Option<Reading>>,
}

impl Claim {
    /// The claim of a process that is the only one: it is always held.
    pub fn of_the_only_process() -> Self {
        Self(None)
    }

    /// A claim that counts from this moment, which was before the Lease was asked for.
    pub(crate) fn since(before: Reading, clocks: Clocks, renew_deadline: Duration) -> Self {
        Self(Some(Arc::new(Election {
            clocks,
            renew_deadline,
            renewed: Mutex::new(Some(before)),
        })))
    }

    /// Whether it can end at all.
    pub fn can_end(&self) -> bool {
        self.0.is_some()
    }

    /// Says whether this process may write now.
    ///
    /// # Errors
    /// It does not lead any more.
    pub fn check(&self) -> Result<(), NoClaim> {
        if self.is_held() { Ok(()) } else { Err(NoClaim) }
    }

    /// Whether this process may write now.
    pub fn is_held(&self) -> bool {
        self.left().is_some() || Bug::WritesWithoutLease.is_on()
    }

    /// How long it lasts without another renewal; None once it is void.
    pub(super) fn left(&self) -> Option<Duration> {
        let Some(election) = &self.0 else {
            return Some(Duration::MAX);
        };
        let mut renewed = lock(&election.renewed);
        let left = renewed
            .and_then(|renewed| left(renewed, election.clocks.read(), election.renew_deadline));
        if left.is_none() {
            *renewed = None;
        }
        left
    }

    /// Counts anew from this moment, which was before a renewal was sent that has succeeded. A void claim stays void.
    pub(super) fn renewed(&self, before: Reading) {
        if let (Some(election), true) = (&self.0, self.is_held()) {
            let renewed = &mut *lock(&election.renewed);
            *renewed = renewed.map(|_| before);
        }
    }

    /// Makes it void.
    pub(super) fn end(&self) {
        if let Some(election) = &self.0 {
            *lock(&election.renewed) = None;
        }
    }
}

/// How much is left of a claim that was renewed then. The wall clock is asked as well: where the whole machine was stopped,
/// nothing else shows that. One that was set back says nothing.
fn left(renewed: Reading, now: Reading, renew_deadline: Duration) -> Option<Duration> {
    let by_wall = now.wall.duration_since(renewed.wall);
    let passed = if Bug::RenewalByLeaseClock.is_on() {
        Duration::try_from(by_wall).unwrap_or_default()
    } else {
        now.boot.checked_sub(renewed.boot)?
    };
    if by_wall > SignedDuration::try_from(renew_deadline).unwrap_or(SignedDuration::MAX) {
        return None;
    }
    let left = renew_deadline.checked_sub(passed)?;
    (!left.is_zero()).then_some(left)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    #[test]
    fn what_is_left_of_a_claim() {
        let at = |boot: u64, wall: i64| Reading {
            boot: Duration::from_secs(boot),
            wall: Timestamp::from_second(wall).unwrap(),
        };
        let renewed = at(100, 1000);
        for (now, expected) in [
            (at(100, 1000), Some(10)),
            (at(109, 1009), Some(1)),
            (at(110, 1010), None),
            // The machine was suspended.
            (at(3700, 1001), None),
            // Somebody has set the wall clock, or the machine was stopped.
            (at(101, 1011), None),
            (at(101, 1010), Some(9)),
            (at(101, -3600), Some(9)),
            // No clock does that.
            (at(99, 1000), None),
        ] {
            let left = left(renewed, now, DEADLINE);
            assert_eq!(left, expected.map(Duration::from_secs), "{now:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_was_void_once_is_not_renewed() {
        let (clocks, moves) = Clocks::moved(Timestamp::UNIX_EPOCH);
        let claim = Claim::since(clocks.read(), clocks.clone(), DEADLINE);
        tokio::time::advance(Duration::from_secs(9)).await;
        claim.renewed(clocks.read());
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(claim.is_held());
        moves.set_wall(SignedDuration::from_hours(1));
        assert!(!claim.is_held());
        moves.set_wall(SignedDuration::from_hours(-1));
        assert!(!claim.is_held(), "it stays void");
        claim.renewed(clocks.read());
        assert!(!claim.is_held(), "it stays void");
    }

    #[test]
    fn the_only_process_may_always_write() {
        let claim = Claim::of_the_only_process();
        claim.end();
        assert!(claim.is_held());
    }
}
