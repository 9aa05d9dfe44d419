//! Chance: what spreads the tries of many bindings over time.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

thread_local! {
    static SEEDED: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// Lets all that this thread draws follow from a seed, for a simulation that has to come out the same again.
pub fn seed(seed: u64) {
    SEEDED.set(Some(StdRng::seed_from_u64(seed)));
}

/// A factor within these bounds.
pub fn factor(bounds: RangeInclusive<f64>) -> f64 {
    SEEDED.with_borrow_mut(|seeded| match seeded {
        Some(random) => random.random_range(bounds),
        None => rand::random_range(bounds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_what_is_drawn() {
        let drawn = |with| {
            seed(with);
            [(); 8].map(|()| factor(0.5..=1.0))
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }
}
