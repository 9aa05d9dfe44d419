//! What can go wrong in a pass.

use azwib_crds::CredentialName;
use tokio::time::Instant;

use super::azure;
use crate::azure::{AzureError, AzureErrorKind};
use crate::binding::account::BINDINGS_OF_AN_ACCOUNT;
use crate::binding::account::error::ServiceAccountError;
use crate::binding::calls::CallFailed;
use crate::binding::cleanup::deleted_binding::Unreadable;
use crate::binding::credential::duplicates::{OlderDuplicate, OlderState};
use crate::binding::status::reason::{ConditionType, Reason};
use crate::binding::validate;
use crate::grant::{Missing, QuotaReached, Reserved};
use crate::kubeutil::answers::Answer;
use crate::kubeutil::backoff::Pace;
use crate::ledger::decide::Refusal;
use crate::runtime::deliberate::Bug;

/// What has stopped a pass. Each variant has a condition, a reason and a pace of its own.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Invalid(#[from] validate::Error),
    #[error(transparent)]
    NotGranted(Missing),
    #[error(transparent)]
    QuotaReached(#[from] QuotaReached),
    #[error(transparent)]
    Reserved(#[from] Reserved),
    /// What is found of the issuer stops a new credential.
    #[error("{message}")]
    Issuer { reason: Reason, message: String },
    #[error("cannot read the managed identity {}", short_name(identity))]
    ReadIdentity {
        identity: String,
        source: AzureError,
        /// When the next read is made for all bindings of the identity, where that is known.
        again: Option<Instant>,
    },
    #[error(
        "cannot list the federated identity credentials of {}",
        short_name(identity)
    )]
    ListCredentials {
        identity: String,
        source: AzureError,
        /// When the next listing is made for all bindings of the identity, where that is known.
        again: Option<Instant>,
    },
    #[error(transparent)]
    ServiceAccount(#[from] ServiceAccountError),
    #[error(
        "more than {BINDINGS_OF_AN_ACCOUNT} bindings name the service account {account}, and azwib serves the oldest of them, which \
         this one is not among: delete others, or use another service account"
    )]
    TooManyBindings { account: String },
    #[error("{}", why_duplicate(_0))]
    Duplicate(OlderDuplicate),
    #[error(transparent)]
    NoCredential(#[from] Refusal),
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
    #[error(transparent)]
    Kubernetes(#[from] CallFailed),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        CallFailed::from(error).into()
    }
}

impl Failure {
    /// The condition that tells of it, and its reason; None when status stays as it is.
    pub fn finding(&self) -> Option<(ConditionType, Reason)> {
        Some(match self {
            Self::Invalid(error) => error.finding(),
            Self::NotGranted(_) => (ConditionType::Granted, Reason::NotGranted),
            Self::QuotaReached(_) => (ConditionType::Granted, Reason::GrantQuotaReached),
            Self::Reserved(_) => (ConditionType::Granted, Reason::Reserved),
            Self::Issuer { reason, .. } => (ConditionType::IssuerReady, *reason),
            Self::ReadIdentity { source, .. } => {
                let reason = azure::reason(source, Reason::IdentityNotFound);
                (ConditionType::IdentityResolved, reason)
            }
            // The identity itself was read meanwhile: it is there.
            Self::ListCredentials { source, .. } => {
                let reason = azure::reason(source, Reason::AzureUnavailable);
                (ConditionType::CredentialReady, reason)
            }
            Self::WriteCredential { source, .. }
            | Self::ReadCredential { source, .. }
            | Self::DeleteCredential { source, .. } => {
                let reason = azure::reason(source, Reason::Creating);
                (ConditionType::CredentialReady, reason)
            }
            Self::ServiceAccount(error) => (ConditionType::ServiceAccountReady, error.reason()?),
            Self::TooManyBindings { .. } => (
                ConditionType::ServiceAccountReady,
                Reason::ServiceAccountLimitReached,
            ),
            Self::Duplicate(_) => (ConditionType::CredentialReady, Reason::DuplicateBinding),
            Self::NoCredential(Refusal::CredentialExists { .. }) => {
                (ConditionType::CredentialReady, Reason::CredentialExists)
            }
            Self::NoCredential(Refusal::LimitReached { .. }) => (
                ConditionType::CredentialReady,
                Reason::CredentialLimitReached,
            ),
            // Somebody else was faster, and nobody has refused anything.
            Self::Kubernetes(failed) if failed.answer().is_outdated() => return None,
            Self::Kubernetes(_) => (ConditionType::Ready, Reason::BindingRefused),
            Self::Unreadable(_) => return None,
        })
    }

