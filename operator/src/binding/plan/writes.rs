//! What a plan would write, in words: for an operator that only looks. Pure.

use azwib_crds::ServiceAccountRole;

use super::{AccountStep, CredentialStep, Plan};
use crate::binding::status::reason::ConditionType;
use crate::binding::validate::Desired;

impl Plan {
    /// What it would write: the step that tells of it, and what it would do. None where all is in place, or nothing can be written.
    pub fn writes(&self, desired: &Desired) -> Option<(ConditionType, String)> {
        let account = format!("{}/{}", desired.namespace, desired.service_account);
        let account = match &self.account {
            AccountStep::Apply(configuration, _) if configuration.uid.is_none() => {
                Some(format!("make the service account {account}"))
            }
            // Pods find what they need; what is left to do, the condition says.
            AccountStep::Apply(_, drift) if !drift.is_felt => None,
            // The annotations are the default binding's.
            AccountStep::Apply(..) if desired.role == ServiceAccountRole::Additional => None,
            AccountStep::Apply(configuration, _) => {
                let annotations = configuration.annotations.iter();
                let annotations: Vec<_> = annotations.map(|(k, v)| format!("{k}={v}")).collect();
                let annotations = annotations.join(", ");
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
        let step = match (&account, &credential) {
            (None, None) => return None,
            (Some(_), None) => ConditionType::ServiceAccountReady,
            (_, Some(_)) => ConditionType::CredentialReady,
        };
        let all: Vec<_> = account.into_iter().chain(credential).collect();
        Some((step, all.join(", and ")))
    }
}
