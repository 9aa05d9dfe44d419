//! What the condition `Granted` says.

use azwib_crds::{DeletionPolicy, WorkloadIdentityBinding};

use super::ruling::Ruling;
use crate::binding::status::Finding;
use crate::binding::status::reason::{ConditionType, Reason};
use crate::kubeutil::conditions::find;

/// Before and after the name of a grant that covers a binding.
const BEFORE_NAME: &str = "the IdentityGrant \"";
const AFTER_NAME: &str = "\" covers it";

/// The grant that a binding's status names.
pub fn named(binding: &WorkloadIdentityBinding) -> Option<&str> {
    let conditions = &binding.status.as_ref()?.conditions;
    let granted = find(conditions, ConditionType::Granted.as_str())?;
    let rest = granted.message.strip_prefix(BEFORE_NAME)?;
    rest.split_once(AFTER_NAME).map(|(name, _)| name)
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

/// What is said of a binding with this ruling and this policy; `None` where nothing is known that is new.
pub fn finding(ruling: &Ruling, policy: DeletionPolicy) -> Option<Finding> {
    let (met, reason, message) = match ruling {
        Ruling::NotRequired => (
            true,
            Reason::GrantsNotRequired,
            "every binding is admitted (--grants=off)".to_owned(),
        ),
        Ruling::Granted { by, may_retain } => {
            let ignored = policy == DeletionPolicy::Retain && !may_retain;
            let but = if ignored {
                "; it does not allow deletionPolicy Retain (spec.allowRetain of the grant), so what was made is deleted with \
                 the binding"
            } else {
                ""
            };
            let message = format!("{BEFORE_NAME}{by}{AFTER_NAME}{but}");
            (true, Reason::Granted, message)
        }
        Ruling::WouldBeRefused(why) => (
            true,
            Reason::WouldBeRefused,
            format!("nothing is refused yet; with --grants=enforce: {why}"),
        ),
        Ruling::Refused(missing) => (false, Reason::NotGranted, missing.to_string()),
        Ruling::CannotTell(_) => return None,
        Ruling::Reserved(why) => (false, Reason::Reserved, why.to_string()),
    };
    Some(Finding {
        condition: ConditionType::Granted,
        met,
        reason,
        message,
        since: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::fixtures::binding;

    #[test]
    fn the_grant_that_is_named_is_found_again_in_what_was_said() {
        for may_retain in [true, false] {
            for policy in [DeletionPolicy::Delete, DeletionPolicy::Retain] {
                let by = "shop.orders-1".to_owned();
                let said = finding(&Ruling::Granted { by, may_retain }, policy).unwrap();
                let mut binding = binding("a", 1, "");
                let granted = serde_json::from_value(serde_json::json!({
                    "type": "Granted", "status": "True", "reason": "Granted", "message": said.message,
                    "lastTransitionTime": "2026-01-02T03:04:05Z",
                }));
                binding.status.as_mut().unwrap().conditions = vec![granted.unwrap()];
                assert_eq!(named(&binding), Some("shop.orders-1"));
            }
        }
    }
}
