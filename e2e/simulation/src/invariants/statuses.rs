//! A status that somebody else has written is looked at at once, and what it hides is not lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use azwib_crds::WorkloadIdentityBinding;
use jiff::Timestamp;
use serde_json::Value;

use super::accounts::FIGHTS_SLOW_DOWN;
use super::kubernetes::note_of_holding;
use crate::bindings::records_own;
use crate::kubernetes::Key;
use crate::shared::Shared;
use crate::trace::lock;

/// A status that the operator did not write is looked at at once.
pub const FOREIGN_SEEN: &str = "a-foreign-status-is-looked-at";

/// How long a pass may have to wait for others; any resync comes later.
const AT_ONCE: Duration = Duration::from_secs(180);

/// How long a process that has begun takes to see what there is.
const BEGINS: i64 = 30;

/// A look at a status of somebody else may take two writes, one look goes every quarter of a minute, and five more at once. What
/// a process knows of the one before it is nothing: each counts for itself.
const WRITES_A_MINUTE: usize = 20;

/// How long a write may be under way whose record somebody has overwritten.
const UNDER_WAY: i64 = 150;

/// What is remembered of statuses that others have written, by UID.
#[derive(Debug, Default)]
pub struct Foreign {
    /// When, and at which version of the cluster, somebody has last done so.
    put: BTreeMap<String, (Timestamp, u64)>,
    /// Those whose status has recorded their own credential since, as the operator says.
    mended: BTreeSet<String>,
    /// Those whose status has ever recorded their own credential.
    recorded: BTreeSet<String>,
    /// The last look at a binding, by namespace and name.
    looks: BTreeMap<(String, String), Timestamp>,
    /// When the operator has written a status after one of somebody else's, in the last minute, by UID.
    answered: BTreeMap<String, VecDeque<Timestamp>>,
    /// When the last process began, and when one last died.
    began: Option<Timestamp>,
    died: Option<Timestamp>,
}

impl Foreign {
    pub fn looked(&mut self, namespace: &str, name: &str, now: Timestamp) {
        let binding = (namespace.to_owned(), name.to_owned());
        self.looks.insert(binding, now);
    }

    /// Whether the process that runs now has begun well before then.
    pub(super) fn runs_since(&self, since: Timestamp) -> bool {
        let begins = jiff::SignedDuration::from_secs(BEGINS);
        let began = self.began.is_some_and(|began| began + begins < since);
        began && self.died.is_none_or(|died| Some(died) < self.began)
    }

    pub fn process_began(&mut self, now: Timestamp) {
        self.began = Some(now);
        self.answered.clear();
    }

    pub fn process_died(&mut self, now: Timestamp) {
        self.died = Some(now);
    }

    /// The version at which somebody has written a status whose record has not come back since.
    pub fn lost_at(&self, uid: &str) -> Option<u64> {
        let (_, version) = self.put.get(uid)?;
        (!self.mended.contains(uid)).then_some(*version)
    }

    /// Whether somebody else has ever written its status.
    pub fn is_touched(&self, uid: &str) -> bool {
        self.put.contains_key(uid)
    }

    /// Whether somebody has written its status while a write for it may be under way.
    pub fn is_recent(&self, uid: &str, now: Timestamp) -> bool {
        self.put
            .get(uid)
            .is_some_and(|(at, _)| now.duration_since(*at).as_secs() < UNDER_WAY)
    }

    /// How many statuses the operator has written within a minute, now that it has written one more, to a binding whose
    /// status somebody else writes.
    fn answered(&mut self, uid: &str, now: Timestamp) -> usize {
        if !self.is_recent(uid, now) {
            self.answered.remove(uid);
            return 0;
        }
        let answers = self.answered.entry(uid.to_owned()).or_default();
        answers.push_back(now);
        answers.retain(|at| now.duration_since(*at).as_secs() < 60);
        answers.len()
    }

    pub fn has_recorded(&self, uid: &str) -> bool {
        self.recorded.contains(uid)
    }
}

fn uid(object: &Value) -> String {
    let uid = object["metadata"]["uid"].as_str();
    uid.unwrap_or_default().to_owned()
}

/// The operator has written this status.
pub(super) fn written(shared: &Shared, uid: &str, binding: &WorkloadIdentityBinding) {
    let now = shared.time.now();
    let answers = lock(&shared.books).foreign.answered(uid, now);
    if answers > WRITES_A_MINUTE {
        let what = format!("{uid} has {answers} statuses in a minute against somebody else's");
        shared.violated(FIGHTS_SLOW_DOWN, what);
    }
    if records_own(binding) {
        let foreign = &mut lock(&shared.books).foreign;
        foreign.mended.insert(uid.to_owned());
        foreign.recorded.insert(uid.to_owned());
    }
}

/// Somebody has put another status over that of a binding.
pub fn put(shared: &Arc<Shared>, key: &Key, before: &Value, status: &Value) {
    let (uid, now) = (uid(before), shared.time.now());
    let version = shared.cluster.version();
    note_of_holding(shared, &uid, Some(&before["status"]), status);
    {
        let books = &mut lock(&shared.books);
        books.statuses.remove(&uid);
        books.forget_waiting(&uid);
        books.foreign.mended.remove(&uid);
        books.foreign.put.insert(uid.clone(), (now, version));
        books.costs.status_put(&uid, version);
    }
    tokio::spawn(is_looked_at(Arc::clone(shared), key.clone(), uid, now));
}

/// Somebody has changed the times in a status, and nothing else.
pub fn times_put(shared: &Shared, object: &Value) {
    let version = shared.cluster.version();
    lock(&shared.books).costs.status_put(&uid(object), version);
}

/// Somebody has made a binding that comes with a status.
pub fn restored(shared: &Shared, object: &Value) {
    let uid = uid(object);
    note_of_holding(shared, &uid, None, &object["status"]);
    let (now, version) = (shared.time.now(), shared.cluster.version());
    let books = &mut lock(&shared.books);
    books.foreign.put.insert(uid.clone(), (now, version));
    books.costs.status_put(&uid, version);
}

async fn is_looked_at(shared: Arc<Shared>, key: Key, uid: String, put: Timestamp) {
    tokio::time::sleep(AT_ONCE).await;
    let found = shared.cluster.binding(&key.namespace, &key.name);
    let is_there = found.is_some_and(|it| it.metadata.uid.as_deref() == Some(&uid));
    let (name, books) = ((key.namespace, key.name), lock(&shared.books));
    let foreign = &books.foreign;
    let was_running = foreign
        .began
        .is_some_and(|began| put.duration_since(began).as_secs() > BEGINS)
        && foreign.died.is_none_or(|died| died < put);
    let may_have_stalled = shared.stalled_until().is_some();
    let is_looked_at = foreign.looks.get(&name).is_some_and(|look| *look >= put);
    drop(books);
    if is_there && was_running && !may_have_stalled && !is_looked_at {
        let what = format!("{}/{}", name.0, name.1);
        shared.violated(FOREIGN_SEEN, what);
    }
}
