//! What the operator writes to the API server, as it is noted and judged.

use azwib_crds::WorkloadIdentityBinding;
use http::Method;
use serde_json::Value;

use super::books::Judge;
use super::stays_ready::{STAYS_READY, stays_ready};
use super::{accounts, newcomers, statuses};
use crate::kubernetes::{Call, Key, Kind, Refusal};
use crate::shared::Shared;

/// The operator has written to the API server, or tried to.
pub(super) fn called(judge: Judge<'_>, call: &Call<'_>) {
    let Call {
        method,
        key,
        is_status,
        outcome,
    } = *call;
    if *method == Method::GET {
        return;
    }
    let shared = judge.shared;
    judge.books().last_write = Some(shared.time.now());
    let what = match (key.kind, is_status) {
        (Kind::Account, _) => "account",
        (_, true) => "status",
        _ => "finalizer",
    };
    let object = match outcome {
        Ok(object) => object,
        Err(refusal) => return refused(shared, what, key, refusal),
    };
    if key.kind == Kind::Grant {
        return;
    }
    if is_status {
        status_written(judge, key, object);
    } else {
        let whose = format!("{}/{}", key.namespace, key.name);
        shared.trace.note(format!("kubernetes {what} of {whose}"));
    }
}

fn refused(shared: &Shared, what: &str, key: &Key, refusal: &Refusal) {
    let Key {
        namespace, name, ..
    } = key;
    shared.count(format!("kubernetes {what} {}", refusal.code));
    shared.trace.note(format!(
        "kubernetes {what} of {namespace}/{name}: {}",
        refusal.message
    ));
}

fn status_written(judge: Judge<'_>, key: &Key, object: &Value) {
    let shared = judge.shared;
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
    let uid = text(&object["metadata"]["uid"]);
    let before = judge
        .books()
        .statuses
        .insert(uid.to_owned(), status.clone());
    note_of_waiting(judge, uid, status);
    judge.books().note_of_holding(uid, before.as_ref(), status);
    let Ok(binding) = serde_json::from_value::<WorkloadIdentityBinding>(object.clone()) else {
        return;
    };
    statuses::written(judge, uid, &binding);
    accounts::status_written(judge, uid, &binding);
    let is_ready = |status: &Value| {
        items(&status["conditions"]).any(|it| it["type"] == "Ready" && it["status"] == "True")
    };
    // Where somebody else has written the status since, nothing is known of it.
    if before.as_ref().is_some_and(|before| !is_ready(before)) {
        newcomers::became_ready(judge, &binding);
    }
    if let Some(before) = before {
        stays_ready(judge, &before, &binding, STAYS_READY);
    }
}

/// Since when it waits for a slot, and for nothing else: whom Azure refuses a read meanwhile, and who is back a moment ago, holds up
/// nobody who was served on what was known before.
fn note_of_waiting(judge: Judge<'_>, uid: &str, status: &Value) {
    let shared = judge.shared;
    let says_limit = |type_: &str| {
        let mut conditions = items(&status["conditions"]);
        conditions.any(|it| it["type"] == type_ && it["reason"] == "CredentialLimitReached")
    };
    // Who only looks says that there is no slot before it has made the account, and stands in no line.
    let has_account = items(&status["conditions"]).any(|it| {
        it["type"] == "ServiceAccountReady"
            && (it["status"] == "True" || it["reason"] == "WaitingForCredential")
    });
    let waits = has_account && says_limit("CredentialReady") && says_limit("Ready");
    let since = &mut judge.books().limit_since;
    if waits {
        let now = (shared.time.now(), shared.cluster.version());
        since.entry(uid.to_owned()).or_insert(now);
    } else {
        since.remove(uid);
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
