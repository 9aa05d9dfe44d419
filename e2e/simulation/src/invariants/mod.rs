//! What must hold at every moment. Each invariant has a name, by which a failure tells of it.

pub mod accounts;
mod in_order;
mod kubernetes;
mod ours;
pub mod pauses;
mod stays_ready;

pub mod finalizers;
pub mod looks;
pub mod neighbours;
pub mod newcomers;
pub mod slots;
pub mod statuses;
pub mod watches;

use std::collections::{BTreeMap, BTreeSet};

use azure_simulator::core::Azure;
use azure_simulator::core::http::{Request, Response, Service};
use jiff::Timestamp;
use serde_json::Value;

use crate::costs;
use crate::costs::Costs;
use crate::kubernetes::Kind;
use crate::names::short;
use crate::process::Process;
use crate::requests::{Target, credential_of, identity_of, operation};
use crate::shared::Shared;
use crate::trace::lock;
pub use in_order::IN_ORDER;
pub use kubernetes::kubernetes_call;
pub use ours::{OURS, RECORDED};
pub use stays_ready::{RENAME_KEEPS_READY, STAYS_READY};

/// An identity never has more credentials than it may have.
pub const LIMIT: &str = "never-more-than-the-limit";
/// No two writes of one process execute on one identity at once.
pub const ONE_WRITE: &str = "one-write-at-a-time";
/// Nothing is asked before the time that Azure has set.
pub const RETRY_AFTER: &str = "no-request-before-its-time";

