//! Why a pass over a binding did not reach its end, and what follows from that.

use std::time::Duration;

use azwib_crds::CredentialName;

use super::departing::{Unreadable, how_to_let_go};
use super::reason::{ConditionType, Reason};
use super::service_account::ServiceAccountError;
use super::validate;
use crate::azure::{AzureError, AzureErrorKind};
use crate::kubeutil::attempts::Pace;
use crate::ledger::NotNow;
use crate::ledger::plan::Refusal;
use crate::runtime::deliberate::Bug;

/// A pass that ended early. Each variant has a condition, a reason and a pace of its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Invalid(#[from] validate::Error),
    #[error("cannot read the managed identity {}", short_name(identity))]
    ReadIdentity {
        identity: String,
        source: AzureError,
    },
    #[error(
        "cannot list the federated identity credentials of {}",
        short_name(identity)
    )]
    ListCredentials {
        identity: String,
        source: AzureError,
    },
    #[error(transparent)]
    ServiceAccount(#[from] ServiceAccountError),
    #[error(
        "the binding \"{older}\" is older and has the same service account and identity: delete one of the two"
    )]
    Duplicate { older: String },
    #[error(transparent)]
    Claim(#[from] Refusal),
    #[error("{}", why_not_now(why))]
    NotNow {
        /// The step that has to wait.
        step: ConditionType,
        /// It waits for a read; for its turn to write otherwise.
        reading: bool,
        why: NotNow,
    },
    #[error("cannot write the federated identity credential {name}")]
    WriteCredential {
        identity: String,
        name: CredentialName,
        source: AzureError,
    },
    #[error("cannot read the federated identity credential {name}")]
    ReadCredential {
        identity: String,
        name: CredentialName,
        source: AzureError,
    },
    #[error("cannot delete the federated identity credential {name}")]
    DeleteCredential {
        identity: String,
        name: CredentialName,
        source: AzureError,
    },
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("the API server did not answer as it should")]
    Kubernetes(#[from] kube::Error),
}

impl From<NotNow> for Error {
    /// For whoever wants to write.
    fn from(why: NotNow) -> Self {
        Self::NotNow {
            step: ConditionType::CredentialReady,
            reading: false,
            why,
        }
    }
}

impl Error {
    /// The condition that tells of this error, and its reason; None when status stays as it is.
    pub fn finding(&self) -> Option<(ConditionType, Reason)> {
        Some(match self {
            Self::Invalid(error) => error.finding(),
            Self::ReadIdentity { source, .. } => {
                let reason = azure_reason(source, Reason::IdentityNotFound);
                (ConditionType::IdentityResolved, reason)
            }
            // The identity itself was read meanwhile: it is there.
            Self::ListCredentials { source, .. } => {
                let reason = azure_reason(source, Reason::AzureUnavailable);
                (ConditionType::CredentialReady, reason)
            }
            Self::WriteCredential { source, .. }
            | Self::ReadCredential { source, .. }
            | Self::DeleteCredential { source, .. } => {
                let reason = azure_reason(source, Reason::Creating);
                (ConditionType::CredentialReady, reason)
            }
            Self::ServiceAccount(error) => (ConditionType::ServiceAccountReady, error.reason()?),
            Self::Duplicate { .. } => (ConditionType::CredentialReady, Reason::DuplicateBinding),
            Self::Claim(Refusal::CredentialExists { .. }) => {
                (ConditionType::CredentialReady, Reason::CredentialExists)
            }
            Self::Claim(Refusal::LimitReached { .. }) => (
                ConditionType::CredentialReady,
                Reason::CredentialLimitReached,
            ),
            Self::NotNow {
                step,
                why: NotNow::Paced { .. },
                ..
            } => (*step, Reason::Throttled),
            // Another binding is reading, and both will know soon.
            Self::NotNow { reading: true, .. } => return None,
            Self::NotNow { step, .. } => (*step, Reason::WaitingForTurn),
            Self::Unreadable(_) | Self::Kubernetes(_) => return None,
        })
    }

    /// How the pass is tried again.
    pub fn pace(&self) -> Pace {
        match self {
            // The identity itself was found meanwhile.
            _ if self.says_identity_is_gone() => Pace::Backoff,
            Self::ReadIdentity { source, .. }
            | Self::ListCredentials { source, .. }
            | Self::WriteCredential { source, .. }
            | Self::ReadCredential { source, .. }
            | Self::DeleteCredential { source, .. } => azure_pace(source),
            Self::ServiceAccount(error) => error.pace(),
            // The turn wakes who waits for it; the back-off is a second line.
            Self::NotNow {
                why: NotNow::Paced { until },
                ..
            } => Pace::Until(*until),
            Self::Kubernetes(_) | Self::NotNow { .. } => Pace::Backoff,
            Self::Claim(Refusal::LimitReached { .. }) => Pace::WaitForSlot,
            Self::Invalid(_) | Self::Unreadable(_) | Self::Duplicate { .. } | Self::Claim(_) => {
                Pace::WaitForChange
            }
        }
    }

