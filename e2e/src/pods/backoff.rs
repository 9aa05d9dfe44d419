//! How long a container that did not start or has ended waits for its next try, as a kubelet has it:
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy>.

use std::time::Duration;

/// The second restart waits for this long, each later one twice as long as the one before.
const FIRST: Duration = Duration::from_secs(10);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(300);

/// A container that has run for this long begins anew.
const FORGIVEN: Duration = Duration::from_secs(600);

/// The tries of one container.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Whether nothing has failed yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.failures == 0
    }

    /// How long to wait after a container that could not be started.
    pub(super) fn next(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        wait_before(self.failures)
    }

    /// How long to wait after a container that has ended. The first one starts again at once.
    pub(super) fn after_a_run_of(&mut self, run: Duration) -> Duration {
        if run >= FORGIVEN {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        wait_before(self.failures - 1)
    }
}

/// The wait before this try, the first of which is not put off.
fn wait_before(again: u32) -> Duration {
    let Some(doublings) = again.checked_sub(1) else {
        return Duration::ZERO;
    };
    let wait = 2_u32
        .checked_pow(doublings)
        .and_then(|times| FIRST.checked_mul(times));
    wait.map_or(LONGEST, |it| it.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_crashes_starts_again_at_once_then_later_each_time_up_to_five_minutes() {
        let mut backoff = Backoff::default();
        let seconds = [0, 10, 20, 40, 80, 160, 300, 300];
        for wait in seconds {
            let waited = backoff.after_a_run_of(Duration::from_secs(599));
            assert_eq!(waited.as_secs(), wait);
        }
        assert_eq!(backoff.after_a_run_of(FORGIVEN), Duration::ZERO);
        backoff.failures = u32::MAX;
        assert_eq!(backoff.next(), LONGEST);
    }

    #[test]
    fn a_container_that_cannot_be_started_is_tried_again_after_ten_seconds_then_later() {
        let mut backoff = Backoff::default();
        assert!(backoff.is_fresh());
        assert_eq!(backoff.next(), FIRST);
        assert_eq!(backoff.next(), FIRST * 2);
    }
}
