//! How long a Lease lasts, and how often it is renewed.

use std::time::Duration;

/// No operator may ask for a longer one. So one that names a longer duration was written by hand.
pub const LONGEST_LEASE: Duration = Duration::from_secs(120);

/// How long a Lease lasts, and how often it is renewed: `retry_period` < `renew_deadline` < `lease_duration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// A Lease that nobody has changed for so long may be taken by another process.
    pub lease_duration: Duration,
    /// Who has not renewed it for so long does not lead any more.
    pub renew_deadline: Duration,
    /// Between two tries to renew or take it.
    pub retry_period: Duration,
}

impl Timings {
    /// The time between the end of a claim and the beginning of the next one.
    pub fn margin(&self) -> Duration {
        self.lease_duration.saturating_sub(self.renew_deadline)
    }

    /// How long one call of the API server may take: two of them have room before the renew deadline.
    pub(super) fn call(&self) -> Duration {
        self.renew_deadline / 2
    }
}

impl Default for Timings {
    /// As in client-go.
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}
