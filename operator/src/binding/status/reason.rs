//! The closed sets of condition types and reasons that a binding's status can show.

use std::fmt;

use k8s_controller::events::EventType;

/// The conditions of a `WorkloadIdentityBinding`, in the order in which they stand in its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConditionType {
    Ready,
    /// Present only while true (kstatus: abnormal-true).
    Reconciling,
    /// Present only while true (kstatus: abnormal-true), never together with `Reconciling`.
    Stalled,
    Granted,
    IssuerReady,
    IdentityResolved,
    ServiceAccountReady,
    CredentialReady,
}

impl ConditionType {
    /// All condition types, in the order in which they stand in a status.
    pub const ALL: [Self; 8] = [
        Self::Ready,
        Self::Reconciling,
        Self::Stalled,
        Self::Granted,
        Self::IssuerReady,
        Self::IdentityResolved,
        Self::ServiceAccountReady,
        Self::CredentialReady,
    ];

    /// The steps on the way to `Ready`, in the order in which they are taken.
    pub const STEPS: [Self; 5] = [
        Self::Granted,
        Self::IssuerReady,
        Self::IdentityResolved,
        Self::ServiceAccountReady,
        Self::CredentialReady,
    ];

    /// The type of this name; None where azwib writes none of it.
    pub fn named(type_: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|known| known.as_str() == type_)
    }

    /// Whether a condition of this type is written by azwib.
    pub fn is_ours(type_: &str) -> bool {
        Self::named(type_).is_some()
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Granted => "Granted",
            Self::IssuerReady => "IssuerReady",
            Self::IdentityResolved => "IdentityResolved",
            Self::ServiceAccountReady => "ServiceAccountReady",
            Self::CredentialReady => "CredentialReady",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How long a reason may stand before the binding counts as stalled.
///
/// Flux and Argo CD fail a sync at once on `Stalled`, so what heals by itself must never say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Progress or an outage: ends without anybody doing anything about this binding.
    Heals,
    /// Another object's arrival or removal can cure it: stalled after a while.
    CurableElsewhere,
    /// A role assignment or a sign-in can cure it, which takes Azure minutes to spread.
    CurableInAzure,
    /// A person has to act on this binding or on a rule that forbids it.
    NeedsPerson,
}

/// What else follows from a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// A step is done, or undone: never the reason of `Ready`.
    StepDone,
    /// Azure has refused the credential for a reason of its own.
    AzureRefuses,
    /// The API server has refused a write.
    ApiServerRefuses,
    /// Nothing.
    Else,
}

// All that is known of a reason stands in its row: how long it may stand, the type of its event, and what else it says.
// A doc comment reaches the macro as `#[doc = "…"]`; it serves both rustdoc and the generated reference.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident => $persistence:ident, $event:ident, $says:ident;)*) => {
        /// Why a condition has its status: the closed set of reasons, a stable interface.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The reason of this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == name)
            }

            /// How long this reason may stand before the binding counts as stalled.
            pub fn persistence(self) -> Persistence {
                match self { $(Self::$name => Persistence::$persistence,)* }
            }

            /// Whether an event that tells of it is a warning.
            pub fn event_type(self) -> EventType {
                match self { $(Self::$name => EventType::$event,)* }
            }

            fn says(self) -> Says {
                match self { $(Self::$name => Says::$says,)* }
            }

            /// What the reason means, in one line, as the reference of conditions prints it.
            pub fn description(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)* }
            }
        }
    };
}

