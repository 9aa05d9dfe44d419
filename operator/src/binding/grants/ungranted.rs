//! The memory of bindings without a grant.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::lock::lock;

/// What this process knows of bindings without a grant, by UID. Whoever can write a status cannot change that.
#[derive(Debug, Default)]
pub struct Ungranted(Mutex<HashMap<String, Known>>);

#[derive(Debug, Clone, Copy)]
struct Known {
    /// Since when it is seen so.
    since: Instant,
    /// What was made for it was taken away since.
    is_stripped: bool,
}

impl Ungranted {
    /// Since when this one is seen so: since now, where it was not before.
    pub fn since(&self, uid: &str) -> Instant {
        let mut seen = self.seen();
        let known = seen.entry(uid.to_owned()).or_insert_with(|| Known {
            since: Instant::now(),
            is_stripped: false,
        });
        known.since
    }

    /// What was made for this one was taken away.
    pub fn stripped(&self, uid: &str) {
        if let Some(known) = self.seen().get_mut(uid) {
            known.is_stripped = true;
        }
    }

    /// Whether it was.
    pub fn is_stripped(&self, uid: &str) -> bool {
        self.seen().get(uid).is_some_and(|it| it.is_stripped)
    }

    /// How long this one is seen so, if it is.
    pub fn stood(&self, uid: &str) -> Option<Duration> {
        self.seen().get(uid).map(|it| it.since.elapsed())
    }

    /// It has a grant, or is gone.
    pub fn forget(&self, uid: &str) {
        self.seen().remove(uid);
    }

    /// Forgets all bindings but these.
    pub fn retain(&self, uids: &HashSet<String>) {
        self.seen().retain(|uid, _| uids.contains(uid));
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        lock(&self.0)
    }
}
