//! What one namespace may take from the others.

use azure_simulator::core::http::{Request, Response};
use jiff::SignedDuration;

use super::books::Judge;
use crate::caller::Caller;
use crate::requests::{identity_of, operation};
use crate::setup::CONCURRENCY;

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

/// Whether it is an identity of a crowd. Nobody asks for fresh reads of those.
fn is_of_crowd(identity: &str) -> bool {
    identity.contains("/nobody-")
}

pub(super) fn sent(judge: Judge<'_>, process: &Caller, request: &Request) {
    let identity = identity_of(request);
    if operation(request) != "GET" || !is_of_crowd(&identity) {
        return;
    }
    let now = judge.shared.time.now();
    let repeats = {
        let books = &mut judge.books();
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
        judge.shared.violated(REPEATS_PACED, what);
    }
}

pub(super) fn answered(judge: Judge<'_>, process: &Caller, request: &Request, response: &Response) {
    let identity = identity_of(request);
    if response.status.as_u16() != 404 {
        return lost(judge, process, request);
    }
    if is_of_crowd(&identity) {
        let books = &mut judge.books().neighbours;
        books.missing.insert((process.number, identity));
    }
}

/// What went wrong with it passes by itself: it may be asked again at once.
pub(super) fn lost(judge: Judge<'_>, process: &Caller, request: &Request) {
    let place = (process.number, identity_of(request));
    judge.books().neighbours.missing.remove(&place);
}

/// A slow write begins.
pub(super) fn held(judge: Judge<'_>, process: &Caller, namespace: &str) {
    let held = {
        let books = &mut judge.books().neighbours;
        let held = books.held.entry(process.number).or_default();
        *held += 1;
        *held
    };
    judge.shared.count("slow write");
    if held == HELD + 1 {
        let what = format!("{held} writes in {namespace} are under way at once");
        judge.shared.violated(BULKHEADS, what);
    }
}

/// It is over.
pub(super) fn let_go(judge: Judge<'_>, process: &Caller) {
    let books = &mut judge.books().neighbours;
    if let Some(held) = books.held.get_mut(&process.number) {
        *held = held.saturating_sub(1);
    }
}