reasons! {
    /// Everything is in place, and the credential had its propagation time.
    Succeeded => Heals, Normal, Else;
    /// An older binding with the same ServiceAccount and identity asks for the same and is Ready; this one takes over when the older one is deleted.
    ProvidedByOlderBinding => Heals, Normal, Else;
    /// The step has not been reached yet.
    Pending => Heals, Normal, Else;
    /// The binding is suspended: nothing is written for it.
    Suspended => Heals, Normal, Else;
    /// The operator runs with `--read-only`: it writes nothing, and the message says what it would write.
    ReadOnly => Heals, Normal, Else;
    /// The binding is being deleted, and this step is undone: nothing that azwib made for it is left.
    CleanedUp => Heals, Normal, Else;
    /// The API server refuses what azwib has to write to the binding itself (its finalizer, its status), an admission policy changes it, or the API server refuses what azwib has to read for it.
    BindingRefused => CurableElsewhere, Warning, ApiServerRefuses;
    /// The credential is in place, and is given time to propagate in Microsoft Entra.
    Propagating => Heals, Normal, Else;
    /// The spec cannot be parsed, or it asks for something that cannot exist.
    InvalidSpec => NeedsPerson, Warning, Else;
    /// Grants are not required (`--grants=off`): every binding is admitted.
    GrantsNotRequired => Heals, Warning, StepDone;
    /// An IdentityGrant covers the binding; the message names it.
    Granted => Heals, Warning, StepDone;
    /// Grants are only audited: nothing is refused, and the message says what `--grants=enforce` would say.
    WouldBeRefused => Heals, Warning, StepDone;
    /// No IdentityGrant lets this ServiceAccount of this namespace use this identity.
    NotGranted => CurableElsewhere, Warning, Else;
    /// It is the operator's own identity, or the namespace of its own ServiceAccount: never bound, whatever a grant says.
    Reserved => NeedsPerson, Warning, Else;
    /// The IdentityGrants that cover the binding allow no more credentials of this identity (`maxCredentialsPerIdentity`).
    GrantQuotaReached => CurableElsewhere, Warning, Else;
    /// No IdentityGrant covers the binding any more, and what azwib had made for it was taken away.
    Revoked => Heals, Warning, StepDone;
    /// The issuer is the one that the operator goes by. It is not verified: that is off, or nothing could be said yet when this was written.
    IssuerConfigured => Heals, Warning, StepDone;
    /// The key that signs the operator's own token is among those that the issuer publishes.
    IssuerVerified => Heals, Normal, StepDone;
    /// Microsoft Entra has taken the operator's own token: it verifies tokens of this issuer that are signed with the same key.
    ProvenBySignIn => Heals, Normal, StepDone;
    /// What the issuer publishes could not be looked at; nothing is known to be wrong, and nothing is stopped.
    IssuerUnreachable => Heals, Warning, StepDone;
    /// Microsoft Entra refuses the operator's own token for its issuer; the message has its words. It may refuse those of workloads for the same reason.
    IssuerRefused => Heals, Warning, StepDone;
    /// The cluster's tokens carry another issuer than the one that azwib goes by, as a fresh token has proven.
    IssuerMismatch => CurableElsewhere, Warning, Else;
    /// Tokens of the cluster's issuer provably cannot be verified by Microsoft Entra: no new credential is made. What is in place stays as it is.
    IssuerInvalid => CurableElsewhere, Warning, Else;
    /// The issuer does not publish the key that signs the cluster's tokens: no new credential is made. What is in place stays as it is.
    SigningKeysOutOfDate => CurableElsewhere, Warning, Else;
    /// It is not known which issuer the cluster's tokens carry; the message says why. Nothing is written meanwhile, and nothing is deleted.
    IssuerUnknown => CurableElsewhere, Warning, Else;
    /// The recorded credential was made for another issuer: by another cluster, or by this one before its issuer changed. It stays as it is.
    IssuerChanged => NeedsPerson, Warning, Else;
    /// Azure knows the managed identity, and its client id was read.
    Resolved => Heals, Warning, StepDone;
    /// No such identity can exist, or its name cannot be completed to a resource id.
    IdentityInvalid => NeedsPerson, Warning, Else;
    /// Azure knows no such managed identity, resource group or subscription.
    IdentityNotFound => CurableElsewhere, Warning, Else;
    /// The reference now resolves to another identity than the one that was recorded.
    IdentityChanged => NeedsPerson, Warning, Else;
    /// The operator has no permission for this call in Azure.
    AuthorizationFailed => CurableInAzure, Warning, AzureRefuses;
    /// The operator cannot sign in to Azure.
    AzureAuthenticationFailed => CurableInAzure, Warning, Else;
    /// Azure cannot be reached or does not answer sensibly.
    AzureUnavailable => Heals, Warning, Else;
    /// Azure asked the operator to slow down.
    Throttled => Heals, Warning, Else;
    /// The ServiceAccount exists and carries the annotations of this identity.
    Applied => Heals, Warning, StepDone;
    /// The ServiceAccount does not stay as this binding needs it: another binding, another field manager or an admission policy changes it.
    ServiceAccountConflict => CurableElsewhere, Warning, Else;
    /// More bindings name the ServiceAccount than azwib serves, and this one is not among the oldest.
    ServiceAccountLimitReached => CurableElsewhere, Warning, Else;
    /// The API server refused to write the ServiceAccount.
    ServiceAccountRefused => CurableElsewhere, Warning, ApiServerRefuses;
    /// The ServiceAccount is made once the credential works, as the binding asks.
    WaitingForCredential => Heals, Normal, Else;
    /// The namespace is being deleted: no ServiceAccount can be made in it.
    NamespaceTerminating => Heals, Warning, Else;
    /// The federated identity credential is in place.
    InPlace => Heals, Warning, StepDone;
    /// The federated identity credential is about to be written.
    Creating => Heals, Normal, Else;
    /// Another write on the same identity is under way; Azure takes one at a time.
    WaitingForTurn => Heals, Normal, Else;
    /// All federated identity credentials that one identity may have are taken.
    CredentialLimitReached => CurableElsewhere, Warning, Else;
    /// Another credential of the identity has the same issuer and subject.
    CredentialExists => CurableElsewhere, Warning, Else;
    /// An older binding has the same ServiceAccount and identity, and it asks for something else or is not Ready.
    DuplicateBinding => CurableElsewhere, Warning, Else;
    /// The region of the managed identity does not support federated identity credentials.
    RegionNotSupported => NeedsPerson, Warning, AzureRefuses;
    /// An Azure Policy forbids the write.
    PolicyDenied => NeedsPerson, Warning, AzureRefuses;
    /// A lock on the identity, its group or its subscription forbids the write.
    ScopeLocked => NeedsPerson, Warning, AzureRefuses;
    /// Another operation in Azure is in the way, such as the deletion of the resource group.
    AzureConflict => CurableElsewhere, Warning, AzureRefuses;
    /// Azure refused the request for a reason of its own.
    RequestRefused => NeedsPerson, Warning, AzureRefuses;
}

