//! No binding is looked at again and again without a pause.

use super::books::Judge;
use crate::caller::Caller;

/// The passes over one binding in a second have a bound.
pub const PACED: &str = "looks-are-paced";

/// Its own changes, those of its account and of the line that it stands in, each made by several others, come to half of this.
const LOOKS_A_SECOND: usize = 40;

/// So many are no end: time stands still where each follows from the one before.
const ENDLESS: usize = 1_000;

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
