//! The status contract over every version of every binding that was seen, as kstatus (cli-utils `pkg/kstatus/status`)
//! and those who build on it read a status.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Deserialize;
use serde_json::Value;

use crate::environment::recorder::SeenBinding;

/// What the CRD sets until the operator writes: no status of the operator's yet.
const NEVER_WRITTEN: i64 = -1;

/// The steps, with the reasons that each may have; the first is one of True.
///
/// Written down here a second time: a reason that the operator gets without anybody's decision is to fail.
const STEPS: [(&str, &[&str]); 5] = [
    (
        "Granted",
        &[
            "Granted",
            "GrantsNotRequired",
            "WouldBeRefused",
            "NotGranted",
            "Reserved",
            "GrantQuotaReached",
            "Pending",
        ],
    ),
    (
        "IssuerReady",
        &[
            "IssuerConfigured",
            "IssuerVerified",
            "ProvenBySignIn",
            "IssuerUnreachable",
            "IssuerRefused",
            "IssuerUnknown",
            "IssuerMismatch",
            "IssuerInvalid",
            "SigningKeysOutOfDate",
            "IssuerChanged",
            "Pending",
        ],
    ),
    (
        "IdentityResolved",
        &[
            "Resolved",
            "IdentityInvalid",
            "IdentityNotFound",
            "IdentityChanged",
            "AuthorizationFailed",
            "AzureAuthenticationFailed",
            "AzureUnavailable",
            "Throttled",
            "Pending",
        ],
    ),
    (
        "ServiceAccountReady",
        &[
            "Applied",
            "ServiceAccountConflict",
            "ServiceAccountRefused",
            "ServiceAccountLimitReached",
            "ReadOnly",
            "WaitingForCredential",
            "NamespaceTerminating",
            "CleanedUp",
            "Revoked",
            "Pending",
        ],
    ),
    (
        "CredentialReady",
        &[
            "InPlace",
            PROVIDED,
            "Creating",
            "ReadOnly",
            "WaitingForTurn",
            "Throttled",
            "CredentialLimitReached",
            "CredentialExists",
            "DuplicateBinding",
            "AuthorizationFailed",
            "AzureAuthenticationFailed",
            "AzureUnavailable",
            "RegionNotSupported",
            "PolicyDenied",
            "ScopeLocked",
            "AzureConflict",
            "RequestRefused",
            "CleanedUp",
            "Revoked",
            "Pending",
        ],
    ),
];

/// Further reasons of a step that is True.
const ALSO_TRUE: [&str; 7] = [
    PROVIDED,
    "GrantsNotRequired",
    "WouldBeRefused",
    "IssuerVerified",
    "ProvenBySignIn",
    "IssuerUnreachable",
    "IssuerRefused",
];

/// Reasons of Ready where it is True.
const OF_READY_TRUE: [&str; 2] = ["Succeeded", PROVIDED];

/// A step that is done by an older binding for the same, and so is Ready.
const PROVIDED: &str = "ProvidedByOlderBinding";

/// Reasons of Ready that belong to no step.
const OF_READY_ALONE: [&str; 6] = [
    "Succeeded",
    PROVIDED,
    "InvalidSpec",
    "Suspended",
    "Propagating",
    "BindingRefused",
];

/// Flux and Argo CD fail a sync at once on Stalled: what heals by itself never says it.
const NEVER_STALLED: [&str; 12] = [
    "ReadOnly",
    "CleanedUp",
    "Revoked",
    "Pending",
    "Creating",
    "WaitingForTurn",
    "Throttled",
    "Propagating",
    "Suspended",
    "AzureUnavailable",
    "WaitingForCredential",
    "NamespaceTerminating",
];

/// What of a status the contract is about. A binding that cannot be parsed may record its credentials in any shape.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenStatus {
    observed_generation: i64,
    #[serde(default)]
    credentials: Value,
    #[serde(default)]
    conditions: Vec<Condition>,
}

/// What kstatus makes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kstatus {
    Terminating,
    InProgress,
    Failed,
    Current,
}

/// kstatus' own rules, in its order. Its last rule is the trap: a status that says nothing is Current.
pub fn kstatus(seen: &SeenBinding, status: &SeenStatus) -> Kstatus {
    if seen.terminating {
        return Kstatus::Terminating;
    }
    if status.observed_generation != seen.generation {
        return Kstatus::InProgress;
    }
    for condition in &status.conditions {
        match (condition.type_.as_str(), condition.status.as_str()) {
            ("Reconciling", "True") => return Kstatus::InProgress,
            ("Stalled", "True") => return Kstatus::Failed,
            _ => {}
        }
    }
    match find(status, "Ready").map(|ready| ready.status.as_str()) {
        Some("False" | "Unknown") => Kstatus::InProgress,
        _ => Kstatus::Current,
    }
}

/// Every breach of the contract, in the order of the versions.
pub fn breaches(seen: &[SeenBinding]) -> Vec<String> {
    let mut observed: BTreeMap<&str, i64> = BTreeMap::new();
    let mut breaches = Vec::new();
    for version in seen {
        let place = format!("{}/{}", version.namespace, version.name);
        let mut breach =
            |what: String| breaches.push(format!("{place}: {what}: {}", version.status));
        let status: SeenStatus = match serde_json::from_value(version.status.clone()) {
            Ok(status) => status,
            Err(error) => {
                breach(format!("the status cannot be read: {error}"));
                continue;
            }
        };
        let before = observed
            .insert(&version.uid, status.observed_generation)
            .unwrap_or(NEVER_WRITTEN);
        if status.observed_generation < before {
            breach("observedGeneration goes back".to_owned());
        }
        if kstatus(version, &status) == Kstatus::Current && !is_done(version, &status) {
            breach("Current before the work is done".to_owned());
        }
        if status.observed_generation != NEVER_WRITTEN {
            of_written(version, &status)
                .into_iter()
                .for_each(&mut breach);
        }
    }
    breaches
}

