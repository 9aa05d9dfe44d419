//! Calls of the API server about a binding that failed, and what the status says about the failure.

use std::time::Duration;

use crate::kubeutil::answers::{Answer, retry_after, words};
use crate::kubeutil::backoff::Pace;

/// An undecided answer of the API server is reported only after this time, since webhooks are restarted, too.
pub const UNDECIDED_FOR: Duration = Duration::from_secs(10);

/// What a call was to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    AddFinalizer,
    RemoveFinalizer,
    WriteStatus,
    /// The status of another binding, which takes over a credential.
    HandOver {
        to: String,
    },
    Read,
}

/// A call that failed.
#[derive(Debug, thiserror::Error)]
#[error("{}", .call.outcome())]
pub struct CallFailed {
    pub call: Call,
    #[source]
    pub source: Cause,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// In the words of the API server, cleaned: a policy may quote anything.
    #[error("{}", words(.0))]
    Answer(kube::Error),
    /// The API server took the write and has stored something else: an admission policy or a webhook changes it.
    #[error("it was written, and came back changed: {0}")]
    Altered(String),
}

impl From<kube::Error> for CallFailed {
    /// Writes say which they are.
    fn from(source: kube::Error) -> Self {
        Call::Read.failed(source)
    }
}

impl Call {
    pub fn failed(self, source: kube::Error) -> CallFailed {
        CallFailed {
            call: self,
            source: Cause::Answer(source),
        }
    }

    /// What was written came back, and this of it was not as written.
    pub fn altered(self, what: impl Into<String>) -> CallFailed {
        CallFailed {
            call: self,
            source: Cause::Altered(what.into()),
        }
    }

    fn outcome(&self) -> String {
        match self {
            Self::AddFinalizer => "the API server does not let azwib put its finalizer on the binding, and without it \
                                   nothing is made"
                .to_owned(),
            Self::RemoveFinalizer => "everything is cleaned up, and the API server does not let azwib take its finalizer \
                                      off the binding"
                .to_owned(),
            Self::WriteStatus => "the API server does not accept the status of the binding".to_owned(),
            Self::HandOver { to } => format!(
                "the credential is handed over to the binding \"{to}\", but the API server does not accept that binding's status"
            ),
            Self::Read => {
                "the API server does not let azwib read what it needs for the binding".to_owned()
            }
        }
    }
}

impl CallFailed {
    pub fn answer(&self) -> Answer {
        match &self.source {
            Cause::Answer(error) => Answer::of(error),
            Cause::Altered(_) => Answer::Refused,
        }
    }

    /// What the status says: what is the case, and what to do about it.
    pub fn message(&self) -> String {
        match &self.source {
            Cause::Answer(error) => {
                let (said, advice) = (words(error), advice(self.answer()));
                format!("{self}: {said}; {advice}")
            }
            altered @ Cause::Altered(_) => format!(
                "{self}: {altered}; an admission policy or webhook of this cluster changes what azwib writes: exempt \
                 bindings from it"
            ),
        }
    }

    pub fn pace(&self) -> Pace {
        match &self.source {
            Cause::Answer(error) => pace(error),
            Cause::Altered(_) => Pace::WaitForArrival,
        }
    }

    /// Whether it looks like a patch that does not fit: what a bug on purpose takes it for.
    pub fn is_422(&self) -> bool {
        matches!(&self.source, Cause::Answer(kube::Error::Api(status)) if status.code == 422)
    }

    /// Whether the call was to change something.
    pub fn is_write(&self) -> bool {
        self.call != Call::Read
    }
}

/// How a call that failed so is tried again.
pub fn pace(error: &kube::Error) -> Pace {
    match (retry_after(error), Answer::of(error)) {
        (Some(delay), _) => Pace::After(delay),
        // Whoever changes the rule waits for a minute at the most.
        (None, Answer::Refused) => Pace::WaitForArrival,
        (None, _) => Pace::Backoff,
    }
}

/// How long such an answer has to last before it is reported. None: never, since nobody has refused anything.
pub fn told_after(answer: Answer) -> Option<Duration> {
    match answer {
        Answer::Race | Answer::Gone => None,
        Answer::Refused => Some(Duration::ZERO),
        Answer::NamespaceTerminating | Answer::Undecided | Answer::Lost => Some(UNDECIDED_FOR),
    }
}

fn advice(answer: Answer) -> &'static str {
    match answer {
        Answer::Refused => "have the rule that it names changed",
        _ => {
            "it is tried again: if it stays so, repair the API server, or the webhook that it names"
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn api(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Status::failure(message, "").with_code(code).boxed())
    }

    #[test]
    fn a_refusal_is_told_at_once_an_open_answer_after_a_while_and_a_race_never() {
        for (error, after, pace) in [
            (
                api(422, "no team"),
                Some(Duration::ZERO),
                Pace::WaitForArrival,
            ),
            (
                api(403, "no right"),
                Some(Duration::ZERO),
                Pace::WaitForArrival,
            ),
            (
                api(500, "failed calling webhook"),
                Some(UNDECIDED_FOR),
                Pace::Backoff,
            ),
            (api(504, "slow"), Some(UNDECIDED_FOR), Pace::Backoff),
            (
                kube::Error::Service("away".into()),
                Some(UNDECIDED_FOR),
                Pace::Backoff,
            ),
            (api(409, "modified"), None, Pace::Backoff),
            (api(404, "gone"), None, Pace::Backoff),
        ] {
            let failed = Call::WriteStatus.failed(error);
            assert_eq!(told_after(failed.answer()), after, "{failed:?}");
            assert_eq!(failed.pace(), pace, "{failed:?}");
        }
    }

    #[test]
    fn a_message_says_what_was_to_be_done_what_the_api_server_said_and_what_to_do() {
        let refused = Call::AddFinalizer.failed(api(422, "every object needs the label team"));
        assert_eq!(
            refused.message(),
            "the API server does not let azwib put its finalizer on the binding, and without it nothing is made: every \
             object needs the label team; have the rule that it names changed"
        );
        let altered = Call::AddFinalizer.altered("the finalizer is not there");
        assert_eq!(
            altered.message(),
            "the API server does not let azwib put its finalizer on the binding, and without it nothing is made: it was \
             written, and came back changed: the finalizer is not there; an admission policy or webhook of this cluster \
             changes what azwib writes: exempt bindings from it"
        );
        assert_eq!(told_after(altered.answer()), Some(Duration::ZERO));
        assert_eq!(altered.pace(), Pace::WaitForArrival);
        let undecided = Call::WriteStatus.failed(api(500, "failed calling webhook \"w\""));
        assert!(
            undecided
                .message()
                .contains("failed calling webhook \"w\"; it is tried again")
        );
    }
}