    /// Whether it only kept the operator from looking: nothing is known to be wrong with the binding.
    pub fn is_disturbance(&self) -> bool {
        let (Self::ReadIdentity { source, .. } | Self::ListCredentials { source, .. }) = self
        else {
            return matches!(self, Self::NotNow { reading: true, .. });
        };
        if Bug::ReadyLostOn403.is_on() && source.kind() == AzureErrorKind::AuthorizationFailed
            || Bug::ReadyLostInOutage.is_on() && source.kind() == AzureErrorKind::Unavailable
        {
            return false;
        }
        matches!(
            source.kind(),
            AzureErrorKind::Unavailable
                | AzureErrorKind::SignInUnavailable
                | AzureErrorKind::SignInFailed
                | AzureErrorKind::Unauthorized
                | AzureErrorKind::AuthorizationFailed
                | AzureErrorKind::Throttled { .. }
        )
    }

    /// Whether Azure says of a credential's identity that it is not there.
    pub fn says_identity_is_gone(&self) -> bool {
        matches!(
            self,
            Self::ListCredentials { source, .. }
                | Self::WriteCredential { source, .. }
                | Self::ReadCredential { source, .. }
                | Self::DeleteCredential { source, .. }
                if source.kind() == AzureErrorKind::ParentNotFound
        )
    }

    /// Whether it came from Azure.
    pub fn is_azure(&self) -> bool {
        matches!(
            self,
            Self::ReadIdentity { .. }
                | Self::ListCredentials { .. }
                | Self::WriteCredential { .. }
                | Self::ReadCredential { .. }
                | Self::DeleteCredential { .. }
        )
    }

    /// Whether Azure refused, or has to be waited for: its pace, or what becomes of a write whose answer was lost. Another
    /// binding that is under way is none of these.
    pub fn is_held_up_by_azure(&self) -> bool {
        self.is_azure() || self.is_paced() || self.settles_in().is_some()
    }

    /// How long a lost write keeps the turn at the most.
    pub fn settles_in(&self) -> Option<Duration> {
        match self {
            Self::NotNow {
                why: NotNow::Unsettled { settles_in },
                ..
            } => Some(*settles_in),
            _ => None,
        }
    }

    /// Whether the ledger had it wait: no try was made.
    pub fn is_not_now(&self) -> bool {
        matches!(self, Self::NotNow { .. })
    }

    /// Whether it waits for the time that Azure's pace sets.
    pub fn is_paced(&self) -> bool {
        matches!(
            self,
            Self::NotNow {
                why: NotNow::Paced { .. },
                ..
            }
        )
    }

    /// Whether there is a slot, and it is left to another claim.
    pub fn leaves_slot_to_others(&self) -> bool {
        matches!(self, Self::Claim(refusal) if refusal.leaves_slot_to_others())
    }

    /// Whether it only puts off what stands against the binding or for it: the ledger had it wait, or Azure did.
    pub fn is_wait(&self) -> bool {
        let is_throttled = matches!(self.finding(), Some((_, Reason::Throttled)));
        self.is_not_now() || is_throttled
    }

    /// Whether it waits for another binding of its identity, which is short as a rule.
    pub fn is_short_wait(&self) -> bool {
        matches!(
            self,
            Self::NotNow {
                why: NotNow::UnderWay,
                ..
            }
        )
    }

    /// Whether it is only a step on the way, which nobody needs to be warned of.
    pub fn is_progress(&self) -> bool {
        matches!(
            self,
            Self::NotNow { .. } | Self::ServiceAccount(ServiceAccountError::WaitingForCredential)
        )
    }

    /// What counts as the same failure again.
    pub fn attempt_key(&self) -> &'static str {
        self.finding()
            .map_or("Kubernetes", |(_, reason)| reason.as_str())
    }

    /// What the status says: what is the case, and what to do about it.
    pub fn message(&self) -> String {
        match self {
            Self::ReadIdentity { source, .. }
            | Self::ListCredentials { source, .. }
            | Self::WriteCredential { source, .. }
            | Self::ReadCredential { source, .. }
            | Self::DeleteCredential { source, .. } => {
                format!("{self}: {}; {}", summary(source), advice(source))
            }
            _ => self.to_string(),
        }
    }

    /// The same for a binding that is being deleted; it says how to let go as well, where that ends what is wrong.
    pub fn message_of_departing(&self, allow_force_detach: bool) -> String {
        let message = self.message();
        if self.is_held_up_by_azure() || matches!(self, Self::Unreadable(_)) {
            format!("{message}; {}", how_to_let_go(allow_force_detach))
        } else {
            message
        }
    }
}