    /// How the pass is tried again.
    pub(super) fn pace(&self) -> Pace {
        match self {
            // The identity itself was found meanwhile.
            _ if self.says_identity_is_gone() => Pace::Backoff,
            Self::ReadIdentity {
                again: Some(at), ..
            }
            | Self::ListCredentials {
                again: Some(at), ..
            } => Pace::Until(*at),
            Self::ReadIdentity { source, .. }
            | Self::ListCredentials { source, .. }
            | Self::WriteCredential { source, .. }
            | Self::ReadCredential { source, .. }
            | Self::DeleteCredential { source, .. } => azure::pace(source),
            Self::ServiceAccount(error) => error.pace(),
            Self::Kubernetes(failed) => failed.pace(),
            Self::NoCredential(Refusal::LimitReached { ahead, .. }) => {
                Pace::WaitForSlot { ahead: *ahead }
            }
            Self::NoCredential(_) | Self::QuotaReached(_) | Self::Issuer { .. } => {
                Pace::WaitForArrival
            }
            Self::Invalid(_)
            | Self::NotGranted(_)
            | Self::Reserved(_)
            | Self::Unreadable(_)
            | Self::Duplicate(_)
            | Self::TooManyBindings { .. } => Pace::WaitForChange,
        }
    }

    /// What Azure has answered to a call, or that it did not.
    pub fn azure(&self) -> Option<&AzureError> {
        match self {
            Self::ReadIdentity { source, .. }
            | Self::ListCredentials { source, .. }
            | Self::WriteCredential { source, .. }
            | Self::ReadCredential { source, .. }
            | Self::DeleteCredential { source, .. } => Some(source),
            _ => None,
        }
    }

    /// What the API server has answered to a call, or that it did not.
    pub fn answer(&self) -> Option<Answer> {
        match self {
            Self::Kubernetes(failed) => Some(failed.answer()),
            Self::ServiceAccount(error) => error.answer(),
            _ => None,
        }
    }

    /// Whether Azure says of a credential's identity that it is not there.
    pub fn says_identity_is_gone(&self) -> bool {
        let is_absent = |it: &AzureError| it.kind() == AzureErrorKind::ParentNotFound;
        !matches!(self, Self::ReadIdentity { .. }) && self.azure().is_some_and(is_absent)
    }

    /// Whether it only kept the operator from looking: nothing is known to be wrong with the binding.
    pub(super) fn is_disturbance(&self) -> bool {
        let source = match self {
            Self::Kubernetes(failed) => return !failed.is_write(),
            Self::ReadIdentity { source, .. } | Self::ListCredentials { source, .. } => source,
            _ => return false,
        };
        let kind = source.kind();
        if Bug::ReadyLostOn403.is_on() && kind == AzureErrorKind::AuthorizationFailed
            || Bug::ReadyLostOnDenial.is_on() && kind == AzureErrorKind::AccessDenied
            || Bug::ReadyLostInOutage.is_on() && kind == AzureErrorKind::Unavailable
        {
            return false;
        }
        !kind.means_absence()
    }

    /// What the status says: what is the case, and what to do about it.
    pub(super) fn message(&self) -> String {
        match (self, self.azure()) {
            (_, Some(source)) => format!(
                "{self}: {}; {}",
                azure::summary(source),
                azure::advice(source)
            ),
            (Self::Kubernetes(failed), None) => failed.message(),
            _ => self.to_string(),
        }
    }
}

fn why_duplicate(older: &OlderDuplicate) -> String {
    let OlderDuplicate { name, stands } = older;
    let head =
        format!("the binding \"{name}\" is older and has the same service account and identity");
    let why = match stands {
        OlderState::ForAnother(difference) => {
            return format!(
                "{head}, but asks for something else ({difference}): make the two the same, or delete one of them"
            );
        }
        // What ends by itself would be another message with each of its steps.
        OlderState::Unready(Some(_)) if older.heals() => "is not Ready yet".to_owned(),
        OlderState::Unready(Some(reason)) => format!("is not Ready ({reason})"),
        OlderState::Unready(None) => "was not looked at yet".to_owned(),
        OlderState::Ready { .. } => "its credential is not in place".to_owned(),
    };
    format!(
        "{head} and asks for the same, but {why}: this one is Ready once that one is, and takes over when it goes"
    )
}

/// The last segment of an ARM id: statuses and events are read in narrow columns.
fn short_name(resource_id: &str) -> &str {
    resource_id.rsplit('/').next().unwrap_or(resource_id)
}
