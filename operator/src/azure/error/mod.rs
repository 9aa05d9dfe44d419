//! What goes wrong with Azure, classed by Azure's own error code.

use std::{fmt, time::Duration};

use tokio::time::Instant;

use super::retry_after::RetryAfter;
use crate::leader::NoClaim;

mod answer;
mod cause;
mod kind;
mod sanitize;
mod setup;
mod table;

pub(crate) use answer::Answer;
pub use cause::Cause;
pub use kind::AzureErrorKind;
use kind::{Endpoint, kind_of};
pub use sanitize::safe_line;
pub(crate) use sanitize::without;
pub use setup::SetupError;
pub(crate) use table::azure_errors;

/// A failed call to Azure. Its Display is one short line that may be shown to anybody: Azure's code, its message
/// (cut, without control characters and whatever looks like a token) and the request id for Azure's support.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureError {
    kind: AzureErrorKind,
    status: Option<u16>,
    code: Option<Box<str>>,
    message: Option<Box<str>>,
    request_id: Option<Box<str>>,
    retry_after: Option<RetryAfter>,
    /// When the wait is over that was asked for.
    retry_at: Option<Instant>,
    cause: Option<Cause>,
    outcome_unknown: bool,
}

impl AzureError {
    /// A failure that no answer of Azure describes. `message` is ours: a short lower-case phrase.
    pub(crate) fn local(kind: AzureErrorKind, message: &str) -> Self {
        Self {
            kind,
            status: None,
            code: None,
            message: Some(safe_line(message).into()),
            request_id: None,
            retry_after: None,
            retry_at: None,
            cause: None,
            outcome_unknown: false,
        }
    }

    /// Classes an answer of Resource Manager that is not a success.
    pub(crate) fn from_answer(answer: Answer<'_>) -> Self {
        Self::classed(&Endpoint::ResourceManager, answer)
    }

    /// Classes an answer of the token endpoint that is not a success.
    pub(crate) fn from_sign_in(answer: Answer<'_>) -> Self {
        Self::classed(&Endpoint::SignIn, answer)
    }

    fn classed(of: &Endpoint, answer: Answer<'_>) -> Self {
        let clean = |text: &str| safe_line(&without(text, answer.secrets)).into_boxed_str();
        let message = answer.message.map(clean);
        let message = message.or_else(|| answer.instead().map(String::into_boxed_str));
        Self {
            kind: kind_of(of, &answer),
            status: Some(answer.status),
            code: answer.code.map(clean),
            message: message.filter(|it| !it.is_empty()),
            request_id: answer.request_id.map(clean),
            retry_after: answer.retry_after,
            retry_at: answer.retry_after.map(|it| Instant::now() + it.wait),
            cause: answer.cause(),
            outcome_unknown: false,
        }
    }

    /// The same failure as another kind: the same code means different things on different paths.
    pub(crate) fn with_kind(self, kind: AzureErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// Marks the failure as that of a write which may have taken effect all the same.
    pub(crate) fn of_lost_write(self) -> Self {
        Self {
            outcome_unknown: true,
            ..self
        }
    }

    /// A request that was not sent, since Azure has asked for a pause that is not over.
    pub(crate) fn held_back(left: Duration) -> Self {
        Self::local(AzureErrorKind::Throttled, "azure has asked for a pause").with_retry_after(left)
    }

    /// A write that was not sent, since this process does not lead any more.
    pub(crate) fn without_claim(why: NoClaim) -> Self {
        Self::local(AzureErrorKind::Unavailable, &why.to_string()).with_cause(Cause::NoClaim)
    }

    /// Notes how long Azure asks us to wait.
    pub(crate) fn with_retry_after(self, delay: Duration) -> Self {
        let retry_after = RetryAfter::of(delay);
        Self {
            retry_after,
            retry_at: retry_after.map(|it| Instant::now() + it.wait),
            ..self
        }
    }

    /// Notes why there is no usable answer.
    pub(crate) fn with_cause(self, cause: Cause) -> Self {
        Self {
            cause: Some(cause),
            ..self
        }
    }

    /// Notes the HTTP status of an answer that could not be used.
    pub(crate) fn with_status(self, status: u16) -> Self {
        Self {
            status: Some(status),
            ..self
        }
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> AzureErrorKind {
        self.kind
    }

    /// The HTTP status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Azure's own code, for example `AuthorizationFailed` or `AADSTS700213`.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Azure's message, or ours where there was no answer; safe to show.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// The id under which Azure's support finds the request.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// How long Azure asks us to wait, whatever the kind: a 503 may say so as well as a 429.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after.map(|it| it.wait)
    }

    /// Whether Azure asks for a longer wait than is believed: when that is over, one request goes to ask again.
    pub fn asks_for_too_long(&self) -> bool {
        self.retry_after.is_some_and(|it| it.doubted)
    }

    /// When the wait is over that Azure asks for.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Why there is no usable answer, where that is so and known.
    pub fn cause(&self) -> Option<Cause> {
        self.cause
    }

    /// True for a write whose answer was lost: it may have taken effect, and only a later read tells.
    pub fn outcome_unknown(&self) -> bool {
        self.outcome_unknown
    }
}

impl std::error::Error for AzureError {}

impl fmt::Display for AzureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.code, &self.message, self.status) {
            // Entra's descriptions begin with their code.
            (Some(code), Some(message), _) if message.starts_with(&**code) => {
                write!(f, "{message}")?;
            }
            (Some(code), Some(message), _) => write!(f, "{code}: {message}")?,
            (Some(code), None, _) => write!(f, "{code}")?,
            (None, Some(message), Some(status)) => write!(f, "{message} (http status {status})")?,
            (None, Some(message), None) => write!(f, "{message}")?,
            (None, None, Some(status)) => write!(f, "azure answered with http status {status}")?,
            (None, None, None) => write!(f, "azure did not answer")?,
        }
        match &self.request_id {
            Some(id) => write!(f, " (request id {id})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
