//! What the condition `Granted` says.

use azwib_crds::DeletionPolicy;

use super::ruling::Ruling;
use crate::binding::status::Finding;
use crate::binding::status::granted::covered_by;
use crate::binding::status::reason::{ConditionType, Reason};

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
            let message = format!("{}{but}", covered_by(by));
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
    use crate::binding::status::granted::named;

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