fn why_not_now(why: &NotNow) -> &'static str {
    match why {
        NotNow::UnderWay => "another write on the identity is under way; Azure takes one at a time",
        NotNow::Unsettled { .. } => {
            "Azure did not answer an earlier write on the identity: nothing is written until a read shows what became of \
             it, or --write-settle-time has passed"
        }
        NotNow::Paced { .. } => {
            "Azure asked the operator to slow down; this request is made when its time has come"
        }
    }
}

/// The reason for an error of Azure; `not_found` for a 404 of the thing that was asked for.
fn azure_reason(error: &AzureError, not_found: Reason) -> Reason {
    match error.kind() {
        AzureErrorKind::ParentNotFound | AzureErrorKind::CredentialNotFound => not_found,
        AzureErrorKind::ConcurrentWrite => Reason::WaitingForTurn,
        AzureErrorKind::DirectoryNotReady => Reason::Creating,
        AzureErrorKind::IssuerSubjectExists => Reason::CredentialExists,
        AzureErrorKind::Unauthorized | AzureErrorKind::SignInFailed => {
            Reason::AzureAuthenticationFailed
        }
        AzureErrorKind::AuthorizationFailed => Reason::AuthorizationFailed,
        AzureErrorKind::PolicyDenied => Reason::PolicyDenied,
        AzureErrorKind::ScopeLocked => Reason::ScopeLocked,
        AzureErrorKind::RegionNotSupported => Reason::RegionNotSupported,
        AzureErrorKind::Throttled { .. } => Reason::Throttled,
        AzureErrorKind::Unavailable | AzureErrorKind::SignInUnavailable => Reason::AzureUnavailable,
        AzureErrorKind::Refused => Reason::RequestRefused,
    }
}

fn azure_pace(error: &AzureError) -> Pace {
    // A 503 may say when to come back as well as a 429.
    if let Some(delay) = error.retry_after() {
        return Pace::After(delay);
    }
    if error.kind().waits_for_change() {
        Pace::WaitForChange
    } else {
        Pace::Backoff
    }
}

/// The last segment of an ARM id: statuses and events are read in narrow columns.
fn short_name(resource_id: &str) -> &str {
    resource_id.rsplit('/').next().unwrap_or(resource_id)
}

/// What to do about an error of Azure.
fn advice(error: &AzureError) -> &'static str {
    match error.kind() {
        AzureErrorKind::ParentNotFound => {
            "create the managed identity, or correct the reference in a new binding"
        }
        AzureErrorKind::AuthorizationFailed => {
            "grant the operator a role with this action there; a new role assignment can take 10 minutes"
        }
        AzureErrorKind::Unauthorized | AzureErrorKind::SignInFailed => {
            "check the operator's own identity: its client id, tenant id and federated identity credential"
        }
        AzureErrorKind::PolicyDenied => {
            "an Azure Policy forbids it: ask for an exemption, or use an identity outside of its scope"
        }
        AzureErrorKind::ScopeLocked => "remove the lock on the identity or above",
        AzureErrorKind::RegionNotSupported => {
            "use a managed identity in a region that supports federated identity credentials"
        }
        AzureErrorKind::Refused => {
            "correct what Azure names, or report it if the request looks right"
        }
        AzureErrorKind::Throttled { .. }
        | AzureErrorKind::Unavailable
        | AzureErrorKind::SignInUnavailable
        | AzureErrorKind::ConcurrentWrite
        | AzureErrorKind::DirectoryNotReady
        | AzureErrorKind::CredentialNotFound
        | AzureErrorKind::IssuerSubjectExists => "it is tried again without you doing anything",
    }
}

/// What Azure said, without what differs from one try to the next: a status must not change on every pass.
fn summary(error: &AzureError) -> String {
    match error.kind() {
        AzureErrorKind::Throttled { .. } => return "Azure asks for fewer requests".to_owned(),
        AzureErrorKind::Unauthorized => {
            return "Azure Resource Manager does not take the operator's token".to_owned();
        }
        AzureErrorKind::Unavailable => {
            return "Azure Resource Manager does not answer as it should".to_owned();
        }
        AzureErrorKind::SignInUnavailable => {
            return "the sign-in to Azure does not answer as it should".to_owned();
        }
        _ => {}
    }
    // What follows the first sentence is advice of its own, or the time and a trace id.
    let message = error.message().map(|message| {
        message
            .split(". ")
            .next()
            .unwrap_or(message)
            .trim_end_matches('.')
    });
    match (error.code(), message) {
        (Some(code), Some(message)) if message.starts_with(code) => message.to_owned(),
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, Some(message)) => message.to_owned(),
        (None, None) => "Azure gave no reason".to_owned(),
    }
}

#[cfg(test)]
mod tests;
