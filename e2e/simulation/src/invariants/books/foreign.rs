//! What is remembered of statuses that the operator did not write.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use serde_json::Value;

/// How long a process that has begun takes to see what there is.
pub(crate) const BEGINS: i64 = 30;

/// How long a write may be under way whose record somebody has overwritten.
const UNDER_WAY: i64 = 150;

/// What is remembered of statuses that others have written, by UID.
#[derive(Debug, Default)]
pub(crate) struct Foreign {
    /// When, and at which version of the cluster, somebody has last done so.
    pub(crate) put: BTreeMap<String, (Timestamp, u64)>,
    /// Those whose status has recorded their own credential since, as the operator says.
    pub(crate) mended: BTreeSet<String>,
    /// Those whose status has ever recorded their own credential. What a suspended one records in its deletion does not count.
    pub(crate) recorded: BTreeSet<String>,
    /// The last look at a binding, by namespace and name.
    pub(crate) looks: BTreeMap<(String, String), Timestamp>,
    /// When the operator has written a status after one of somebody else's, in the last minute, by UID.
    pub(crate) answered: BTreeMap<String, VecDeque<Timestamp>>,
    /// When the operator has last written a status, by UID.
    pub(crate) written: BTreeMap<String, Timestamp>,
    /// The statuses of Ready bindings over which somebody has put another one since this process has written them, by UID.
    pub(crate) over: BTreeMap<String, Value>,
    /// When the last process began, and when one last died.
    pub(crate) began: Option<Timestamp>,
    pub(crate) died: Option<Timestamp>,
}

impl Foreign {
    pub(crate) fn looked(&mut self, namespace: &str, name: &str, now: Timestamp) {
        let binding = (namespace.to_owned(), name.to_owned());
        self.looks.insert(binding, now);
    }

    /// Whether the process that runs now has begun well before then.
    pub(crate) fn runs_since(&self, since: Timestamp) -> bool {
        let begins = jiff::SignedDuration::from_secs(BEGINS);
        let began = self.began.is_some_and(|began| began + begins < since);
        began && self.died.is_none_or(|died| Some(died) < self.began)
    }

    pub(crate) fn process_began(&mut self, now: Timestamp) {
        self.began = Some(now);
        self.answered.clear();
        self.over.clear();
    }

    pub(crate) fn process_died(&mut self, now: Timestamp) {
        self.died = Some(now);
    }

    /// Notes that somebody puts another status over this one, which the operator has written.
    pub(crate) fn put_over(&mut self, uid: &str, status: &Value) {
        let written = self.written.get(uid).copied();
        if written >= self.began && self.died.is_none_or(|died| Some(died) < self.began) {
            self.over.insert(uid.to_owned(), status.clone());
        }
    }

    /// The version at which somebody has written a status whose record has not come back since.
    pub(crate) fn lost_at(&self, uid: &str) -> Option<u64> {
        let (_, version) = self.put.get(uid)?;
        (!self.mended.contains(uid)).then_some(*version)
    }

    /// Whether somebody else has ever written its status.
    pub(crate) fn is_touched(&self, uid: &str) -> bool {
        self.put.contains_key(uid)
    }

    /// Whether somebody has written its status while a write for it may be under way.
    pub(crate) fn is_recent(&self, uid: &str, now: Timestamp) -> bool {
        self.put
            .get(uid)
            .is_some_and(|(at, _)| now.duration_since(*at).as_secs() < UNDER_WAY)
    }

    /// How many statuses the operator has written within a minute, now that it has written one more, to a binding whose
    /// status somebody else writes.
    pub(crate) fn answered(&mut self, uid: &str, now: Timestamp) -> usize {
        if !self.is_recent(uid, now) {
            self.answered.remove(uid);
            return 0;
        }
        let answers = self.answered.entry(uid.to_owned()).or_default();
        answers.push_back(now);
        answers.retain(|at| now.duration_since(*at).as_secs() < 60);
        answers.len()
    }

    pub(crate) fn has_recorded(&self, uid: &str) -> bool {
        self.recorded.contains(uid)
    }
}
