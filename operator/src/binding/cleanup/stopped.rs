//! How far a cleanup came that did not come to its end.

use crate::binding::error::Error;

/// What is undone, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Credentials,
    Account,
    Finalizer,
}

/// A cleanup that did not come to its end.
#[derive(Debug)]
pub struct Stopped {
    /// What could not be undone; all before it is.
    pub at: Stage,
    pub error: Error,
}

impl Stage {
    /// What is told when it is given up on.
    pub(super) fn let_go(self) -> &'static str {
        match self {
            Self::Credentials => "let go with its credentials",
            Self::Account => "let go with its account",
            Self::Finalizer => "let go with its finalizer",
        }
    }

    pub(super) fn stopped(self, error: impl Into<Error>) -> Stopped {
        let error = error.into();
        Stopped { at: self, error }
    }
}
