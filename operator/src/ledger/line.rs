//! Who writes next to one identity. Pure.
//!
//! Deletions come first (they free slots, and somebody waits for a namespace to go), then repairs of what worked before,
//! then new credentials in the order of their bindings.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::BindingRef;
use super::plan::Rank;

/// How many passes may hold a place: one whose request is with Azure, and one that prepares the next, so that the record
/// of the next binding is written while Azure is at work for the one before.
const PLACES: usize = 2;

/// How long who was called, or whose time has come, is waited for. It comes at once where it comes at all; a binding that
/// is gone does not.
const CALL_PATIENCE: Duration = Duration::from_secs(5);

/// What a write is for; the order is that of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    Deletion,
    Repair,
    Creation,
}

/// Somebody who wants to write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Applicant {
    pub urgency: Urgency,
    pub rank: Rank,
}

impl Applicant {
    /// The binding that wants to write.
    pub fn binding(&self) -> &BindingRef {
        &self.rank.binding
    }
}

/// The places that are taken, and who waits for one.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Who has a place, and the credential that it is for.
    taken: BTreeMap<BindingRef, Intent>,
    waiting: BTreeSet<Applicant>,
    /// Woken because a place is free, and expected to take it; and since when.
    called: Option<(BindingRef, Instant)>,
    /// Azure's pace lets nobody write before this: whoever holds the first place in the line comes back by itself.
    paced_until: Option<Instant>,
}

/// What a place is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Intent {
    /// A new credential of this name takes a slot.
    Creation(String),
    /// The credential of this name goes.
    Deletion(String),
    /// No slot is needed.
    Other,
}

