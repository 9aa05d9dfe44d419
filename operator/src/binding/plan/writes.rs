//! What a plan would write, in words: for an operator that only looks. Pure.

use azwib_crds::ServiceAccountRole;

use super::{AccountStep, CredentialStep, Plan};
use crate::binding::validate::Desired;

/// What would be written, after "would"; None where all is in place, or nothing can be written.
pub struct Writes {
    pub account: Option<String>,
    pub credential: Option<String>,
}

impl Plan {
    /// What it would write that a pod would notice.
    pub fn writes(&self, desired: &Desired) -> Writes {
        let account = format!("{}/{}", desired.namespace, desired.service_account);
        let account = match &self.account {
            AccountStep::Apply(configuration, _) if configuration.uid.is_none() => {
                Some(format!("make the service account {account}"))
            }
            // The annotations are the default binding's.
            AccountStep::Apply(..) if desired.role == ServiceAccountRole::Additional => None,
            // Pods find what they need; what is left to do, the condition says.
            AccountStep::Apply(_, drift) if drift.annotations.is_empty() => None,
            AccountStep::Apply(_, drift) => {
                let annotations = drift.annotations.join(", ");
                Some(format!("give the service account {account} {annotations}"))
            }
            AccountStep::Wait => Some(format!(
                "make the service account {account} once its credential works"
            )),
            AccountStep::InPlace(_) | AccountStep::Stop(_) | AccountStep::GiveUp(..) => None,
        };
        let credential = matches!(self.credential, CredentialStep::Write).then(|| {
            let wanted = &desired.credential;
            format!(
                "write the federated identity credential {} (issuer {}, subject {}, audience {}) of {}",
                wanted.name, wanted.issuer, wanted.subject, wanted.audience, desired.identity
            )
        });
        Writes {
            account,
            credential,
        }
    }
}
