//! What the demo is doing, on standard error: one line a step, with the seconds since the start.

use std::{
    io::{self, Write},
    time::Instant,
};

/// The steps so far.
#[derive(Debug)]
pub(super) struct Progress {
    started: Instant,
    step: String,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            step: String::new(),
        }
    }

    /// A step begins. Its name completes the sentence "the demo is …".
    pub(super) fn begin(&mut self, step: &str) {
        step.clone_into(&mut self.step);
        self.note(step);
    }

    /// Something happened within the step.
    pub(super) fn note(&self, what: &str) {
        let seconds = self.started.elapsed().as_secs_f32();
        // A terminal that is gone is no reason to stop cleaning up.
        let _ = writeln!(io::stderr(), "[{seconds:5.1} s] {what}");
    }

    /// The step that began last.
    pub(super) fn step(&self) -> &str {
        &self.step
    }
}
