//! All that the invariants remember, in one place: many look at what others have noted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use serde_json::Value;

use super::foreign::Foreign;
use super::memory::{Accounts, Lease, Looks, Neighbours, Newcomers, Pauses};
use crate::kubernetes::Kind;

/// What the invariants remember.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    /// Which process has sent a request.
    pub(crate) sent_by: BTreeMap<u64, u32>,
    /// Until when a process may not ask for this on an identity.
    pub(crate) told_to_wait: BTreeMap<(u32, String, &'static str), Timestamp>,
    /// Requests whose token was refused.
    pub(crate) token_refused: BTreeSet<(u32, String, &'static str)>,
    /// The version that the last list of bindings of a process has shown, where that was an old one, and when.
    pub(crate) old_list: BTreeMap<u32, (u64, Timestamp)>,
    /// When somebody else has last changed something about an identity.
    pub(crate) touched: BTreeMap<String, Timestamp>,
    /// When somebody else has last written or removed a credential, by identity and name; all of an identity that is gone, without
    /// a name.
    pub(crate) touched_credentials: BTreeMap<(String, Option<String>), Timestamp>,
    /// When somebody else has last removed a credential, by identity and name.
    pub(crate) removed: BTreeMap<(String, String), Timestamp>,
    /// What a process has last seen of a credential is from this time, by process and name.
    pub(crate) seen: BTreeMap<(u32, String), Timestamp>,
    /// Whose record of a credential that stood was replaced by that of a write to put it back, by UID.
    pub(crate) repaired: BTreeSet<String>,
    /// On which identities somebody who had a credential before has got it again of late, and when.
    pub(crate) repairs_served: Vec<(String, Timestamp)>,
    /// Since when an identity has as many credentials as it may have.
    pub(crate) full_since: BTreeMap<String, Timestamp>,
    /// Since when a binding says that it waits for a slot, by UID.
    pub(crate) limit_since: BTreeMap<String, (Timestamp, u64)>,
    /// Bindings whose credential was in place, before what they last recorded for a write, by UID.
    pub(crate) with_credential: BTreeSet<String>,
    /// The status of a binding as last written.
    pub(crate) statuses: BTreeMap<String, Value>,
    /// When watches were opened last, by process.
    pub(crate) watches: BTreeMap<(u32, Kind), Vec<Timestamp>>,
    /// Which versions of grants and namespaces processes were shown, and when.
    pub(crate) shown: BTreeMap<(u32, Kind), Vec<(Timestamp, u64)>>,
    /// When processes have last written the status of each grant.
    pub(crate) told: BTreeMap<(u32, String), Timestamp>,
    /// When the operator has last written anything.
    pub(crate) last_write: Option<Timestamp>,
    /// When a write of a process to an identity was last refused because of another.
    pub(crate) collided: BTreeMap<(u32, String), Timestamp>,
    /// Pauses that are not believed to their end.
    pub(crate) pauses: Pauses,
    /// What was written to accounts.
    pub(crate) accounts: Accounts,
    /// The UIDs of bindings that have left their accounts, and when.
    pub(crate) orphaned: BTreeMap<String, Timestamp>,
    /// Statuses that somebody else has written.
    /// The number of who leads, or did last.
    pub(crate) leads: u32,
    pub(crate) lease: Lease,
    /// When a process has gone on that was stopped.
    pub(crate) went_on: BTreeMap<u32, Timestamp>,
    pub(crate) foreign: Foreign,
    /// How often bindings were looked at.
    pub(crate) looks: Looks,
    /// When a process has read an identity, in the last seconds.
    pub(crate) reads: BTreeMap<(u32, String), VecDeque<Timestamp>>,
    /// What bindings wait for and become Ready with.
    pub(crate) newcomers: Newcomers,
    /// What crowds take.
    pub(crate) neighbours: Neighbours,
}

impl Pages {
    pub(crate) fn touch(&mut self, identity: &str, now: Timestamp) {
        self.touched.insert(identity.to_ascii_lowercase(), now);
    }

    /// Somebody else writes or removes a credential, or an identity is gone with all that it had.
    pub(crate) fn touch_credential(&mut self, identity: &str, name: Option<&str>, now: Timestamp) {
        let key = (
            identity.to_ascii_lowercase(),
            name.map(str::to_ascii_lowercase),
        );
        self.touched_credentials.insert(key, now);
    }

    /// When somebody else has last done something to this credential, alone or with its identity.
    pub(crate) fn credential_touched(
        &self,
        identity: &str,
        name: Option<&str>,
    ) -> Option<Timestamp> {
        let identity = identity.to_ascii_lowercase();
        let of = |name: Option<&str>| {
            let key = (identity.clone(), name.map(str::to_ascii_lowercase));
            self.touched_credentials.get(&key).copied()
        };
        of(name).max(of(None))
    }

    /// Somebody else removes a credential.
    pub(crate) fn remove(&mut self, identity: &str, name: &str, now: Timestamp) {
        let key = |text: &str| text.to_ascii_lowercase();
        self.removed.insert((key(identity), key(name)), now);
    }

    pub(crate) fn removed(&self, identity: &str, name: &str) -> Option<Timestamp> {
        let key = |text: &str| text.to_ascii_lowercase();
        self.removed.get(&(key(identity), key(name))).copied()
    }

    /// Since when it waits is not told by its status any more.
    pub(crate) fn forget_waiting(&mut self, uid: &str) {
        self.limit_since.remove(uid);
    }

    /// Whether one process has run since then, and Azure has not wished for a pause in what it asks of this identity.
    pub(crate) fn is_left_to_itself(&self, identity: &str, since: Timestamp) -> bool {
        let identity = identity.to_ascii_lowercase();
        let told = self.told_to_wait.iter();
        let mut told = told.filter(|((_, of, operation), until)| {
            *operation == "GET" && same_subscription(of, &identity) && **until > since
        });
        told.next().is_none() && self.foreign.runs_since(since)
    }

    pub(crate) fn touched(&self, identity: &str) -> Option<Timestamp> {
        self.touched.get(&identity.to_ascii_lowercase()).copied()
    }

    /// Whether it had a credential, and whether it is to have it again.
    pub(crate) fn note_of_holding(&mut self, uid: &str, before: Option<&Value>, status: &Value) {
        let credentials = status["credentials"].as_array();
        let records = |origin: &str| {
            let mut all = credentials.into_iter().flatten();
            all.any(|it| it["origin"] == origin)
        };
        let first = |status: &Value| {
            status["credentials"][0]["origin"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        if records("Created") {
            self.with_credential.insert(uid.to_owned());
        } else if !records("Pending") {
            self.with_credential.remove(uid);
        }
        if first(status) != "Pending" {
            self.repaired.remove(uid);
        } else if before.is_some_and(|before| first(before) == "Created") {
            self.repaired.insert(uid.to_owned());
        }
    }
}

fn same_subscription(one: &str, other: &str) -> bool {
    one.split('/').nth(2) == other.split('/').nth(2)
}
