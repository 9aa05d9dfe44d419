//! What one namespace may take from the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use azure_simulator::core::http::{Request, Response};
use jiff::{SignedDuration, Timestamp};

use crate::process::Process;
use crate::requests::{identity_of, operation};
use crate::setup::CONCURRENCY;
use crate::trace::lock;

/// Looks at what is known to be missing stay below one a second in a subscription.
pub const REPEATS_PACED: &str = "repeats-are-paced";
/// A namespace whose writes take long does not hold all workers.
pub const BULKHEADS: &str = "a-namespace-leaves-workers-to-others";

/// A repeat each 1.1 seconds, a second that is made up for, and some that had to wait for a connection.
const REPEATS: usize = 26;
const WITHIN: SignedDuration = SignedDuration::from_secs(20);

/// How long a sign-in may take, and those that waited for it count.
const SIGN_IN: SignedDuration = SignedDuration::from_secs(60);

/// Half of the workers, and an eighth that hang.
const HELD: usize = CONCURRENCY as usize / 2 + CONCURRENCY as usize / 8;

/// What is remembered of crowds.
#[derive(Debug, Default)]
pub struct Neighbours {
    /// What a process has been told is not there.
    missing: BTreeSet<(u32, String)>,
    /// When a process has asked for such again.
    repeats: BTreeMap<u32, VecDeque<Timestamp>>,
    /// How many slow writes of a process are under way.
    held: BTreeMap<u32, usize>,
}

/// Whether it is an identity of a crowd. Nobody asks for fresh reads of those.
fn is_of_crowd(identity: &str) -> bool {
    identity.contains("/nobody-")
}

pub(super) fn sent(process: &Process, request: &Request) {
    let identity = identity_of(request);
    if operation(request) != "GET" || !is_of_crowd(&identity) {
        return;
    }
    let now = process.shared.time.now();
    let repeats = {
        let books = &mut lock(&process.shared.books);
        // All that were let go one by one may have waited for a token.
        if books.pauses.signs_in_since(process, now - SIGN_IN) {
            return;
        }
        let books = &mut books.neighbours;
        if !books.missing.contains(&(process.number, identity)) {
            return;
        }
        let repeats = books.repeats.entry(process.number).or_default();
        repeats.retain(|at| now.duration_since(*at) < WITHIN);
        repeats.push_back(now);
        repeats.len()
    };
    if repeats == REPEATS + 1 {
        let what = format!("{repeats} looks within {WITHIN:?} at what is known to be missing");
        process.shared.violated(REPEATS_PACED, what);
    }
}

pub(super) fn answered(process: &Process, request: &Request, response: &Response) {
    let identity = identity_of(request);
    if response.status.as_u16() != 404 {
        return lost(process, request);
    }
    if is_of_crowd(&identity) {
        let books = &mut lock(&process.shared.books).neighbours;
        books.missing.insert((process.number, identity));
    }
}

/// What went wrong with it passes by itself: it may be asked again at once.
pub fn lost(process: &Process, request: &Request) {
    let place = (process.number, identity_of(request));
    lock(&process.shared.books)
        .neighbours
        .missing
        .remove(&place);
}

/// A slow write begins.
pub fn held(process: &Process, namespace: &str) {
    let held = {
        let books = &mut lock(&process.shared.books).neighbours;
        let held = books.held.entry(process.number).or_default();
        *held += 1;
        *held
    };
    process.shared.count("slow write");
    if held == HELD + 1 {
        let what = format!("{held} writes in {namespace} are under way at once");
        process.shared.violated(BULKHEADS, what);
    }
}

/// It is over.
pub fn let_go(process: &Process) {
    let books = &mut lock(&process.shared.books).neighbours;
    if let Some(held) = books.held.get_mut(&process.number) {
        *held = held.saturating_sub(1);
    }
}
