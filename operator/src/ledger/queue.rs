//! Who writes next to one identity. Pure.
//!
//! Deletions come first (they free slots, and somebody waits for a namespace to go), then repairs of what worked before,
//! then new credentials in the order of their bindings.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::who::{BindingRef, Urgency, Writer};

/// How many passes may hold a place: one whose request is with Azure, and one that prepares the next, so that the record
/// of the next binding is written while Azure is at work for the one before.
pub(super) const PLACES: usize = 2;

/// How long who was called, or whose time has come, is waited for. It comes at once where it comes at all; a binding that
/// is gone does not.
const CALL_PATIENCE: Duration = Duration::from_secs(5);

/// The places that are taken, and who waits for one.
#[derive(Debug, Default)]
pub(super) struct WriteQueue {
    /// Who has a place, and the credential that it is for.
    taken: BTreeMap<BindingRef, Intent>,
    waiting: BTreeSet<Writer>,
    /// Woken because a place is free, and expected to take it; and since when.
    called: Option<(BindingRef, Instant)>,
    /// Azure's pace lets nobody write so before this: whoever of them comes first in the line comes back by itself.
    paced_until: BTreeMap<Budget, Instant>,
}

/// Deletions have a budget of their own with Azure: what puts off the others does not put off them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Budget {
    Deletion,
    Put,
}

impl Budget {
    fn of(who: &Writer) -> Self {
        match who.urgency {
            Urgency::Deletion => Self::Deletion,
            Urgency::Repair | Urgency::Creation => Self::Put,
        }
    }
}

/// What a place is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Intent {
    /// A new credential of this name takes a slot, for this subject.
    Creation { name: String, subject: String },
    /// The credential of this name goes.
    Deletion(String),
    /// No slot is needed.
    Other,
}

impl WriteQueue {
    /// Gives `who` a place, or lets it wait.
    pub(super) fn take(&mut self, who: &Writer, now: Instant) -> bool {
        self.forget_who_does_not_come(now);
        let before = self.first(now);
        let overtaken = before.is_some_and(|first| first < who && first.binding() != who.binding());
        let paced = self.paced(who, now).is_some();
        self.leave(who.binding());
        let taken = self.taken.contains_key(who.binding());
        if overtaken || paced || taken || self.taken.len() >= PLACES {
            self.wait(who);
            return false;
        }
        self.paced_until.remove(&Budget::of(who));
        self.taken.insert(who.binding().clone(), Intent::Other);
        true
    }

    /// Until when Azure's pace does not let `who` write.
    pub(super) fn paced(&self, who: &Writer, now: Instant) -> Option<Instant> {
        let until = self.paced_until.get(&Budget::of(who)).copied();
        until.filter(|until| now < *until)
    }

    /// Who comes first of those whom Azure's pace lets write.
    fn first(&self, now: Instant) -> Option<&Writer> {
        let mut waiting = self.waiting.iter();
        waiting.find(|it| self.paced(it, now).is_none())
    }

    /// Says what the place of `who` is for.
    pub(super) fn intend(&mut self, who: &BindingRef, intent: Intent) {
        self.taken.insert(who.clone(), intent);
    }

    /// Frees the place of `who`.
    pub(super) fn give_back(&mut self, who: &BindingRef) {
        self.taken.remove(who);
    }

    /// `who` keeps its place in the line until Azure's pace lets it write.
    pub(super) fn pace(&mut self, who: &Writer, until: Instant) {
        self.paced_until.insert(Budget::of(who), until);
        self.wait(who);
    }

    /// Lets `who` wait without a look at the places.
    pub(super) fn wait(&mut self, who: &Writer) {
        self.leave(who.binding());
        self.waiting.insert(who.clone());
    }

    /// `who` wants nothing any more.
    pub(super) fn leave(&mut self, who: &BindingRef) {
        self.waiting.retain(|waiting| waiting.binding() != who);
        self.called.take_if(|(called, _)| called == who);
    }

    fn forget_who_does_not_come(&mut self, now: Instant) {
        self.called
            .take_if(|(_, since)| *since + CALL_PATIENCE <= now);
        for budget in [Budget::Deletion, Budget::Put] {
            let until = self.paced_until.get(&budget);
            if until.is_some_and(|until| *until + CALL_PATIENCE <= now) {
                self.paced_until.remove(&budget);
                let mut waiting = self.waiting.iter();
                let first = waiting.find(|it| Budget::of(it) == budget).cloned();
                if let Some(first) = first {
                    self.waiting.remove(&first);
                }
            }
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() + usize::from(self.called.is_some())
    }

    /// A pass over `who` has ended; whether it was expected to take a place and did not, so that the next is to be called.
    pub(super) fn passed(&mut self, who: &BindingRef) -> bool {
        self.called.take_if(|(called, _)| called == who).is_some()
    }

    /// Who is to be woken because a place is free.
    pub(super) fn call(&mut self, now: Instant) -> Option<BindingRef> {
        self.forget_who_does_not_come(now);
        if self.taken.len() >= PLACES || self.called.is_some() {
            return None;
        }
        let first = self.first(now)?.clone();
        self.waiting.remove(&first);
        let first = first.rank.binding;
        self.called = Some((first.clone(), now));
        Some(first)
    }

    /// Everybody who waits, to be woken at once.
    pub(super) fn call_all(&mut self) -> Vec<BindingRef> {
        self.called = None;
        let waiting = std::mem::take(&mut self.waiting);
        waiting
            .into_iter()
            .map(|writer| writer.rank.binding)
            .collect()
    }

    /// The names of the credentials that are about to be created.
    pub(super) fn promised(&self) -> BTreeSet<String> {
        self.taken
            .values()
            .filter_map(|intent| match intent {
                Intent::Creation { name, .. } => Some(name.clone()),
                Intent::Deletion(_) | Intent::Other => None,
            })
            .collect()
    }

    /// The subjects of the credentials that are about to be created.
    pub(super) fn promised_subjects(&self) -> BTreeSet<String> {
        self.taken
            .values()
            .filter_map(|intent| match intent {
                Intent::Creation { subject, .. } => Some(subject.clone()),
                Intent::Deletion(_) | Intent::Other => None,
            })
            .collect()
    }

    /// Whether the credential of this name is about to be deleted.
    pub(super) fn is_going(&self, name: &str) -> bool {
        self.taken
            .values()
            .any(|intent| matches!(intent, Intent::Deletion(going) if going == name))
    }
}

#[cfg(test)]
mod tests;
