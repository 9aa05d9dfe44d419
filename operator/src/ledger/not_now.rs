//! Why a ledger puts somebody off.

use std::time::Duration;

use tokio::time::Instant;

/// Why the ledger does nothing for a binding now. Nobody waits inside a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNow {
    /// Another binding of the identity is at it: who asked is woken when its turn comes.
    UnderWay,
    /// The answer of a write was lost: nothing is written until a read shows what became of it, or this time has passed.
    Unsettled { settles_in: Duration },
    /// Azure asked for fewer requests: not before this time.
    Paced { until: Instant },
    /// Other requests come first, or the same was read a moment ago. Nothing has changed that status could report.
    PutOff { until: Instant },
}

impl NotNow {
    /// How long a lost write keeps the turn at the most.
    pub fn settles_in(self) -> Option<Duration> {
        match self {
            Self::Unsettled { settles_in } => Some(settles_in),
            Self::UnderWay | Self::Paced { .. } | Self::PutOff { .. } => None,
        }
    }
}