/// So late a request can have its effect that nobody waits for any more.
const LATE: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// What the invariants remember.
#[derive(Debug, Default)]
pub struct Books {
    /// Which process has sent a request.
    sent_by: BTreeMap<u64, u32>,
    /// Until when a process may not ask for this on an identity.
    told_to_wait: BTreeMap<(u32, String, &'static str), Timestamp>,
    /// Requests whose token was refused.
    token_refused: BTreeSet<(u32, String, &'static str)>,
    /// The version that the last list of bindings of a process has shown, where that was an old one, and when.
    pub old_list: BTreeMap<u32, (u64, Timestamp)>,
    /// When somebody else has last changed something about an identity.
    touched: BTreeMap<String, Timestamp>,
    /// When somebody else has last removed a credential, by identity and name.
    removed: BTreeMap<(String, String), Timestamp>,
    /// Who has ever waited for a slot or for another binding.
    pub waited: BTreeSet<String>,
    /// What a process has last seen of a credential is from this time, by process and name.
    seen: BTreeMap<(u32, String), Timestamp>,
    /// Whose record of a credential that stood was replaced by that of a write to put it back, by UID.
    repaired: BTreeSet<String>,
    /// Since when an identity has as many credentials as it may have.
    pub full_since: BTreeMap<String, Timestamp>,
    /// Since when a binding says that it waits for a slot, by UID.
    limit_since: BTreeMap<String, (Timestamp, u64)>,
    /// Bindings whose credential was in place, before what they last recorded for a write, by UID.
    holders: BTreeSet<String>,
    /// The status of a binding as last written.
    statuses: BTreeMap<String, Value>,
    /// When watches were opened last, by process.
    watches: BTreeMap<(u32, Kind), Vec<Timestamp>>,
    /// When the operator has last written anything.
    pub last_write: Option<Timestamp>,
    /// Pauses that are not believed to their end.
    pauses: pauses::Pauses,
    /// What was written to accounts.
    pub accounts: accounts::Accounts,
    /// The UIDs of bindings that have left their accounts.
    pub orphaned: BTreeSet<String>,
    /// What was spent for bindings, and what went wrong.
    pub costs: Costs,
    /// Statuses that somebody else has written.
    pub foreign: statuses::Foreign,
    /// How often bindings were looked at.
    looks: looks::Looks,
    /// What bindings wait for and become Ready with.
    pub newcomers: newcomers::Newcomers,
    /// What crowds take.
    neighbours: neighbours::Neighbours,
}

impl Books {
    pub fn touch(&mut self, identity: &str, now: Timestamp) {
        self.touched.insert(identity.to_ascii_lowercase(), now);
    }

    /// Somebody else removes a credential.
    pub fn remove(&mut self, identity: &str, name: &str, now: Timestamp) {
        let key = |text: &str| text.to_ascii_lowercase();
        self.removed.insert((key(identity), key(name)), now);
    }

    fn removed(&self, identity: &str, name: &str) -> Option<Timestamp> {
        let key = |text: &str| text.to_ascii_lowercase();
        self.removed.get(&(key(identity), key(name))).copied()
    }

    /// Since when it waits is not told by its status any more.
    fn forget_waiting(&mut self, uid: &str) {
        self.limit_since.remove(uid);
    }

    /// Whether one process has run since then, and Azure has not wished for a pause in what it asks of this identity.
    pub fn is_left_to_itself(&self, identity: &str, since: Timestamp) -> bool {
        let identity = identity.to_ascii_lowercase();
        let told = self.told_to_wait.iter();
        let mut told = told.filter(|((_, of, operation), until)| {
            *operation == "GET" && same_subscription(of, &identity) && **until > since
        });
        told.next().is_none() && self.foreign.runs_since(since)
    }

    pub fn touched(&self, identity: &str) -> Option<Timestamp> {
        self.touched.get(&identity.to_ascii_lowercase()).copied()
    }
}

fn same_subscription(one: &str, other: &str) -> bool {
    one.split('/').nth(2) == other.split('/').nth(2)
}

/// A request of a process is about to leave it.
pub fn azure_sent(process: &Process, request: &Request) {
    if request.service != Service::ResourceManager {
        return pauses::signs_in(process);
    }
    let shared = &process.shared;
    costs::sent(process, request);
    pauses::sent(process, request);
    neighbours::sent(process, request);
    newcomers::asked(shared, request);
    let place = (process.number, identity_of(request), operation(request));
    let until = {
        let mut books = lock(&shared.books);
        // Sent again with another token, it is the request that was sent before, whatever another has been told meanwhile.
        let is_sent_again = books.token_refused.remove(&place);
        let until = books.told_to_wait.get(&place).copied();
        until.filter(|_| !is_sent_again)
    };
    if until.is_some_and(|until| shared.time.now() < until) {
        let what = format!(
            "{} of {} before the time that Azure set",
            place.2,
            short(&place.1)
        );
        shared.violated(RETRY_AFTER, what);
    }
}

/// A process has an answer.
pub fn azure_answered(process: &Process, request: &Request, response: &Response) {
    let shared = &process.shared;
    shared.trace.note(format!(
        "azure {} {}: {}",
        request.method,
        short(&request.path),
        response.status
    ));
    shared.count(format!(
        "answer {} {}",
        operation(request),
        response.status.as_u16()
    ));
    if response.status.as_u16() == 401 {
        let place = (process.number, identity_of(request), operation(request));
        lock(&shared.books).token_refused.insert(place);
    }
    if request.service != Service::ResourceManager {
        return;
    }
    if response.status.is_success() {
        // It may have left a moment before what it has seen.
        newcomers::asked(shared, request);
    }
    pauses::answered(process, request, response);
    neighbours::answered(process, request, response);
    let wait = pauses::retry_after(response).filter(|_| !response.status.is_success());
    let Some((wait, _)) = wait else {
        return;
    };
    let place = (process.number, identity_of(request), operation(request));
    let until = shared.time.now() + wait;
    lock(&shared.books).told_to_wait.insert(place, until);
}

/// A request has arrived at Azure.
pub fn azure_arrived(process: &Process, id: u64, request: &Request) {
    let shared = &process.shared;
    let other = {
        let azure = lock(&shared.azure);
        azure.request(id).and_then(|record| record.overlaps)
    };
    let mut books = lock(&shared.books);
    books.sent_by.insert(id, process.number);
    let before = other.and_then(|other| books.sent_by.get(&other).copied());
    // What somebody else removes while our own deletion of it is under way looks as if that were over.
    let name = credential_of(request).unwrap_or_default();
    let removed = books.removed(&identity_of(request), &name);
    let before = before.filter(|_| removed.is_none_or(|at| at + LATE < shared.time.now()));
    drop(books);
    if other.is_some() {
        shared.count("overlapping write");
    }
    if before == Some(process.number) {
        let what = format!(
            "{} {} while another write of process {} executes",
            request.method,
            short(&request.path),
            process.number
        );
        shared.violated(ONE_WRITE, what);
    }
}

/// A request has had its effect, or has been refused.
pub fn azure_effect(process: &Process, azure: &Azure, id: u64, request: &Request, before: &Target) {
    let shared = &process.shared;
    if request.service != Service::ResourceManager {
        return;
    }
    within_the_limit(shared, azure);
    slots::look(shared, azure);
    let (Some(name), Some(record)) = (&before.name, azure.request(id)) else {
        return;
    };
    if *request.method.as_str() == *"GET" {
        let lag = jiff::SignedDuration::from_secs(
            i64::try_from(azure.settings().tunables.read_lag_seconds).unwrap_or_default(),
        );
        let seen = (process.number, name.clone());
        lock(&shared.books)
            .seen
            .insert(seen, shared.time.now() - lag);
    }
    if record.effect.is_none() {
        return;
    }
    let after = azure
        .identity(&before.identity)
        .and_then(|it| it.credentials.get(name));
    if after == before.credential.as_ref() {
        return;
    }
    shared.trace.note(format!(
        "effect of {} {}",
        request.method,
        short(&request.path)
    ));
    shared.count(format!("effect {}", request.method));
    let account = shared.accounts.get(name).cloned();
    let Some((namespace, account)) = account else {
        return shared.violated(
            OURS,
            format!("{} of {name}, which is no binding's", request.method),
        );
    };
    match after {
        None => ours::deleted(process, before, &namespace, &account),
        Some(after) => {
            let used = azure
                .identity(&before.identity)
                .map_or(0, |it| it.credentials.len());
            if before.credential.is_none() {
                slots::created(process, &before.identity, used);
            }
            let free = shared.limit.saturating_sub(used);
            ours::written(process, before, after, free, &namespace, &account);
        }
    }
}

fn within_the_limit(shared: &Shared, azure: &Azure) {
    let limit = azure.settings().tunables.credential_limit;
    for (id, identity) in azure.identities() {
        if identity.credentials.len() > limit {
            shared.violated(
                LIMIT,
                format!("{} on {}", identity.credentials.len(), short(&id)),
            );
        }
    }
}

/// A request has ended at Azure.
pub fn azure_ended(process: &Process, request: &Request) {
    if credential_of(request).is_some() && operation(request) != "GET" {
        lock(&process.shared.books).last_write = Some(process.shared.time.now());
    }
}
