//! Who waits, and what Azure's pace holds back, in numbers: for the metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::books::Ledgers;
use super::pacing::PacingState;
use crate::runtime::lock::lock;

/// How many bindings wait on an identity.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct InLine {
    /// For a credential to become free.
    pub slot: usize,
    /// For their turn to write.
    pub turn: usize,
}

impl Ledgers {
    /// How many bindings wait on each identity, for the metrics; only identities on which somebody does.
    pub fn in_line(&self) -> BTreeMap<String, InLine> {
        let ledgers: Vec<_> = {
            let entries = lock(&self.entries);
            let ledgers = entries.ledgers.iter();
            ledgers
                .map(|(id, entry)| (id.clone(), Arc::clone(&entry.ledger)))
                .collect()
        };
        let waiting = ledgers.into_iter().map(|(id, ledger)| {
            let books = ledger.books();
            let in_line = InLine {
                slot: books.without_slot.len(),
                turn: books.queue.waiting(),
            };
            (id, in_line)
        });
        waiting.filter(|(_, it)| *it != InLine::default()).collect()
    }

    /// What Azure's pace holds back now, for the metrics.
    pub fn pacing(&self) -> PacingState {
        self.shared.gate.state()
    }
}
