//! What kind of failure an answer is: one table, read from the top.

use std::time::Duration;

use super::answer::Answer;

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
    /// Something above the roles forbids this to the operator, such as a deny assignment.
    AccessDenied,
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
    /// Something else that goes on in Azure is in the way, such as the deletion of the resource group.
    Conflict,
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
            | Self::AccessDenied
            | Self::PolicyDenied
            | Self::ScopeLocked
            | Self::RegionNotSupported
            | Self::Conflict
            | Self::Refused => true,
        }
    }

    /// Whether it says that what was asked for is not there. Every other failure of a read says no more than that
    /// nothing was seen.
    pub fn means_absence(self) -> bool {
        matches!(self, Self::ParentNotFound | Self::CredentialNotFound)
    }
}

/// The conditions of a row of the table. An answer fits the row if all that are given hold.
struct Row {
    /// First and last HTTP status.
    status: (u16, u16),
    /// Azure's code, compared without case.
    code: Option<&'static str>,
    /// What the message says somewhere, in lower case.
    says: Option<&'static str>,
    /// Whether the body was JSON.
    is_json: Option<bool>,
    kind: AzureErrorKind,
}

const ANY_STATUS: (u16, u16) = (0, u16::MAX);
const THROTTLED: AzureErrorKind = AzureErrorKind::Throttled { retry_after: None };

const fn any(kind: AzureErrorKind) -> Row {
    Row {
        status: ANY_STATUS,
        code: None,
        says: None,
        is_json: None,
        kind,
    }
}

const fn status(first: u16, last: u16, kind: AzureErrorKind) -> Row {
    Row {
        status: (first, last),
        ..any(kind)
    }
}

const fn code(code: &'static str, kind: AzureErrorKind) -> Row {
    Row {
        code: Some(code),
        ..any(kind)
    }
}

const fn status_and_code(at: u16, code: &'static str, kind: AzureErrorKind) -> Row {
    Row {
        status: (at, at),
        code: Some(code),
        ..any(kind)
    }
}

const fn says(first: u16, last: u16, says: &'static str, kind: AzureErrorKind) -> Row {
    Row {
        status: (first, last),
        says: Some(says),
        ..any(kind)
    }
}

/// The first row that fits decides. The last rows judge by the HTTP status what no row before them names.
const ROWS: &[Row] = &[
    // The status says it, whatever else does.
    status(401, 401, AzureErrorKind::Unauthorized),
    status(429, 429, THROTTLED),
    status(300, 399, AzureErrorKind::Unavailable),
    status(408, 408, AzureErrorKind::Unavailable),
    status(500, u16::MAX, AzureErrorKind::Unavailable),
    // Two writes to the credentials of one identity at once.
    // Source: https://github.com/Azure/bicep-registry-modules/issues/1447
    code(
        "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
        AzureErrorKind::ConcurrentWrite,
    ),
    // By its text: Microsoft documents it as a 400, and the field reports it as a 409 with code `Conflict`.
    // Source: https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations
    says(
        400,
        400,
        ISSUER_SUBJECT_EXISTS,
        AzureErrorKind::IssuerSubjectExists,
    ),
    says(
        409,
        409,
        ISSUER_SUBJECT_EXISTS,
        AzureErrorKind::IssuerSubjectExists,
    ),
    // The identity is so new that Microsoft Graph does not know it yet.
    // Source: https://github.com/Azure/Azure-Verified-Modules/pull/2673
    says(
        0,
        u16::MAX,
        "ms graph resource not found",
        AzureErrorKind::DirectoryNotReady,
    ),
    // What means absence: these and no others.
    status_and_code(404, "NotFound", AzureErrorKind::CredentialNotFound),
    status_and_code(404, "ResourceNotFound", AzureErrorKind::ParentNotFound),
    status_and_code(404, "ResourceGroupNotFound", AzureErrorKind::ParentNotFound),
    status_and_code(404, "SubscriptionNotFound", AzureErrorKind::ParentNotFound),
    status_and_code(
        404,
        "ParentResourceNotFound",
        AzureErrorKind::ParentNotFound,
    ),
    code("AuthorizationFailed", AzureErrorKind::AuthorizationFailed),
    code("RequestDisallowedByPolicy", AzureErrorKind::PolicyDenied),
    code("ScopeLocked", AzureErrorKind::ScopeLocked),
    status_and_code(405, "MethodNotAllowed", AzureErrorKind::RegionNotSupported),
    code("SubscriptionRequestsThrottled", THROTTLED),
    code("ResourceRequestsThrottled", THROTTLED),
    code("TooManyRequests", THROTTLED),
    // Something between Azure and us answered.
    Row {
        is_json: Some(false),
        ..any(AzureErrorKind::Unavailable)
    },
    // `DenyAssignmentAuthorizationFailed`, `LinkedAuthorizationFailed` and their like.
    status(403, 403, AzureErrorKind::AccessDenied),
    // `Conflict`, `ResourceGroupBeingDeleted` and their like; 412 and 423 say the same of a state that passes.
    status(409, 409, AzureErrorKind::Conflict),
    status(412, 412, AzureErrorKind::Conflict),
    status(423, 423, AzureErrorKind::Conflict),
];

const ISSUER_SUBJECT_EXISTS: &str = "issuer and subject combination already exists";

impl Row {
    fn fits(&self, answer: &Answer<'_>, message: &str) -> bool {
        let (first, last) = self.status;
        let code = answer.code.unwrap_or_default();
        (first..=last).contains(&answer.status)
            && self.code.is_none_or(|it| it.eq_ignore_ascii_case(code))
            && self.says.is_none_or(|says| message.contains(says))
            && self.is_json.is_none_or(|it| it == answer.is_json)
    }
}

/// The kind of an answer of Resource Manager that is not a success.
pub(super) fn kind_of(answer: &Answer<'_>) -> AzureErrorKind {
    let message = answer.message.unwrap_or_default().to_ascii_lowercase();
    let row = ROWS.iter().find(|row| row.fits(answer, &message));
    match row.map_or(AzureErrorKind::Refused, |row| row.kind) {
        AzureErrorKind::Throttled { .. } => AzureErrorKind::Throttled {
            retry_after: answer.retry_after.map(|it| it.wait),
        },
        kind => kind,
    }
}
