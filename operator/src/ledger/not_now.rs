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
    /// Azure sets the pace: not before this.
    Paced { until: Instant },
    /// Others come first, or it was asked for a moment ago. Nothing is known to have changed, and nothing is said.
    PutOff { until: Instant },
}
