//! Why an event is published.

use crate::binding::status::reason::Reason;
use k8s_controller::events::EventType;

/// Why an event is published: the closed set of reasons, a stable interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventReason {
    /// `Ready` has this reason now; or it would, had the binding not been good when last seen.
    Ready(Reason),
    IdentityReplaced,
    WouldBeRefused,
    RetainNotGranted,
    AccessRemains,
    CredentialLeft,
    AccountLeft,
    AccountAltered,
    ForceDetached,
    GrantsMode,
    IssuerDiffers,
    IssuerUnreachable,
    IssuerRefused,
    IssuerGood,
}

impl EventReason {
    /// Every reason of an event: those that `Ready` can have, then what else happens to a binding.
    pub fn all() -> impl Iterator<Item = Self> {
        Reason::ALL
            .iter()
            .filter(|reason| !reason.is_of_step_done())
            .map(|reason| Self::Ready(*reason))
            .chain([
                Self::IdentityReplaced,
                Self::WouldBeRefused,
                Self::RetainNotGranted,
                Self::AccessRemains,
                Self::CredentialLeft,
                Self::AccountLeft,
                Self::AccountAltered,
                Self::ForceDetached,
                Self::GrantsMode,
                Self::IssuerDiffers,
                Self::IssuerUnreachable,
                Self::IssuerRefused,
                Self::IssuerGood,
            ])
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready(reason) => reason.as_str(),
            Self::IdentityReplaced => "IdentityReplaced",
            Self::WouldBeRefused => "WouldBeRefused",
            Self::RetainNotGranted => "RetainNotGranted",
            Self::AccessRemains => "AccessRemains",
            Self::CredentialLeft => "CredentialLeft",
            Self::AccountLeft => "AccountLeft",
            Self::AccountAltered => "AccountAltered",
            Self::ForceDetached => "ForceDetached",
            Self::GrantsMode => "GrantsMode",
            Self::IssuerDiffers => "IssuerDiffers",
            Self::IssuerUnreachable => "IssuerUnreachable",
            Self::IssuerRefused => "IssuerRefused",
            Self::IssuerGood => "IssuerGood",
        }
    }

    /// `Normal` for progress and for what was asked for, `Warning` for what stops a binding or leaves something behind.
    pub fn type_(self) -> EventType {
        match self {
            Self::Ready(reason) => reason.event_type(),
            Self::AccountLeft | Self::GrantsMode | Self::IssuerGood => EventType::Normal,
            _ => EventType::Warning,
        }
    }

    /// What it means, in one line, as the reference of events prints it.
    pub fn description(self) -> &'static str {
        match self {
            Self::Ready(reason) => reason.description(),
            Self::IdentityReplaced => {
                "The managed identity was deleted and made again under the same id: it has another client id, and pods that \
                 are running have to be restarted."
            }
            Self::WouldBeRefused => {
                "Grants are only audited, and none covers the binding: with `--grants=enforce` it would be refused."
            }
            Self::RetainNotGranted => {
                "The binding says `deletionPolicy: Retain`, and no grant that covers it allows that: what was made is deleted with it."
            }
            Self::AccessRemains => {
                "No grant covers the binding any more, and a credential that it had adopted still gives access: the note has the \
                 command that ends it."
            }
            Self::CredentialLeft => {
                "The binding was deleted, and a credential that it recorded stays in Azure: it is not provably ours, or another issuer's."
            }
            Self::AccountLeft => {
                "The last binding of a ServiceAccount was deleted, and the account stays: the note says why."
            }
            Self::AccountAltered => {
                "The binding was deleted, and its ServiceAccount is not as azwib wrote it then: an admission policy or a webhook changes \
                 that. The note has the values."
            }
            Self::ForceDetached => {
                "The binding was let go, as asked, although its cleanup failed: what it made may be left behind, as the note says."
            }
            Self::GrantsMode => {
                "About the Namespace of the operator, in the namespace `default`: whether bindings need a grant from now on, and why. At \
                 each start, and when that changes."
            }
            Self::IssuerDiffers => {
                "About the Namespace of the operator, in the namespace `default`: another issuer than the one that azwib goes by was seen. \
                 It counts once a token says so that was issued later: `IssuerMismatch`."
            }
            Self::IssuerUnreachable => {
                "About the Namespace of the operator: what the issuer publishes could not be looked at. It proves nothing, and stops \
                 nothing."
            }
            Self::IssuerRefused => {
                "About the Namespace of the operator: Microsoft Entra refuses the operator's own token for its issuer."
            }
            Self::IssuerGood => {
                "About the Namespace of the operator: nothing is wrong with the issuer any more."
            }
        }
    }

    pub(super) fn action(self) -> &'static str {
        match self {
            Self::Ready(_)
            | Self::IdentityReplaced
            | Self::WouldBeRefused
            | Self::RetainNotGranted
            | Self::AccessRemains
            | Self::GrantsMode
            | Self::IssuerDiffers
            | Self::IssuerUnreachable
            | Self::IssuerRefused
            | Self::IssuerGood => "Reconcile",
            Self::CredentialLeft
            | Self::AccountLeft
            | Self::AccountAltered
            | Self::ForceDetached => "Delete",
        }
    }
}