impl Line {
    /// Gives `who` a place, or lets it wait.
    pub(super) fn take(&mut self, who: &Applicant, now: Instant) -> bool {
        self.forget_who_does_not_come(now);
        let before = self.waiting.iter().next();
        let overtaken = before.is_some_and(|first| first < who && first.binding() != who.binding());
        let paced = self.paced_until.is_some_and(|until| now < until);
        self.leave(who.binding());
        let taken = self.taken.contains_key(who.binding());
        if overtaken || paced || taken || self.taken.len() >= PLACES {
            self.wait(who);
            return false;
        }
        self.paced_until = None;
        self.taken.insert(who.binding().clone(), Intent::Other);
        true
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
    pub(super) fn pace(&mut self, who: &Applicant, until: Instant) {
        self.paced_until = Some(until);
        self.wait(who);
    }

    /// Lets `who` wait without a look at the places.
    pub(super) fn wait(&mut self, who: &Applicant) {
        self.leave(who.binding());
        self.waiting.insert(who.clone());
    }

    /// `who` wants nothing any more.
    fn leave(&mut self, who: &BindingRef) {
        self.waiting.retain(|waiting| waiting.binding() != who);
        self.called.take_if(|(called, _)| called == who);
    }

    fn forget_who_does_not_come(&mut self, now: Instant) {
        self.called
            .take_if(|(_, since)| *since + CALL_PATIENCE <= now);
        if self
            .paced_until
            .take_if(|until| *until + CALL_PATIENCE <= now)
            .is_some()
        {
            self.waiting.pop_first();
        }
    }

    /// A pass over `who` has ended; whether it was expected to take a place and did not, so that the next is to be called.
    pub(super) fn passed(&mut self, who: &BindingRef) -> bool {
        self.called.take_if(|(called, _)| called == who).is_some()
    }

    /// Who is to be woken because a place is free.
    pub(super) fn call(&mut self, now: Instant) -> Option<BindingRef> {
        self.forget_who_does_not_come(now);
        let paced = self.paced_until.is_some_and(|until| now < until);
        if paced || self.taken.len() >= PLACES || self.called.is_some() {
            return None;
        }
        let first = self.waiting.pop_first()?.rank.binding;
        self.called = Some((first.clone(), now));
        Some(first)
    }

    /// Everybody who waits, to be woken at once.
    pub(super) fn call_all(&mut self) -> Vec<BindingRef> {
        self.called = None;
        let waiting = std::mem::take(&mut self.waiting);
        waiting
            .into_iter()
            .map(|applicant| applicant.rank.binding)
            .collect()
    }

    /// The names of the credentials that are about to be created.
    pub(super) fn promised(&self) -> BTreeSet<String> {
        self.taken
            .values()
            .filter_map(|intent| match intent {
                Intent::Creation(name) => Some(name.clone()),
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
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn applicant(name: &str, urgency: Urgency, second: i64) -> Applicant {
        let created = Some(Timestamp::from_second(second).unwrap());
        let binding = binding(name);
        Applicant {
            urgency,
            rank: Rank { created, binding },
        }
    }

    fn binding(name: &str) -> BindingRef {
        BindingRef {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        }
    }

    fn creation(name: &str, second: i64) -> Applicant {
        applicant(name, Urgency::Creation, second)
    }

    /// A line whose places are taken, in which these wait.
    fn busy(waiting: &[Applicant]) -> Line {
        let mut line = Line::default();
        let now = Instant::now();
        for first in ["x", "y"] {
            assert!(line.take(&creation(first, 0), now));
        }
        for who in waiting {
            assert!(!line.take(who, now));
        }
        line
    }

    #[tokio::test]
    async fn deletions_come_first_then_repairs_then_the_oldest() {
        let mut line = busy(&[
            creation("young", 9),
            creation("old", 1),
            applicant("repair", Urgency::Repair, 5),
            applicant("deletion", Urgency::Deletion, 7),
        ]);
        let mut order = vec![];
        for _ in 0..4 {
            line.give_back(&binding("x"));
            let called = line.call(Instant::now()).unwrap();
            assert!(line.passed(&called));
            order.push(called.name);
        }
        assert_eq!(order, ["deletion", "repair", "old", "young"]);
        assert_eq!(line.call(Instant::now()), None);
    }

    #[tokio::test]
    async fn nobody_overtakes_who_stands_before() {
        let mut line = busy(&[creation("old", 1)]);
        line.give_back(&binding("x"));
        let now = Instant::now();
        assert!(!line.take(&creation("young", 2), now));
        assert!(line.take(&creation("old", 1), now));
        line.give_back(&binding("y"));
        assert!(line.take(&creation("young", 2), now));
    }

    #[tokio::test]
    async fn one_is_called_at_a_time_and_the_next_when_it_does_not_take_the_place() {
        let mut line = busy(&[creation("a", 1), creation("b", 2)]);
        let now = Instant::now();
        assert_eq!(line.call(now), None, "no place is free");
        line.give_back(&binding("x"));
        assert_eq!(line.call(now), Some(binding("a")));
        assert_eq!(line.call(now), None, "somebody is called already");
        assert!(!line.passed(&binding("b")));
        assert!(line.passed(&binding("a")), "it came and took nothing");
        assert_eq!(line.call(now), Some(binding("b")));
        assert!(line.take(&creation("b", 2), now));
        assert!(!line.passed(&binding("b")), "it took the place");
    }

    #[tokio::test]
    async fn while_azure_sets_the_pace_the_first_comes_back_by_itself() {
        let mut line = Line::default();
        let now = Instant::now();
        let (a, b) = (creation("a", 1), creation("b", 2));
        assert!(line.take(&a, now));
        let until = now + Duration::from_secs(4);
        line.give_back(a.binding());
        line.pace(&a, until);
        assert!(!line.take(&b, now));
        assert_eq!(line.call(now), None);
        assert!(!line.take(&b, until), "it stands behind");
        assert!(line.take(&a, until));
    }

    #[tokio::test]
    async fn what_is_about_to_be_created_is_promised_until_the_place_is_given_back() {
        let mut line = Line::default();
        assert!(line.take(&creation("a", 1), Instant::now()));
        assert!(line.promised().is_empty());
        line.intend(&binding("a"), Intent::Creation("azwib-a".to_owned()));
        assert_eq!(line.promised(), BTreeSet::from(["azwib-a".to_owned()]));
        line.give_back(&binding("a"));
        assert!(line.promised().is_empty());
    }

    #[tokio::test]
    async fn who_has_left_is_not_called() {
        let mut line = busy(&[creation("a", 1), creation("b", 2)]);
        line.leave(&binding("a"));
        assert!(!line.passed(&binding("a")));
        line.give_back(&binding("x"));
        assert_eq!(line.call(Instant::now()), Some(binding("b")));
    }

    #[tokio::test]
    async fn who_does_not_come_is_not_waited_for_long() {
        let mut line = busy(&[creation("gone", 1), creation("b", 2), creation("c", 3)]);
        line.give_back(&binding("x"));
        let now = Instant::now();
        assert_eq!(line.call(now), Some(binding("gone")));
        let later = now + CALL_PATIENCE;
        assert_eq!(line.call(later), Some(binding("b")));

        let mut line = Line::default();
        assert!(line.take(&creation("gone", 1), now));
        line.give_back(&binding("gone"));
        line.pace(&creation("gone", 1), now);
        assert!(!line.take(&creation("b", 2), now));
        assert!(line.take(&creation("b", 2), now + CALL_PATIENCE));
    }
}
