//! A good binding stays Ready.

use std::collections::BTreeMap;

use azwib_crds::{CredentialAdoption, WorkloadIdentityBinding};
use jiff::Timestamp;
use serde_json::Value;

use super::books::Judge;
use super::grants::was_without;
use crate::bindings::{account, age, asks_for_the_same, condition, is_ready};
use crate::kubernetes::Kind;
use crate::names::{ISSUER, subject};
use crate::shared::Shared;
use crate::trace::lock;

/// A binding that was good stays Ready as long as its credential stands.
pub const STAYS_READY: &str = "good-stays-ready";
/// One that an older binding provides with what it asks for stays so too, and when that one goes.
pub const RENAME_KEEPS_READY: &str = "rename-keeps-ready";

/// What takes Ready away although the credential stands.
const OTHER_REASONS: [&str; 6] = [
    // The issuer of a run never changes: somebody else has written that into the status, and all that it says.
    "IssuerChanged",
    "ServiceAccountConflict",
    // Of those that came within a second the last by name is beyond the limit.
    "ServiceAccountLimitReached",
    "NamespaceTerminating",
    "ServiceAccountRefused",
    "BindingRefused",
];

/// Judges a status that was written after `before`, by this invariant or, for one that an older binding provides for, its own.
pub(super) fn stays_ready(
    judge: Judge<'_>,
    before: &Value,
    binding: &WorkloadIdentityBinding,
    invariant: &'static str,
) {
    let shared = judge.shared;
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
        || was_without(shared, binding)
        || was["observedGeneration"].as_i64() != generation
    {
        return;
    }
    let Some(now) = condition(binding, "Ready") else {
        return;
    };
    if OTHER_REASONS.contains(&now.reason.as_str())
        || now.reason == "DuplicateBinding"
            && has_other_or_unready_duplicate(shared, before, binding)
    {
        return;
    }
    // Whoever changes an account takes Ready away where nobody puts it back.
    if condition(binding, "ServiceAccountReady").is_some_and(|it| it.reason == "ReadOnly") {
        return;
    }
    let Some(identity) = binding.spec.identity.resource_id.as_deref() else {
        return;
    };
    let since = was["lastTransitionTime"]
        .as_str()
        .and_then(|it| it.parse::<Timestamp>().ok());
    let touched = judge.books().touched(identity);
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
        let invariant = if was["reason"] == "ProvidedByOlderBinding" {
            RENAME_KEEPS_READY
        } else {
            invariant
        };
        shared.violated(
            invariant,
            format!(
                "{namespace}/{:?} lost Ready for {}: {}",
                binding.metadata.name, now.reason, now.message
            ),
        );
    }
}

/// Whether at some time since this status an older binding of the account and identity asked for something else, or was not
/// Ready.
fn has_other_or_unready_duplicate(
    shared: &Shared,
    before: &Value,
    binding: &WorkloadIdentityBinding,
) -> bool {
    let (mut since, mut seen) = (0, BTreeMap::new());
    let mut found = false;
    for change in shared.cluster.changes(Kind::Binding, 0).0 {
        let is_of_before = change.object["status"] == *before;
        let Ok(other) = serde_json::from_value::<WorkloadIdentityBinding>(change.object) else {
            continue;
        };
        if other.metadata.uid == binding.metadata.uid {
            if is_of_before {
                since = change.version;
            }
            continue;
        }
        let is_older_duplicate = account(&other) == account(binding)
            && other.spec.identity == binding.spec.identity
            && age(&other) < age(binding);
        let provides = is_ready(&other) && asks_for_the_same(&other, binding);
        if is_older_duplicate {
            let name = other.metadata.uid.unwrap_or_default();
            seen.entry(name)
                .or_insert_with(Vec::new)
                .push((change.version, provides));
        }
    }
    for versions in seen.values() {
        let last_before = versions.iter().rev().find(|(version, _)| *version <= since);
        let mut later = versions.iter().filter(|(version, _)| *version > since);
        found |= last_before.is_some_and(|(_, provides)| !provides)
            || later.any(|(_, provides)| !provides);
    }
    found
}

/// Whether a credential of this name can be the binding's: its own, or one that it may adopt.
fn may_count(binding: &WorkloadIdentityBinding, name: &str) -> bool {
    name.starts_with("azwib-")
        || binding.spec.credential.adoption == CredentialAdoption::IfIdentical
}
