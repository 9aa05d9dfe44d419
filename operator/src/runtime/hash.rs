//! A number for a value, the same in all of this process: for what is kept of every binding, where the value would take room.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The number.
pub fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
