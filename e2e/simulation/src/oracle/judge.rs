//! All of it, in order.

use super::leftovers::nothing_left;
use super::reasons::true_reason;
use crate::bindings::is_ready;
use crate::costs::Costs;
use crate::invariants::Books;
use crate::setup::World;
use crate::shared::Shared;
use crate::trace::lock;

/// Where every binding is Ready, nothing is written.
pub const STILL: &str = "still-when-all-is-well";

/// Judges the end of a run.
pub fn judge(shared: &Shared, world: &World, books: &Books, costs: &Costs) {
    lock(&shared.azure).advance(shared.time.now());
    nothing_left(shared, world, books, costs);
    for binding in shared.cluster.bindings() {
        true_reason(shared, world, &binding);
    }
    still(shared, books);
    costs.judge(shared);
}

/// Longer than any resync.
const STILL_FOR: jiff::SignedDuration = jiff::SignedDuration::from_mins(20);

fn still(shared: &Shared, books: &Books) {
    let bindings = shared.cluster.bindings();
    let last = books.last_write();
    let recently = last.is_some_and(|last| shared.time.now() - STILL_FOR < last);
    if bindings.iter().all(is_ready) && recently {
        shared.violated(STILL, "something was written in the last 20 minutes");
    }
}
