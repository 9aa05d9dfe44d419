//! What the operator writes to the API server, as it is noted and judged.

use azwib_crds::WorkloadIdentityBinding;
use http::Method;
use serde_json::Value;

use super::newcomers;
use super::stays_ready::stays_ready;
use crate::costs;
use crate::costs::Concerns;
use crate::kubernetes::{Key, Kind, Refusal};
use crate::process::Process;
use crate::shared::Shared;
use crate::trace::lock;

/// Reasons of those who wait for somebody else.
const WAITING: [&str; 3] = [
    "CredentialLimitReached",
    "WaitingForTurn",
    "ServiceAccountConflict",
];

/// The operator has written to the API server, or tried to.
pub fn kubernetes_call(
    process: &Process,
    method: &Method,
    key: &Key,
    status: bool,
    outcome: &Result<Value, Refusal>,
) {
    if *method == Method::GET {
        return;
    }
    let shared = &process.shared;
    lock(&shared.books).last_write = Some(shared.time.now());
    let what = match (key.kind, status) {
        (Kind::Account, _) => "account",
        (_, true) => "status",
        _ => "finalizer",
    };
    let object = match outcome {
        Ok(object) => object,
        Err(refusal) => return refused(shared, what, key, refusal),
    };
    costs::written(shared, key.kind, status, object);
    if status {
        status_written(shared, key, object);
    } else {
        let whose = format!("{}/{}", key.namespace, key.name);
        shared.trace.note(format!("kubernetes {what} of {whose}"));
    }
}

fn refused(shared: &Shared, what: &str, key: &Key, refusal: &Refusal) {
    let (namespace, name) = (key.namespace.clone(), key.name.clone());
    shared.count(format!("kubernetes {what} {}", refusal.code));
    shared.trace.note(format!(
        "kubernetes {what} of {namespace}/{name}: {}",
        refusal.message
    ));
    let concerns = match key.kind {
        Kind::Account => Concerns::Account(namespace, name),
        _ => Concerns::Binding(namespace, name),
    };
    costs::fault(shared, concerns);
}

fn status_written(shared: &Shared, key: &Key, object: &Value) {
    let whose = format!("{}/{}", key.namespace, key.name);
    let status = &object["status"];
    let ready = &status["conditions"][0];
    let origins: String = items(&status["credentials"])
        .map(|it| format!("{} ", text(&it["origin"])))
        .collect();
    shared.trace.note(format!(
        "kubernetes status of {whose}: Ready={} {}: {}; {origins}",
        text(&ready["status"]),
        text(&ready["reason"]),
        text(&ready["message"]),
    ));
    for condition in items(&status["conditions"]) {
        shared.count(format!("reason {}", text(&condition["reason"])));
    }
    if WAITING.contains(&text(&ready["reason"])) {
        lock(&shared.books).waited.insert(whose);
    }
    let uid = text(&object["metadata"]["uid"]);
    let before = lock(&shared.books)
        .statuses
        .insert(uid.to_owned(), status.clone());
    note_of_waiting(shared, uid, status);
    note_of_holding(shared, uid, before.as_ref(), status);
    let Ok(binding) = serde_json::from_value::<WorkloadIdentityBinding>(object.clone()) else {
        return;
    };
    super::statuses::written(shared, uid, &binding);
    let is_ready = |status: &Value| {
        items(&status["conditions"]).any(|it| it["type"] == "Ready" && it["status"] == "True")
    };
    // Where somebody else has written the status since, nothing is known of it.
    if before.as_ref().is_some_and(|before| !is_ready(before)) {
        newcomers::became_ready(shared, &binding);
    }
    if let Some(before) = before {
        stays_ready(shared, &before, &binding);
    }
}

/// Since when it waits for a slot.
fn note_of_waiting(shared: &Shared, uid: &str, status: &Value) {
    let waits = items(&status["conditions"])
        .any(|it| it["type"] == "CredentialReady" && it["reason"] == "CredentialLimitReached");
    let since = &mut lock(&shared.books).limit_since;
    if waits {
        let now = (shared.time.now(), shared.cluster.version());
        since.entry(uid.to_owned()).or_insert(now);
    } else {
        since.remove(uid);
    }
}

/// Whether it had a credential, and whether it is to have it again.
pub(super) fn note_of_holding(shared: &Shared, uid: &str, before: Option<&Value>, status: &Value) {
    let records = |origin| items(&status["credentials"]).any(|it| it["origin"] == origin);
    let first = |status: &Value| text(&status["credentials"][0]["origin"]).to_owned();
    let books = &mut lock(&shared.books);
    if records("Created") {
        books.holders.insert(uid.to_owned());
    } else if !records("Pending") {
        books.holders.remove(uid);
    }
    if first(status) != "Pending" {
        books.repaired.remove(uid);
    } else if before.is_some_and(|before| first(before) == "Created") {
        books.repaired.insert(uid.to_owned());
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
