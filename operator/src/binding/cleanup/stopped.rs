//! How far a cleanup came that did not come to its end, whether it may be given up on, and what its status says.

use super::deleted_binding::how_to_let_go;
use crate::binding::calls::{Call, CallFailed};
use crate::binding::error::{Error, Failure, Wait};
use crate::ledger::NotNow;

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

/// Whether a cleanup that this stops may be given up on: Azure or the API server does not let us. Where the finalizer
/// itself is refused, there is nothing to give up on that would help.
pub(super) fn can_be_let_go(error: &Error) -> bool {
    match error {
        Error::Wait(Wait::ForGrants(_)) => true,
        // Azure has to be waited for. Another binding that is under way is none of its doing, and a write whose answer was lost
        // is settled within a minute.
        Error::Wait(_) => matches!(error.not_now(), Some(NotNow::Paced { .. })),
        Error::Failure(Failure::Kubernetes(CallFailed {
            call: Call::RemoveFinalizer,
            ..
        })) => false,
        Error::Failure(failure) => {
            let answer = failure.answer();
            failure.azure().is_some() || answer.is_some_and(|answer| !answer.is_outdated())
        }
    }
}

/// What the status of a deleted binding says: the message, and how to let go of the binding where that would help.
pub fn message_of(error: &Error, allow_force_detach: bool) -> String {
    let message = error.message();
    let is_unreadable = matches!(error, Error::Failure(Failure::Unreadable(_)));
    if can_be_let_go(error) || is_unreadable {
        format!("{message}; {}", how_to_let_go(allow_force_detach))
    } else {
        message
    }
}

#[cfg(test)]
mod tests {
    use azwib_crds::CredentialName;

    use super::*;
    use crate::azure::{AzureError, AzureErrorKind};

    #[test]
    fn a_deletion_that_azure_refuses_says_how_to_let_go_and_a_wait_does_not() {
        let refused = Error::from(Failure::DeleteCredential {
            identity: "/subscriptions/x".to_owned(),
            name: CredentialName::parse("azwib-x").unwrap(),
            source: AzureError::local(AzureErrorKind::ScopeLocked, "azure says no"),
        });
        let message = message_of(&refused, false);
        assert!(message.contains("remove the lock"), "{message}");
        assert!(
            message.ends_with("annotate its Namespace with azwib.dev/force-detach=true"),
            "{message}"
        );
        let message = message_of(&refused, true);
        assert!(
            message.contains("its Namespace or the binding with"),
            "{message}"
        );
        let waiting = Error::from(NotNow::UnderWay);
        assert_eq!(message_of(&waiting, true), waiting.message());
    }
}
