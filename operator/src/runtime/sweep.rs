//! Forgetting what does not count any more, without a timer.

use std::collections::HashMap;

/// A smaller map is not gone through.
const FEWEST: usize = 64;

/// Goes through a map each time that it has twice as many entries as were left the last time: that costs each new entry a
/// constant time.
#[derive(Debug, Default)]
pub struct Sweep {
    due_at: usize,
}

impl Sweep {
    /// Keeps what counts, if it is time for that.
    pub fn run<K, V>(&mut self, map: &mut HashMap<K, V>, counts: impl Fn(&V) -> bool) {
        if map.len() < self.due_at.max(FEWEST) {
            return;
        }
        map.retain(|_, value| counts(value));
        self.due_at = 2 * map.len();
    }
}
