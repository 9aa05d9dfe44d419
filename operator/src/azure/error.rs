//! What goes wrong with Azure, classed by Azure's own error code.

use std::{fmt, time::Duration};

mod sanitize;
mod setup;

pub use sanitize::safe_line;
pub use setup::SetupError;

/// Two writes to the credentials of one identity at once.
/// Source: <https://github.com/Azure/bicep-registry-modules/issues/1447>
const CONCURRENT_WRITE: &str =
    "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity";

/// Matched as text, because Microsoft documents it as a 400 and the field reports it as a 409 with code `Conflict`.
/// Source: <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>
const ISSUER_SUBJECT_EXISTS: &str = "issuer and subject combination already exists";

/// The identity is so new that Microsoft Graph does not know it yet.
/// Source: <https://github.com/Azure/Azure-Verified-Modules/pull/2673>
const GRAPH_NOT_FOUND: &str = "ms graph resource not found";

/// Entra's codes for a fault that passes: transient, directory unavailable, tenant throttled.
/// Source: <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
const PASSING_SIGN_IN_FAULTS: [&str; 3] = ["AADSTS90024", "AADSTS90033", "AADSTS90055"];

/// What kind of failure it was; the caller chooses condition, reason and next try by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AzureErrorKind {
    /// Another write to the credentials of the same identity is under way.
    ConcurrentWrite,
    /// The identity already has a credential of another name for this issuer and subject.
    IssuerSubjectExists,
    /// The identity is there, the credential is not.
    CredentialNotFound,
    /// The identity, its resource group or its subscription does not exist.
    ParentNotFound,
    /// The identity was made a moment ago and has not reached the directory.
    DirectoryNotReady,
    /// Resource Manager does not take our token, nor a second, fresh one.
    Unauthorized,
    /// Entra refuses to give us a token, or there is no credential to ask with. The code, where there is one, is
    /// an `AADSTS…` code.
    SignInFailed,
    /// The authority cannot be reached or has a fault that passes.
    SignInUnavailable,
    /// The operator has no role that allows this.
    AuthorizationFailed,
    /// Azure Policy denies it.
    PolicyDenied,
    /// A lock on the identity or above forbids it.
    ScopeLocked,
    /// The identity's region does not support federated identity credentials.
    RegionNotSupported,
    /// Too many requests.
    Throttled {
        /// How long Azure asks us to wait, where it says so.
        retry_after: Option<Duration>,
    },
    /// No answer, or none that came from Resource Manager: 408, 5xx, a redirect, a timeout, a broken connection, a
    /// body that is not what was asked for.
    Unavailable,
    /// Any other refusal.
    Refused,
}

impl AzureErrorKind {
    /// Whether something has to change before another try can end better; the rest passes by itself.
    pub fn waits_for_change(self) -> bool {
        match self {
            Self::Throttled { .. }
            | Self::ConcurrentWrite
            | Self::IssuerSubjectExists
            | Self::DirectoryNotReady
            | Self::CredentialNotFound
            | Self::Unavailable
            | Self::SignInUnavailable => false,
            Self::ParentNotFound
            | Self::Unauthorized
            | Self::SignInFailed
            | Self::AuthorizationFailed
            | Self::PolicyDenied
            | Self::ScopeLocked
            | Self::RegionNotSupported
            | Self::Refused => true,
        }
    }
}

/// A failed call to Azure. Its Display is one short line that may be shown to anybody: Azure's code, its message
/// (cut, without control characters and whatever looks like a token) and the request id for Azure's support.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureError {
    kind: AzureErrorKind,
    status: Option<u16>,
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    outcome_unknown: bool,
}

impl AzureError {
    /// A failure that no answer of Azure describes. `message` is ours: a short lower-case phrase.
    pub(crate) fn local(kind: AzureErrorKind, message: &str) -> Self {
        Self {
            kind,
            status: None,
            code: None,
            message: Some(safe_line(message)),
            request_id: None,
            retry_after: None,
            outcome_unknown: false,
        }
    }

