//! Why a pass over a binding did not reach its end: there is something to wait for, or something has failed.
//!
//! [`super::next_try`] decides what follows from that.

mod azure;
mod failure;
mod wait;

use std::time::Duration;

pub use self::failure::Failure;
pub use self::wait::Wait;
use super::calls;
use super::status::reason::{ConditionType, Reason};
use crate::kubeutil::answers::Answer;
use crate::kubeutil::backoff::Pace;
use crate::ledger::NotNow;

/// Why a pass did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Wait(Wait),
    #[error(transparent)]
    Failure(Failure),
}

impl<T> From<T> for Error
where
    Failure: From<T>,
{
    fn from(failure: T) -> Self {
        Self::Failure(failure.into())
    }
}

impl From<Wait> for Error {
    fn from(wait: Wait) -> Self {
        Self::Wait(wait)
    }
}

impl From<NotNow> for Error {
    /// For whoever wants to write.
    fn from(why: NotNow) -> Self {
        Self::Wait(why.into())
    }
}

impl Error {
    /// The condition that tells of it, and its reason; None when status stays as it is.
    pub fn finding(&self) -> Option<(ConditionType, Reason)> {
        match self {
            Self::Wait(wait) => wait.finding(),
            Self::Failure(failure) => failure.finding(),
        }
    }

    /// How the pass is tried again.
    pub fn pace(&self) -> Pace {
        match self {
            Self::Wait(wait) => wait.pace(),
            Self::Failure(failure) => failure.pace(),
        }
    }

    /// What the status says: what is the case, and what to do about it.
    pub fn message(&self) -> String {
        match self {
            Self::Wait(wait) => wait.to_string(),
            Self::Failure(failure) => failure.message(),
        }
    }

    /// What the API server has answered to a call, or that it did not, where that has stopped the pass.
    pub fn answer(&self) -> Option<Answer> {
        match self {
            Self::Wait(_) => None,
            Self::Failure(failure) => failure.answer(),
        }
    }

    /// Why the ledger has put it off. Then no try was made.
    pub fn not_now(&self) -> Option<NotNow> {
        match self {
            Self::Wait(Wait::Ledger { why, .. }) => Some(*why),
            Self::Wait(_) | Self::Failure(_) => None,
        }
    }

    /// Whether the API server has refused a call, or left it open for so long that somebody should know.
    pub fn is_refusal_told_after(&self, stood: Duration) -> bool {
        let after = self.answer().and_then(calls::told_after);
        after.is_some_and(|after| stood >= after)
    }

    /// Whether it only kept the operator from looking: nothing is known to be wrong with the binding.
    pub fn is_disturbance(&self) -> bool {
        match self {
            Self::Wait(Wait::Ledger { reading, .. }) => *reading,
            Self::Wait(Wait::ForGrants(_) | Wait::ForIssuer(_)) => true,
            Self::Wait(Wait::ForCredential | Wait::GrantGone | Wait::ReadOnly { .. }) => false,
            Self::Failure(failure) => failure.is_disturbance(),
        }
    }

    /// Whether the ledger or Azure only delays it: that is no evidence for or against the binding.
    pub fn is_delay(&self) -> bool {
        let is_throttled = matches!(self.finding(), Some((_, Reason::Throttled)));
        self.not_now().is_some() || is_throttled
    }

    /// Whether it is only a step on the way, which nobody needs to be warned of.
    pub fn is_progress(&self) -> bool {
        match self {
            Self::Wait(_) => true,
            Self::Failure(failure) => failure.answer().is_some_and(Answer::is_outdated),
        }
    }

    /// Those with the same key count as one that repeats. No answer has a key of its own: an API server that was away has
    /// refused nothing.
    pub fn attempt_key(&self) -> &'static str {
        if self.answer() == Some(Answer::Lost) {
            return "NoAnswer";
        }
        self.finding()
            .map_or("Untold", |(_, reason)| reason.as_str())
    }
}

#[cfg(test)]
mod tests;
