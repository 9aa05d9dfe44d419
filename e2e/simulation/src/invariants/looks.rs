//! No binding is looked at again and again without a pause.

use azure_simulator::core::http::Request;
use jiff::SignedDuration;

use super::books::Judge;
use crate::caller::Caller;
use crate::requests::{credential_of, identity_of, operation};

/// The passes over one binding in a second have a bound.
pub const PACED: &str = "looks-are-paced";

/// Its own changes, those of its account and of the line that it stands in, each made by several others, come to half of this.
const LOOKS_A_SECOND: usize = 40;

/// So many are no end: time stands still where each follows from the one before.
const ENDLESS: usize = 1_000;

/// The reads of one identity in a short time have a bound.
pub const READS_PACED: &str = "reads-of-an-identity-are-paced";

/// One each half of a minute is shared by all, a binding that misses its credential reads once more, and so does each that
/// somebody has changed; tries after a fault come on top.
const READS: usize = 40;
const WITHIN: SignedDuration = SignedDuration::from_secs(20);

/// An identity is about to be read.
pub(super) fn reads(judge: Judge<'_>, process: &Caller, request: &Request) {
    if operation(request) != "GET" || credential_of(request).is_some() {
        return;
    }
    let (shared, identity) = (judge.shared, identity_of(request));
    let now = shared.time.now();
    let place = (process.number, identity.clone());
    let reads = {
        let books = &mut judge.books();
        let reads = books.reads.entry(place).or_default();
        reads.retain(|at| now.duration_since(*at) < WITHIN);
        reads.push_back(now);
        reads.len()
    };
    if reads == READS {
        let what = format!("{identity} was read {reads} times within {WITHIN:?}");
        shared.violated(READS_PACED, what);
    }
}

/// A pass over a binding begins.
pub(super) fn began(judge: Judge<'_>, process: &Caller, namespace: &str, name: &str) {
    let shared = judge.shared;
    let now = shared.time.now();
    let looks = judge
        .books()
        .looks
        .note(process.number, namespace, name, now);
    let what = format!("{namespace}/{name} was looked at {looks} times in a second");
    if looks == LOOKS_A_SECOND {
        shared.violated(PACED, &what);
    }
    if looks >= ENDLESS {
        // The run would not come to its end.
        std::panic::resume_unwind(Box::new(what));
    }
}