impl Reason {
    /// Whether it says that a step is done or undone, which is never the reason of `Ready`.
    pub fn is_of_step_done(self) -> bool {
        self.says() == Says::StepDone
    }

    /// Whether Azure has refused the credential for a reason of its own: it is tried again, and holds up nobody meanwhile.
    pub fn is_refused_by_azure(self) -> bool {
        self.says() == Says::AzureRefuses
    }

    /// Whether its message has the API server's own words, which may hold a time or a port.
    pub fn quotes_api_server(self) -> bool {
        self.says() == Says::ApiServerRefuses
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_distinct_and_described() {
        let mut seen = std::collections::HashSet::new();
        for reason in Reason::ALL {
            assert!(seen.insert(reason.as_str()), "{reason} stands twice");
            assert!(
                reason.description().ends_with('.'),
                "{reason} lacks a sentence"
            );
        }
        assert_eq!(
            Reason::CredentialLimitReached.as_str(),
            "CredentialLimitReached"
        );
    }

    #[test]
    fn what_heals_by_itself_is_never_stalled() {
        for reason in [
            Reason::Pending,
            Reason::Creating,
            Reason::WaitingForTurn,
            Reason::Throttled,
            Reason::Propagating,
            Reason::AzureUnavailable,
            Reason::NamespaceTerminating,
            Reason::WaitingForCredential,
            Reason::Suspended,
        ] {
            assert_eq!(reason.persistence(), Persistence::Heals, "{reason}");
        }
    }
}
