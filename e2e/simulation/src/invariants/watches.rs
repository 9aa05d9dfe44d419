//! Watches are not opened in a circle.

use std::time::Duration;

use super::books::Judge;
use crate::caller::Caller;
use crate::kubernetes::Kind;

/// No watch is opened more often than a back-off would have it.
pub const WATCHES: &str = "watches-at-a-pace";

/// So often, in so long: a second's pause at first and half a minute's in the end, and what a new process does.
const MOST: usize = 15;
const WITHIN: Duration = Duration::from_secs(60);

/// A process opens a watch.
pub(super) fn opened(judge: Judge<'_>, process: &Caller, kind: Kind) {
    let shared = judge.shared;
    let now = shared.time.now();
    let opened = {
        let mut books = judge.books();
        let opened = books.watches.entry((process.replica, kind)).or_default();
        opened.retain(|at| now.duration_since(*at).unsigned_abs() < WITHIN);
        opened.push(now);
        opened.len()
    };
    // Once is enough to know.
    if opened == MOST + 1 {
        shared.violated(WATCHES, format!("{opened} of {kind:?} within {WITHIN:?}"));
    }
}
