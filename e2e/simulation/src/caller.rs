//! Which process of the operator makes a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A process as those know it whom it calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Counts those who write from 1: the processes of a run, or the terms where there are several replicas.
    pub number: u32,
    /// Counts the processes of a run from 1: what a process knows it knows from one term to the next.
    pub replica: u32,
    /// It only looks.
    pub is_read_only: bool,
    dead: Arc<AtomicBool>,
}

impl Caller {
    pub fn new(replica: u32) -> Self {
        Self {
            number: replica,
            replica,
            is_read_only: false,
            dead: Arc::default(),
        }
    }

    /// The same process, which only looks.
    pub fn read_only(self, is_read_only: bool) -> Self {
        Self {
            is_read_only,
            ..self
        }
    }

    /// The same process in this term.
    pub fn in_term(&self, number: u32) -> Self {
        Self {
            number,
            ..self.clone()
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
