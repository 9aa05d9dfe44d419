//! Why a ServiceAccount does not carry what it should.

use super::contests::Contested;
use super::difference::Difference;
use crate::binding::calls;
use crate::binding::status::reason::Reason;
use crate::kubeutil::answers::{Answer, words};
use crate::kubeutil::backoff::Pace;

/// What the admission plugin OwnerReferencesPermissionEnforcement says, in `plugin/pkg/admission/gc/gc_admission.go` of Kubernetes.
const OWNERS_NEED_DELETE: &str = "cannot set an ownerRef on a resource you can't delete";

/// Why a ServiceAccount does not have the annotations, labels and owner references that it should have.
#[derive(Debug, thiserror::Error)]
pub enum ServiceAccountError {
    #[error(
        "the service account already names the client id {client_id} of the binding \"{binding}\": give this binding \
         the role Additional, use another service account, or delete one of the two bindings"
    )]
    NamesAnotherBinding { binding: String, client_id: String },
    #[error(
        "the service account's {field} belongs to another field manager ({message}): remove the annotation there, or \
         use another service account in a new binding"
    )]
    OwnedByManager { field: String, message: String },
    #[error(
        "the service account belongs to the binding \"{binding}\", which is suspended: {field} is left as it is, \
         without this binding's client id; resume that binding, delete it, or use another service account"
    )]
    Frozen { field: String, binding: String },
    #[error(
        "the service account was written, and came back changed: {}. An admission policy or webhook of this cluster changes \
         what azwib writes: exempt this account from it, or the field manager \"azwib\"", .0.told()
    )]
    Altered(Difference),
    #[error(
        "{} changes the service account again and again, beginning with {}: azwib puts it back every 15 seconds only, as long as that \
         goes on. Stop what changes it, or delete this binding",
        manager(.0.drift.by.as_deref()), .0.drift.field
    )]
    Contested(Contested),
    #[error(
        "the API server refused to write the service account: {0}; have the quota or the rule that it names changed"
    )]
    Refused(String),
    #[error(
        "the API server refused to change the owner references of the service account: {0}; as on OpenShift, this cluster asks for the \
         right to delete it: give the ClusterRole azwib-operator the verb delete on serviceaccounts (config/overlays/openshift, or \
         openshift: true in the values of the chart)"
    )]
    MayNotOwn(String),
    #[error("the namespace is being deleted, and no service account is made in it any more")]
    NamespaceTerminating,
    #[error(
        "the API server did not accept the service account: {}; it is tried again: if it stays so, repair the API server, or \
         the webhook that it names",
        words(.0)
    )]
    NotTaken(#[source] kube::Error),
}

impl ServiceAccountError {
    /// The reason that `ServiceAccountReady` shows; None when status stays as it is.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::NamesAnotherBinding { .. }
            | Self::OwnedByManager { .. }
            | Self::Frozen { .. }
            | Self::Altered(_)
            | Self::Contested(_) => Some(Reason::ServiceAccountConflict),
            Self::Refused(_) | Self::MayNotOwn(_) => Some(Reason::ServiceAccountRefused),
            Self::NamespaceTerminating => Some(Reason::NamespaceTerminating),
            // Somebody else was faster.
            Self::NotTaken(_) if self.answer() == Some(Answer::Race) => None,
            Self::NotTaken(_) => Some(Reason::ServiceAccountRefused),
        }
    }

    pub fn pace(&self) -> Pace {
        match self {
            Self::NotTaken(error) => calls::pace(error),
            Self::Contested(contested) => Pace::Until(contested.until),
            _ => Pace::WaitForArrival,
        }
    }

    /// What the API server answered, where that is what went wrong.
    pub fn answer(&self) -> Option<Answer> {
        match self {
            Self::NotTaken(error) => Some(Answer::of(error)),
            Self::Refused(_) | Self::MayNotOwn(_) => Some(Answer::Refused),
            _ => None,
        }
    }

    pub(super) fn of(error: kube::Error) -> Self {
        match Answer::of(&error) {
            // The namespace is gone where the account is not found.
            Answer::NamespaceTerminating | Answer::Gone => Self::NamespaceTerminating,
            Answer::Refused => match words(&error) {
                said if said.contains(OWNERS_NEED_DELETE) => Self::MayNotOwn(said),
                said => Self::Refused(said),
            },
            Answer::Race | Answer::Undecided | Answer::Lost => Self::NotTaken(error),
        }
    }
}

/// Who it is that changes an account, as a message begins with it.
fn manager(by: Option<&str>) -> String {
    by.map_or_else(
        || "somebody".to_owned(),
        |manager| format!("the field manager \"{manager}\""),
    )
}
