//! What Azure's pace holds back, in numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ledger::target::{Operation, Scope};

/// What is held back at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacingState {
    /// By the kind of scope (`identity`, `subscription`, `tenant`) and the kind of request; of each pair one.
    pub held: BTreeMap<(&'static str, Operation), Held>,
    /// How long the longest pause still is; zero where there is none.
    pub longest_pause: Duration,
    /// Requests that wait in line for their time.
    pub waiting: usize,
}

/// How many scopes are held back.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Azure has told them to wait, and that time is not over.
    pub paused: usize,
    /// They were throttled, and go at a limited rate since.
    pub limited: usize,
}

impl Default for PacingState {
    fn default() -> Self {
        let kinds = Scope::KINDS.into_iter();
        let pairs = kinds.flat_map(|kind| Operation::ALL.map(|operation| (kind, operation)));
        Self {
            held: pairs.map(|pair| (pair, Held::default())).collect(),
            longest_pause: Duration::ZERO,
            waiting: 0,
        }
    }
}

impl PacingState {
    /// What is held of this kind.
    pub(super) fn of(&mut self, scope: &Scope, operation: Operation) -> &mut Held {
        self.held.entry((scope.kind(), operation)).or_default()
    }
}
