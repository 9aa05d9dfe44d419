//! Why a pass over a binding did not reach its end, and what follows from that.

mod azure;

use std::borrow::Cow;
use std::time::Duration;

use azwib_crds::CredentialName;
use tokio::time::Instant;

use super::account::BINDINGS_OF_AN_ACCOUNT;
use super::account::error::ServiceAccountError;
use super::calls::{self, Call, CallFailed};
use super::cleanup::deleted_binding::{Unreadable, how_to_let_go};
use super::credential::duplicates::{OlderDuplicate, OlderState};
use super::status::reason::{ConditionType, Persistence, Reason};
use super::validate;
use crate::azure::{AzureError, AzureErrorKind};
use crate::kubeutil::answers::Answer;
use crate::kubeutil::backoff::Pace;
use crate::ledger::NotNow;
use crate::ledger::decide::Refusal;
use crate::runtime::clock;
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
    #[error(transparent)]
    Kubernetes(#[from] CallFailed),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        CallFailed::from(error).into()
    }
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
            Self::NotNow {
                step,
                why: NotNow::Paced { .. },
                ..
            } => (*step, Reason::Throttled),
            // Nothing is known to have changed.
            Self::NotNow {
                why: NotNow::PutOff { .. },
                ..
            } => return None,
            // Another binding is reading, and both will know soon.
            Self::NotNow { reading: true, .. } => return None,
            Self::NotNow { step, .. } => (*step, Reason::WaitingForTurn),
            // Somebody else was faster, and nobody has refused anything.
            Self::Kubernetes(failed) if failed.answer().is_outdated() => return None,
            Self::Kubernetes(_) => (ConditionType::Ready, Reason::BindingRefused),
            Self::Unreadable(_) => return None,
        })
    }

    /// Whether it ends with what keeps an older twin from being Ready, which ends by itself. A suspended one stays so.
    pub fn heals_with_older(&self) -> bool {
        let Self::Duplicate(OlderDuplicate {
            stands: OlderState::Unready(reason),
            ..
        }) = self
        else {
            return false;
        };
        reason.is_none_or(|it| it != Reason::Suspended && it.persistence() == Persistence::Heals)
    }

    /// The older twin that says that it is Ready while its credential is not in place.
    pub fn older_that_is_wrong(&self) -> Option<&str> {
        match self {
            Self::Duplicate(OlderDuplicate {
                name,
                stands: OlderState::Ready { .. },
            }) => Some(name),
            _ => None,
        }
    }

    /// How the pass is tried again.
    pub fn pace(&self) -> Pace {
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
            // The turn wakes who waits for it; the back-off is a second line.
            Self::NotNow {
                why: NotNow::Paced { until } | NotNow::PutOff { until },
                ..
            } => Pace::Until(*until),
            Self::Kubernetes(failed) => failed.pace(),
            Self::NotNow { .. } => Pace::Backoff,
            Self::NoCredential(Refusal::LimitReached { ahead, .. }) => {
                Pace::WaitForSlot { ahead: *ahead }
            }
            Self::NoCredential(_) => Pace::WaitForArrival,
            Self::Invalid(_)
            | Self::Unreadable(_)
            | Self::Duplicate(_)
            | Self::TooManyBindings { .. } => Pace::WaitForChange,
        }
    }

    /// What the API server answered to a call, where that is what went wrong.
    fn answer(&self) -> Option<Answer> {
        match self {
            Self::Kubernetes(failed) => Some(failed.answer()),
            Self::ServiceAccount(error) => error.answer(),
            _ => None,
        }
    }

    /// Whether it is an answer of the API server to a call, or that there was none.
    pub fn is_of_api_server(&self) -> bool {
        self.answer().is_some()
    }

    /// Whether the API server has refused a call, or left it open for so long that somebody should know.
    pub fn is_refusal_told_after(&self, stood: Duration) -> bool {
        let after = self.answer().and_then(calls::told_after);
        after.is_some_and(|after| stood >= after)
    }

    /// Whether it only kept the operator from looking: nothing is known to be wrong with the binding.
    pub fn is_disturbance(&self) -> bool {
        if let Self::Kubernetes(failed) = self {
            return !failed.is_write();
        }
        let (Self::ReadIdentity { source, .. } | Self::ListCredentials { source, .. }) = self
        else {
            return matches!(self, Self::NotNow { reading: true, .. });
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

    /// Whether no look was made, and status says nothing about it.
    pub fn is_put_off(&self) -> bool {
        matches!(
            self,
            Self::NotNow {
                why: NotNow::PutOff { .. },
                ..
            }
        )
    }

    /// Whether there is a slot, and it is left to another claim.
    pub fn leaves_slot_to_others(&self) -> bool {
        matches!(self, Self::NoCredential(refusal) if refusal.leaves_slot_to_others())
    }

    /// Whether it is only a delay, by the ledger or by Azure: it is no evidence for or against the binding.
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
        ) || self.answer().is_some_and(Answer::is_outdated)
    }

    /// Failures with the same key count as one that repeats. No answer has a key of its own: an API server that was away has refused nothing.
    pub fn attempt_key(&self) -> &'static str {
        if self.answer() == Some(Answer::Lost) {
            return "NoAnswer";
        }
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
                format!(
                    "{self}: {}; {}",
                    azure::summary(source),
                    azure::advice(source)
                )
            }
            Self::Kubernetes(failed) => failed.message(),
            _ => self.to_string(),
        }
    }

    /// What the status of a deleted binding says: the message, and how to let go of the binding where that would help.
    pub fn message_of_departing(&self, allow_force_detach: bool) -> String {
        let message = self.message();
        if self.can_be_let_go() || matches!(self, Self::Unreadable(_)) {
            format!("{message}; {}", how_to_let_go(allow_force_detach))
        } else {
            message
        }
    }

    /// Whether a cleanup that this stops may be given up on: Azure or the API server does not let us. Where the finalizer
    /// itself is refused, there is nothing to give up on that would help.
    pub fn can_be_let_go(&self) -> bool {
        let answer = self.answer();
        self.is_held_up_by_azure()
            || answer.is_some_and(|answer| !answer.is_outdated()) && !self.is_about_finalizer()
    }

    fn is_about_finalizer(&self) -> bool {
        matches!(self, Self::Kubernetes(failed) if failed.call == Call::RemoveFinalizer)
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
        OlderState::Unready(Some(reason)) => format!("is not Ready ({reason})"),
        OlderState::Unready(None) => "was not looked at yet".to_owned(),
        OlderState::Ready { .. } => "its credential is not in place".to_owned(),
    };
    format!(
        "{head} and asks for the same, but {why}: this one is Ready once that one is, and takes over when it goes"
    )
}

fn why_not_now(why: &NotNow) -> Cow<'static, str> {
    match why {
        NotNow::UnderWay => {
            "another write on the identity is under way; Azure takes one at a time".into()
        }
        NotNow::Unsettled { .. } => {
            "Azure did not answer an earlier write on the identity: nothing is written until a read shows what became of \
             it, or --write-settle-time has passed"
                .into()
        }
        NotNow::Paced { until } => format!(
            "Azure asked the operator to slow down; this request is made when its time has come, at {}",
            clock::minute_of(*until)
        )
        .into(),
        NotNow::PutOff { .. } => "others come first, or the same was looked at a moment ago".into(),
    }
}

/// The last segment of an ARM id: statuses and events are read in narrow columns.
fn short_name(resource_id: &str) -> &str {
    resource_id.rsplit('/').next().unwrap_or(resource_id)
}

#[cfg(test)]
mod tests;
