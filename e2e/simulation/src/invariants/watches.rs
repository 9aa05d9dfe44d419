//! Watches are not opened in a circle.

use std::time::Duration;

use crate::kubernetes::Kind;
use crate::process::Process;
use crate::trace::lock;

/// No watch is opened more often than a back-off would have it.
pub const WATCHES: &str = "watches-at-a-pace";

/// So often, in so long: a second's pause at first and half a minute's in the end, and what a new process does.
const MOST: usize = 15;
const WITHIN: Duration = Duration::from_secs(60);

/// A process opens a watch.
pub(crate) fn opened(process: &Process, kind: Kind) {
    let shared = &process.shared;
    let now = shared.time.now();
    let opened = {
        let mut books = lock(&shared.books);
        let opened = books.watches.entry((process.number, kind)).or_default();
        opened.retain(|at| now.duration_since(*at).unsigned_abs() < WITHIN);
        opened.push(now);
        opened.len()
    };
    // Once is enough to know.
    if opened == MOST + 1 {
        shared.violated(WATCHES, format!("{opened} of {kind:?} within {WITHIN:?}"));
    }
}
