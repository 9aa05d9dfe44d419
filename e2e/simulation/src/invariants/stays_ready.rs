//! A good binding stays Ready.

use azwib_crds::{CredentialAdoption, WorkloadIdentityBinding};
use jiff::Timestamp;
use serde_json::Value;

use crate::bindings::{account, condition, is_ready};
use crate::setup::ISSUER;
use crate::shared::Shared;
use crate::trace::lock;
use crate::world::subject;

/// A binding that was good stays Ready as long as its credential stands.
pub const STAYS_READY: &str = "good-stays-ready";

/// What takes Ready away although the credential stands.
const OTHER_REASONS: [&str; 5] = [
    "ServiceAccountConflict",
    "NamespaceTerminating",
    "ServiceAccountRefused",
    "BindingRefused",
    "DuplicateBinding",
];

/// Judges a status that was written after `before`.
pub(super) fn stays_ready(shared: &Shared, before: &Value, binding: &WorkloadIdentityBinding) {
    let was = before["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|it| it["type"] == "Ready");
    let Some(was) = was.filter(|it| it["status"] == "True") else {
        return;
    };
    let generation = binding.metadata.generation;
    if is_ready(binding)
        || binding.metadata.deletion_timestamp.is_some()
        || was["observedGeneration"].as_i64() != generation
    {
        return;
    }
    let Some(now) = condition(binding, "Ready") else {
        return;
    };
    if OTHER_REASONS.contains(&now.reason.as_str()) {
        return;
    }
    let Some(identity) = binding.spec.identity.resource_id.as_deref() else {
        return;
    };
    let since = was["lastTransitionTime"]
        .as_str()
        .and_then(|it| it.parse::<Timestamp>().ok());
    let touched = lock(&shared.books).touched(identity);
    if touched.is_some_and(|touched| {
        since.is_none_or(|since| touched + jiff::SignedDuration::from_secs(30) >= since)
    }) {
        return;
    }
    let (namespace, account) = account(binding);
    let stands = lock(&shared.azure).identity(identity).is_some_and(|it| {
        it.credentials.values().any(|credential| {
            may_count(binding, &credential.name)
                && credential.issuer == ISSUER
                && credential.subject.as_deref() == Some(&subject(namespace, account))
                && credential.audiences == [binding.spec.credential.audience.clone()]
        })
    });
    if stands {
        shared.violated(
            STAYS_READY,
            format!(
                "{namespace}/{:?} lost Ready for {}: {}",
                binding.metadata.name, now.reason, now.message
            ),
        );
    }
}

/// Whether a credential of this name can be the binding's: its own, or one that it may adopt.
fn may_count(binding: &WorkloadIdentityBinding, name: &str) -> bool {
    name.starts_with("azwib-")
        || binding.spec.credential.adoption == CredentialAdoption::IfIdentical
}