/// Ready, every step behind it, and a credential that Azure has acknowledged.
fn is_done(seen: &SeenBinding, status: &SeenStatus) -> bool {
    let is_true = |type_| find(status, type_).is_some_and(|it| it.status == "True");
    is_true("Ready")
        && STEPS.iter().all(|(step, _)| is_true(step))
        && status.observed_generation == seen.generation
        && status
            .credentials
            .as_array()
            .is_some_and(|all| all.iter().any(|it| stands(&it["origin"])))
}

/// Whether a credential of this origin is there, made by us or by somebody else.
fn stands(origin: &Value) -> bool {
    origin == "Created" || origin == "Adopted"
}

fn of_written(seen: &SeenBinding, status: &SeenStatus) -> Vec<String> {
    let mut breaches = Vec::new();
    if status.observed_generation > seen.generation {
        breaches.push("observedGeneration is ahead of the generation".to_owned());
    }
    let mut types = BTreeSet::new();
    // The type of a condition of another writer has a prefix, as Kubernetes asks of them.
    let ours = status
        .conditions
        .iter()
        .filter(|it| !it.type_.contains('/'));
    for condition in ours {
        if !types.insert(condition.type_.as_str()) {
            breaches.push(format!("{} stands twice", condition.type_));
        }
        breaches.extend(of_condition(condition, status.observed_generation));
    }
    let ready = find(status, "Ready");
    // Of a binding that cannot be parsed nothing is known but that.
    let is_parsed = ready.is_none_or(|ready| ready.reason != "InvalidSpec");
    for (step, _) in STEPS {
        if is_parsed && !types.contains(step) {
            breaches.push(format!("{step} is missing"));
        }
    }
    match ready {
        None => breaches.push("Ready is missing".to_owned()),
        Some(ready) => breaches.extend(of_verdict(ready, status)),
    }
    breaches
}

/// Ready and the conditions that stand only while true.
fn of_verdict(ready: &Condition, status: &SeenStatus) -> Vec<String> {
    let mut breaches = Vec::new();
    let (reconciling, stalled) = (find(status, "Reconciling"), find(status, "Stalled"));
    match (ready.status.as_str(), reconciling, stalled) {
        (_, Some(_), Some(_)) => breaches.push("Reconciling and Stalled at once".to_owned()),
        ("True", None, None) => {}
        ("True", ..) => breaches.push("Ready, and yet Reconciling or Stalled".to_owned()),
        // Neither under way nor in need of anybody: it stands still as it was asked to.
        (_, None, None) if ready.reason == "Suspended" => {}
        (_, None, None) => breaches.push("neither Ready, Reconciling nor Stalled".to_owned()),
        _ => {}
    }
    for abnormal in [reconciling, stalled].into_iter().flatten() {
        let type_ = &abnormal.type_;
        if abnormal.status != "True" {
            breaches.push(format!("{type_} stands without being true"));
        }
        if abnormal.reason != ready.reason {
            breaches.push(format!("{type_} has another reason than Ready"));
        }
    }
    if ready.reason == "Suspended" && (reconciling.is_some() || stalled.is_some()) {
        breaches.push("Suspended, and yet Reconciling or Stalled".to_owned());
    }
    if stalled.is_some_and(|stalled| NEVER_STALLED.contains(&stalled.reason.as_str())) {
        breaches.push(format!("Stalled for {}", ready.reason));
    }
    if ready.status == "True" && !OF_READY_TRUE.contains(&ready.reason.as_str()) {
        breaches.push(format!("Ready for {}", ready.reason));
    }
    breaches
}

fn of_condition(condition: &Condition, observed_generation: i64) -> Vec<String> {
    let mut breaches = Vec::new();
    let type_ = condition.type_.as_str();
    let reason = condition.reason.as_str();
    if condition.observed_generation != Some(observed_generation) {
        breaches.push(format!("{type_} does not carry the observed generation"));
    }
    if condition.message.is_empty() {
        breaches.push(format!("{type_} says nothing"));
    }
    let step = STEPS.iter().find(|(step, _)| *step == type_);
    let known = match (step, type_) {
        (Some((_, reasons)), _) => {
            let means_true = reasons.first() == Some(&reason) || ALSO_TRUE.contains(&reason);
            if means_true != (condition.status == "True") {
                breaches.push(format!("{type_}={} for {reason}", condition.status));
            }
            reasons.contains(&reason)
        }
        (None, "Ready" | "Reconciling" | "Stalled") => {
            let is_of_a_step = || {
                STEPS
                    .iter()
                    .any(|(_, reasons)| reasons[1..].contains(&reason))
            };
            OF_READY_ALONE.contains(&reason) || !ALSO_TRUE.contains(&reason) && is_of_a_step()
        }
        (None, _) => {
            breaches.push(format!("{type_} is no condition of a binding"));
            true
        }
    };
    if !known {
        breaches.push(format!("{reason} is no reason of {type_}"));
    }
    breaches
}

fn find<'a>(status: &'a SeenStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|it| it.type_ == type_)
}

#[cfg(test)]
mod tests;
