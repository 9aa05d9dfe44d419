//! A status that somebody else has written is looked at at once, and what it hides is not lost.

use std::sync::Arc;
use std::time::Duration;

use azwib_crds::WorkloadIdentityBinding;
use jiff::Timestamp;
use serde_json::Value;

use super::accounts::FIGHTS_SLOW_DOWN;
use super::books::{BEGINS, Books, Judge};
use super::stays_ready::stays_ready;
use crate::bindings::records_own;
use crate::kubernetes::Key;
use crate::shared::Shared;

/// A status that the operator did not write is looked at at once.
pub const FOREIGN_SEEN: &str = "a-foreign-status-is-looked-at";

/// A status that somebody else has put over that of a good binding takes no Ready away.
pub const FOREIGN_PROVES_NOTHING: &str = "a-foreign-status-takes-no-ready";

/// How long a pass may have to wait for others; any resync comes later.
const AT_ONCE: Duration = Duration::from_secs(180);

/// A look at a status of somebody else may take two writes, one look goes every quarter of a minute, and five more at once. What
/// a process knows of the one before it is nothing: each counts for itself.
const WRITES_A_MINUTE: usize = 20;

fn uid(object: &Value) -> String {
    let uid = object["metadata"]["uid"].as_str();
    uid.unwrap_or_default().to_owned()
}

/// The operator has written this status.
pub(super) fn written(judge: Judge<'_>, uid: &str, binding: &WorkloadIdentityBinding) {
    let shared = judge.shared;
    let now = shared.time.now();
    let answers = judge.books().foreign.answered(uid, now);
    judge.books().foreign.written.insert(uid.to_owned(), now);
    let over = judge.books().foreign.over.remove(uid);
    if let Some(before) = over {
        stays_ready(judge, &before, binding, FOREIGN_PROVES_NOTHING);
    }
    if answers > WRITES_A_MINUTE {
        let what = format!("{uid} has {answers} statuses in a minute against somebody else's");
        shared.violated(FIGHTS_SLOW_DOWN, what);
    }
    if records_own(binding) {
        let foreign = &mut judge.books().foreign;
        foreign.mended.insert(uid.to_owned());
        // What is recorded only to be deleted may be what another has left. One that was not suspended may have read its identity,
        // which makes that its own, and have got no status until then.
        if binding.metadata.deletion_timestamp.is_none() || !binding.spec.suspend {
            foreign.recorded.insert(uid.to_owned());
        }
    }
}

/// Somebody has put another status over that of a binding.
pub(super) fn put(books: &Books, shared: &Arc<Shared>, key: &Key, before: &Value, status: &Value) {
    let (uid, now) = (uid(before), shared.time.now());
    let version = shared.cluster.version();
    {
        let pages = &mut books.open();
        pages.note_of_holding(&uid, Some(&before["status"]), status);
        if pages.statuses.remove(&uid).as_ref() == Some(&before["status"]) {
            pages.foreign.put_over(&uid, &before["status"]);
        }
        pages.forget_waiting(&uid);
        pages.foreign.mended.remove(&uid);
        pages.foreign.put.insert(uid.clone(), (now, version));
    }
    let looked_at = is_looked_at(books.clone(), Arc::clone(shared), key.clone(), uid, now);
    tokio::spawn(looked_at);
}

/// Somebody has made a binding that comes with a status.
pub(super) fn restored(judge: Judge<'_>, object: &Value) {
    let shared = judge.shared;
    let uid = uid(object);
    let put = (shared.time.now(), shared.cluster.version());
    let pages = &mut judge.books();
    pages.note_of_holding(&uid, None, &object["status"]);
    pages.foreign.put.insert(uid, put);
}

async fn is_looked_at(books: Books, shared: Arc<Shared>, key: Key, uid: String, put: Timestamp) {
    tokio::time::sleep(AT_ONCE).await;
    let found = shared.cluster.binding(&key.namespace, &key.name);
    let is_there = found.is_some_and(|it| it.metadata.uid.as_deref() == Some(&uid));
    let (name, pages) = ((key.namespace, key.name), books.open());
    let foreign = &pages.foreign;
    let was_running = foreign
        .began
        .is_some_and(|began| put.duration_since(began).as_secs() > BEGINS)
        && foreign.died.is_none_or(|died| died < put);
    let may_have_stalled = shared.stalled_until().is_some();
    let is_looked_at = foreign.looks.get(&name).is_some_and(|look| *look >= put);
    drop(pages);
    if is_there && was_running && !may_have_stalled && !is_looked_at {
        let what = format!("{}/{}", name.0, name.1);
        shared.violated(FOREIGN_SEEN, what);
    }
}
