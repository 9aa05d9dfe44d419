//! All of it, in order.

use super::leftovers::nothing_left;
use super::reasons::true_reason;
use crate::bindings::is_ready;
use crate::costs;
use crate::setup::World;
use crate::shared::Shared;
use crate::trace::lock;

/// Where every binding is Ready, nothing is written.
pub const STILL: &str = "still-when-all-is-well";

/// Judges the end of a run.
pub fn judge(shared: &Shared, world: &World) {
    lock(&shared.azure).advance(shared.time.now());
    nothing_left(shared, world);
    for binding in shared.cluster.bindings() {
        true_reason(shared, world, &binding);
    }
    still(shared);
    costs::judge(shared);
}

/// Longer than any resync.
const STILL_FOR: jiff::SignedDuration = jiff::SignedDuration::from_mins(20);

fn still(shared: &Shared) {
    let bindings = shared.cluster.bindings();
    let last = lock(&shared.books).last_write;
    let recently = last.is_some_and(|last| shared.time.now() - STILL_FOR < last);
    if bindings.iter().all(is_ready) && recently {
        shared.violated(STILL, "something was written in the last 20 minutes");
    }
}
