//! Which process of the operator makes a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A process as those know it whom it calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Counts the processes of a run from 1.
    pub number: u32,
    dead: Arc<AtomicBool>,
}

impl Caller {
    pub fn new(number: u32) -> Self {
        Self {
            number,
            dead: Arc::default(),
        }
    }

    /// From here on it is dead.
    pub fn die(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }
}
