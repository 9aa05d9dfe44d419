//! Reasons that a binding's status shows, each brought about as it comes about in the field, with its message.
//!
//! That each reason of the reference was seen by some test is checked once all are through (`after_all`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod credential_refused;
mod on_the_way;
mod refusals;
mod service_account;

use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::{Namespace, condition, observed};

/// Waits until Ready is not true for this reason, and checks that the step and the condition that goes with it (`Stalled`
/// or `Reconciling`) say the same.
async fn says(
    shop: &Namespace<'_>,
    step: &str,
    reason: &str,
    with: &str,
    message: &str,
) -> anyhow::Result<WorkloadIdentityBinding> {
    let says_so = |binding: &WorkloadIdentityBinding| {
        observed(binding)
            && condition(binding, "Ready")
                .is_some_and(|ready| ready.reason == reason && ready.message == message)
    };
    let binding = shop
        .until("orders", &format!("{reason}: {message}"), says_so)
        .await?;
    for (type_, status) in [("Ready", "False"), (step, "False"), (with, "True")] {
        let found = condition(&binding, type_).unwrap_or_else(|| panic!("no condition {type_}"));
        assert_eq!(
            (found.status.as_str(), found.reason.as_str()),
            (status, reason)
        );
        assert_eq!(found.message, message, "{type_}");
    }
    Ok(binding)
}
