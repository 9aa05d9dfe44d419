//! The judge of the invariants: the books, and the run that they are of.

use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;

use super::pages::Pages;
use crate::kubernetes::Kind;
use crate::shared::Shared;
use crate::trace::lock;

/// The books of the invariants, shared by all who write and read in them.
#[derive(Debug, Clone, Default)]
pub struct Books(Arc<Mutex<Pages>>);

impl Books {
    /// At work on something that happens in this run.
    pub(crate) fn judge<'a>(&'a self, shared: &'a Shared) -> Judge<'a> {
        Judge {
            shared,
            books: self,
        }
    }

    pub(crate) fn open(&self) -> MutexGuard<'_, Pages> {
        lock(&self.0)
    }

    /// When the operator has last written anything.
    pub fn last_write(&self) -> Option<Timestamp> {
        self.open().last_write
    }

    /// Whether a process has died since then.
    pub fn died_since(&self, at: Timestamp) -> bool {
        self.open().foreign.died.is_some_and(|died| died >= at)
    }

    /// Whether a process has started since.
    pub fn started_since(&self, at: Timestamp) -> bool {
        let pages = self.open();
        let opened = pages.watches.iter();
        let mut of_bindings = opened.filter(|((_, kind), _)| *kind == Kind::Binding);
        of_bindings.any(|(_, opened)| opened.first().is_some_and(|first| *first >= at))
    }

    /// Whether this binding has had a credential of its own.
    pub fn has_had_credential(&self, uid: &str) -> bool {
        let pages = self.open();
        pages.with_credential.contains(uid) || pages.repaired.contains(uid)
    }

    /// Whether somebody has overwritten the record of this binding, and the process that had seen it has died since.
    pub fn is_forgotten(&self, uid: &str) -> bool {
        let pages = self.open();
        let foreign = &pages.foreign;
        let lost = foreign.put.get(uid).map(|(at, _)| *at);
        let is_lost = foreign.lost_at(uid).is_some();
        is_lost && lost.is_some_and(|lost| foreign.died.is_some_and(|died| died >= lost))
    }

    /// The version at which somebody has written the status of this binding, whose record has not come back since.
    pub fn lost_at(&self, uid: &str) -> Option<u64> {
        self.open().foreign.lost_at(uid)
    }
}

/// The books, and the run in which something happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) shared: &'a Shared,
    books: &'a Books,
}

impl<'a> Judge<'a> {
    pub(crate) fn books(self) -> MutexGuard<'a, Pages> {
        self.books.open()
    }
}
