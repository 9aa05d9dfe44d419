//! Waiting for a condition that nothing announces.

use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep, timeout_at};

/// Longest wait for anything that a healthy environment does; a wait that is too long costs time only in a failing test.
pub const PATIENCE: Duration = Duration::from_secs(120);

const POLL: Duration = Duration::from_millis(25);

/// Asks `condition` again and again until it gives a value.
///
/// # Errors
/// `condition` fails, or `limit` has passed: the error says `what` was waited for.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    let polled = async {
        loop {
            if let Some(value) = condition().await? {
                return Ok(value);
            }
            sleep(POLL).await;
        }
    };
    timeout_at(deadline, polled)
        .await
        .with_context(|| format!("waited {limit:?} in vain for {what}"))?
}
