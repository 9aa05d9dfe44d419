//! What the condition `Granted` that is stored says. Nothing is allowed for it.

use azwib_crds::WorkloadIdentityBinding;

use super::reason::{ConditionType, Reason};
use crate::kubeutil::conditions::{find, is_true};

/// Before and after the name of a grant that covers a binding.
const BEFORE_NAME: &str = "the IdentityGrant \"";
const AFTER_NAME: &str = "\" covers it";

/// That the grant of this name covers a binding, in words in which [`named`] finds it again.
pub fn covered_by(grant: &str) -> String {
    format!("{BEFORE_NAME}{grant}{AFTER_NAME}")
}

/// The grant that a binding's status names.
pub fn named(binding: &WorkloadIdentityBinding) -> Option<&str> {
    let conditions = &binding.status.as_ref()?.conditions;
    let granted = find(conditions, ConditionType::Granted.as_str())?;
    let rest = granted.message.strip_prefix(BEFORE_NAME)?;
    rest.split_once(AFTER_NAME).map(|(name, _)| name)
}

/// Whether status says that the binding is granted.
pub fn says_granted(binding: &WorkloadIdentityBinding) -> bool {
    let status = binding.status.as_ref();
    status.is_some_and(|it| is_true(&it.conditions, ConditionType::Granted.as_str()))
}

/// Whether status says that the binding has something that it was given without a grant.
pub fn is_admitted_without_grant(binding: &WorkloadIdentityBinding) -> bool {
    let Some(status) = &binding.status else {
        return false;
    };
    let granted = find(&status.conditions, ConditionType::Granted.as_str());
    let reason = granted.and_then(|it| Reason::named(&it.reason));
    let without = matches!(
        reason,
        Some(Reason::GrantsNotRequired | Reason::WouldBeRefused)
    );
    without && !status.credentials.is_empty()
}
