//! What stands in the way, told once and then now and then: what a person has to mend may last.

use std::time::Duration;

use tokio::time::Instant;

/// How often the same obstacle is told.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// The obstacle that was told last, and when.
#[derive(Debug, Default)]
pub(super) struct Told(Option<(String, Instant)>);

impl Told {
    /// Whether this has to be told now; from now on it was.
    pub(super) fn is_due(&mut self, obstacle: &str) -> bool {
        let last = self.0.as_ref();
        let is_due = last.is_none_or(|(told, at)| told != obstacle || at.elapsed() >= TOLD_AGAIN);
        if is_due {
            self.0 = Some((obstacle.to_owned(), Instant::now()));
        }
        is_due
    }
}
