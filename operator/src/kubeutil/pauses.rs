//! How long a watcher pauses after its failures.

use std::time::Duration;

use kube_runtime::utils::Backoff;
use tokio::time::Instant;

use super::backoff::{Pace, Standing};

/// The longest pause before the next list or watch.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A watcher that has not failed for so long begins anew with short pauses.
const RECOVERED: Duration = Duration::from_secs(120);

/// The pauses of a watcher after its failures. What succeeds between two of them, as the beginning of a list does each time,
/// is no sign that all is well; kube-runtime's own back-off takes it for one, and tries every second for ever.
#[derive(Debug, Default)]
pub struct Pauses {
    failures: u32,
    last: Option<Instant>,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let last = self.last.replace(Instant::now());
        if last.is_none_or(|last| last.elapsed() > RECOVERED) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        Some(pause(self.failures))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {}
}

/// After so many failures in a row.
pub(super) fn pause(failures: u32) -> Duration {
    let standing = Standing {
        failures,
        ..Standing::FIRST
    };
    Pace::Backoff.delay(standing).min(LONGEST_PAUSE)
}
