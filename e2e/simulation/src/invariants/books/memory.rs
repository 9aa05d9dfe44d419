//! What is remembered of accounts, passes, crowds, identities and pauses.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::caller::Caller;

/// What is remembered of an account that a process writes.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// What it was given, but for what others own of it.
    pub(crate) given: Value,
    pub(crate) version: String,
    /// When it was given the same once more.
    pub(crate) repairs: VecDeque<Timestamp>,
}

/// By process, namespace and name.
pub(crate) type Accounts = BTreeMap<(u32, String, String), Written>;

/// The passes of the last second, by process and binding.
#[derive(Debug, Default)]
pub(crate) struct Looks(BTreeMap<(u32, String, String), VecDeque<Timestamp>>);

impl Looks {
    /// How many there were within a second, this one with them.
    pub(crate) fn note(
        &mut self,
        process: u32,
        namespace: &str,
        name: &str,
        now: Timestamp,
    ) -> usize {
        let key = (process, namespace.to_owned(), name.to_owned());
        let looks = self.0.entry(key).or_default();
        looks.retain(|at| now.duration_since(*at) < SignedDuration::from_secs(1));
        looks.push_back(now);
        looks.len()
    }
}

/// What is remembered of crowds.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    /// What a process has been told is not there.
    pub(crate) missing: BTreeSet<(u32, String)>,
    /// When a process has asked for such again.
    pub(crate) repeats: BTreeMap<u32, VecDeque<Timestamp>>,
    /// How many slow writes of a process are under way.
    pub(crate) held: BTreeMap<u32, usize>,
}

/// What is remembered of identities.
#[derive(Debug, Default)]
pub(crate) struct Newcomers {
    /// Since when a client id means nothing.
    pub(crate) ended: BTreeMap<String, Timestamp>,
    /// When an identity was last asked for, by its lower-cased id.
    pub(crate) read: BTreeMap<String, Timestamp>,
    /// Who has been Ready before, by UID: a good binding goes by a read that may be as old as a resync.
    pub(crate) ready: BTreeSet<String>,
}

impl Newcomers {
    pub(crate) fn ended(&mut self, client_id: String, now: Timestamp) {
        self.ended.insert(client_id, now);
    }

    pub(crate) fn was_read_since(&self, identity: &str, since: Timestamp) -> bool {
        let read = self.read.get(&identity.to_ascii_lowercase());
        read.is_some_and(|at| *at >= since)
    }
}

/// A pause of a subscription.
#[derive(Debug)]
pub(crate) struct Pause {
    pub(crate) over: Timestamp,
    /// Who asks, and since when.
    pub(crate) asking: Option<(String, Timestamp)>,
}

/// Pauses of subscriptions, by process and kind of request.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    pub(crate) pauses: BTreeMap<(u32, String, &'static str), Pause>,
    pub(crate) signed_in: BTreeMap<u32, Timestamp>,
}

impl Pauses {
    /// Whether a process has asked for a token since then.
    pub(crate) fn signs_in_since(&self, process: &Caller, since: Timestamp) -> bool {
        let signed_in = self.signed_in.get(&process.number);
        signed_in.is_some_and(|at| *at > since)
    }
}

/// What is known of the Lease by what the replicas have written into it.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    pub(crate) holder: Option<u32>,
    /// When each has renewed it last.
    pub(crate) renewed: BTreeMap<u32, Timestamp>,
}
