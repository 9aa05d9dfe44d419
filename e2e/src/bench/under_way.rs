//! A case under way: what its measurements have in common.

use std::time::Duration;

use super::cases::Case;
use super::process::Cpu;
use super::report::Figures;
use super::setup::Setup;
use crate::demo::progress::Progress;

/// How long things are at rest when nothing more comes: events are told after the status that they are about.
pub(super) const REST: Duration = Duration::from_secs(2);

/// How long a case may take besides its lower bound: a multiple of that, and this much for each binding.
pub(super) const LIMIT_OF_A_BINDING: Duration = Duration::from_millis(100);

/// What was measured: the figures, and who used the processors while the bindings were created.
pub(super) struct Measured {
    pub(super) figures: Figures,
    pub(super) cpu: Cpu,
}

/// A case under way.
pub(super) struct Run<'a> {
    pub(super) case: &'a Case,
    pub(super) setup: Setup,
    pub(super) progress: &'a Progress,
}

impl Run<'_> {
    /// Says to whoever watches what is being done.
    pub(super) fn tell(&self, what: &str) {
        self.progress.note(&format!("{}: {what}", self.case.name));
    }
}
