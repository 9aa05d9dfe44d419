//! What happened in a run, in order, readable.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::time::Time;

/// The trace of one run.
#[derive(Debug, Clone)]
pub struct Trace {
    time: Time,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    pub fn new(time: Time) -> Self {
        Self {
            time,
            lines: Arc::default(),
        }
    }

    /// Adds a line with the time since the beginning.
    pub fn note(&self, line: impl AsRef<str>) {
        let at = self.time.elapsed().as_secs_f64();
        lock(&self.lines).push(format!("{at:10.3}  {}", line.as_ref()));
    }

    pub fn lines(&self) -> Vec<String> {
        lock(&self.lines).clone()
    }
}

/// Locks; what a panic elsewhere left is usable.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
