//! Whether the process still does its work, for the liveness probe. Neither Azure nor the API server has anything to do with it: a
//! process that waits for them is alive.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::lock::lock;

/// So long nothing that is due waits for a worker that is free.
const OVERDUE: Duration = Duration::from_secs(10 * 60);

/// What the passes say of themselves. Clones are of the same process.
#[derive(Debug, Clone, Default)]
pub struct Liveness(Arc<Mutex<Option<Instant>>>);

impl Liveness {
    /// When the next look is due for which a worker is free; None where there is none.
    pub fn next_due(&self, due: Option<Instant>) {
        *lock(&self.0) = due;
    }

    /// What is wrong, if anything is.
    pub fn trouble(&self) -> Option<String> {
        let due = *lock(&self.0);
        let overdue = due?.elapsed();
        (overdue >= OVERDUE).then(|| {
            format!(
                "a binding was to be looked at {} s ago and was not, although a worker is free",
                overdue.as_secs()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_begin_what_is_due_for_ten_minutes_is_dead() {
        let liveness = Liveness::default();
        assert_eq!(liveness.trouble(), None);
        liveness.next_due(Some(Instant::now() + Duration::from_secs(60)));
        tokio::time::advance(Duration::from_secs(659)).await;
        assert_eq!(liveness.trouble(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        let trouble = liveness.trouble().unwrap();
        assert!(trouble.contains("600 s ago"), "{trouble}");
        // Nothing is due, or the term is over.
        liveness.next_due(None);
        assert_eq!(liveness.trouble(), None);
    }
}