    /// Classes an answer of Resource Manager that is not a success.
    pub(crate) fn from_answer(answer: Answer<'_>) -> Self {
        Self {
            kind: kind_of(&answer),
            status: Some(answer.status),
            code: answer.code.map(safe_line),
            message: answer.message.map(safe_line),
            request_id: answer.request_id.map(safe_line),
            retry_after: answer.retry_after,
            outcome_unknown: false,
        }
    }

    /// Classes an answer of the token endpoint that is not a success.
    pub(crate) fn from_sign_in(answer: Answer<'_>) -> Self {
        // The instance metadata service answers 404 and 410 while it is busy with an update.
        let passes = matches!(answer.status, 300..=399 | 404 | 408 | 410 | 429 | 500..)
            || !answer.is_json
            || answer
                .code
                .is_some_and(|code| PASSING_SIGN_IN_FAULTS.contains(&code));
        let kind = if passes {
            AzureErrorKind::SignInUnavailable
        } else {
            AzureErrorKind::SignInFailed
        };
        Self {
            kind,
            ..Self::from_answer(answer)
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
        let kind = AzureErrorKind::Throttled {
            retry_after: Some(left),
        };
        Self {
            retry_after: Some(left),
            ..Self::local(kind, "azure has asked for a pause")
        }
    }

    /// Notes how long Azure asks us to wait.
    #[cfg(test)]
    pub(crate) fn with_retry_after(self, delay: Duration) -> Self {
        Self {
            retry_after: Some(delay),
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
        self.retry_after
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
            (Some(code), Some(message), _) if message.starts_with(code.as_str()) => {
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

/// The parts of an unsuccessful answer that matter.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) code: Option<&'a str>,
    pub(crate) message: Option<&'a str>,
    pub(crate) request_id: Option<&'a str>,
    pub(crate) retry_after: Option<Duration>,
    /// The body was JSON, as everything is that Resource Manager itself says.
    pub(crate) is_json: bool,
}

fn kind_of(answer: &Answer<'_>) -> AzureErrorKind {
    let says = |text: &str| {
        answer
            .message
            .is_some_and(|message| message.to_ascii_lowercase().contains(text))
    };
    let throttled = AzureErrorKind::Throttled {
        retry_after: answer.retry_after,
    };
    match (answer.status, answer.code.unwrap_or_default()) {
        (401, _) => AzureErrorKind::Unauthorized,
        (429, _) => throttled,
        (300..=399 | 408 | 500.., _) => AzureErrorKind::Unavailable,
        (_, CONCURRENT_WRITE) => AzureErrorKind::ConcurrentWrite,
        (400 | 409, _) if says(ISSUER_SUBJECT_EXISTS) => AzureErrorKind::IssuerSubjectExists,
        _ if says(GRAPH_NOT_FOUND) => AzureErrorKind::DirectoryNotReady,
        (404, "NotFound") => AzureErrorKind::CredentialNotFound,
        (
            404,
            "ResourceNotFound"
            | "ResourceGroupNotFound"
            | "SubscriptionNotFound"
            | "ParentResourceNotFound",
        ) => AzureErrorKind::ParentNotFound,
        (_, "AuthorizationFailed") => AzureErrorKind::AuthorizationFailed,
        (_, "RequestDisallowedByPolicy") => AzureErrorKind::PolicyDenied,
        (_, "ScopeLocked") => AzureErrorKind::ScopeLocked,
        (405, "MethodNotAllowed") => AzureErrorKind::RegionNotSupported,
        (_, "SubscriptionRequestsThrottled" | "ResourceRequestsThrottled" | "TooManyRequests") => {
            throttled
        }
        // Something between Azure and us answered.
        _ if !answer.is_json => AzureErrorKind::Unavailable,
        _ => AzureErrorKind::Refused,
    }
}

#[cfg(test)]
mod tests;
