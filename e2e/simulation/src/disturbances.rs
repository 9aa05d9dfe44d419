//! What stands in the operator's way for a while.

use tokio::time::Instant;

/// What the next write to Azure meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The connection is dropped, before or after the effect.
    AnswerLost,
    /// It is carried out later.
    EffectLate,
    /// It executes for so long that another replica may lead by then.
    EffectAfterTakeover,
    /// 429 with a `Retry-After`.
    Throttled,
}

/// What a policy of the cluster refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Finalizers,
    Statuses,
    Accounts,
}

/// A policy that is in force for a while.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) namespace: String,
    pub(crate) refused: Refused,
    pub(crate) code: u16,
    pub(crate) until: Instant,
}
