//! No binding is looked at again and again without a pause.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::process::Process;
use crate::trace::lock;

/// The passes over one binding in a second have a bound.
pub const PACED: &str = "looks-are-paced";

/// Its own changes, those of its account and of the line that it stands in, each made by several others, come to half of this.
const LOOKS_A_SECOND: usize = 40;

/// So many are no end: time stands still where each follows from the one before.
const ENDLESS: usize = 1_000;

/// The passes of the last second, by process and binding.
#[derive(Debug, Default)]
pub struct Looks(BTreeMap<(u32, String, String), VecDeque<Timestamp>>);

impl Looks {
    /// How many there were within a second, this one with them.
    fn note(&mut self, process: u32, namespace: &str, name: &str, now: Timestamp) -> usize {
        let key = (process, namespace.to_owned(), name.to_owned());
        let looks = self.0.entry(key).or_default();
        looks.retain(|at| now.duration_since(*at) < SignedDuration::from_secs(1));
        looks.push_back(now);
        looks.len()
    }
}

/// A pass over a binding begins.
pub fn began(process: &Process, namespace: &str, name: &str) {
    let shared = &process.shared;
    let now = shared.time.now();
    let looks = lock(&shared.books)
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
