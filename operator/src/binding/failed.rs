//! What follows from a pass: when the next one is.

use std::time::Duration;

use super::error::Error;

/// When a binding is looked at again if nothing happens before: never, where None.
pub type Next = Option<Duration>;

/// A pass that has to be made again, and when.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failed {
    #[source]
    pub error: Error,
    pub retry_in: Duration,
}
