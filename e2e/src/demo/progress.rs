//! What the demo is doing, on standard error: one line a step, with the seconds since the start.

use std::{
    io::{self, Write},
    time::Instant,
};

/// The steps so far.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    step: String,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            step: String::new(),
        }
    }

    /// A step begins. Its name completes the sentence "the demo is …".
    pub(crate) fn begin(&mut self, step: &str) {
        step.clone_into(&mut self.step);
        self.note(step);
    }

    /// Something happened within the step.
    pub(crate) fn note(&self, what: &str) {
        let seconds = self.started.elapsed().as_secs_f32();
        // A terminal that is gone is no reason to stop cleaning up.
        let _ = writeln!(io::stderr(), "[{seconds:5.1} s] {what}");
    }

    /// The step that began last.
    pub(crate) fn step(&self) -> &str {
        &self.step
    }
}
