//! Randomness from the seed: two runs with one seed make the same ids.

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use uuid::Uuid;

/// The simulation's only source of randomness.
#[derive(Debug, Clone)]
pub(crate) struct Random(StdRng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A version 4 GUID.
    pub(crate) fn guid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Whether something happens that does so many times in a thousand. Nothing is drawn for what never happens, so
    /// that it changes no other draw.
    pub(crate) fn happens(&mut self, per_mille: u16) -> bool {
        per_mille > 0 && self.up_to(999) < u64::from(per_mille)
    }

    /// A number from 0 to `limit`, both included.
    pub(crate) fn up_to(&mut self, limit: u64) -> u64 {
        match limit.checked_add(1) {
            Some(count) => self.0.next_u64() % count,
            None => self.0.next_u64(),
        }
    }
}
