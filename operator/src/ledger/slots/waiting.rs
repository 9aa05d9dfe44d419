//! The applicants that wait for a slot, in the order in which they are served. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use azwib_crds::{CredentialName, Subject};

use crate::azure::ListedCredential;
use crate::ledger::decide::{Applicant, Precedence};
use crate::ledger::who::{BindingRef, Rank};

type Place = (Precedence, Rank);

/// Only who finds a slot is woken: each of the others would make a pass to learn that it waits on.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Waiting {
    line: BTreeMap<Place, About>,
    places: HashMap<BindingRef, Place>,
    /// Who was woken, until the end of the pass that follows.
    called: BTreeSet<BindingRef>,
}

/// What an applicant asks for.
#[derive(Debug)]
struct About {
    name: CredentialName,
    subject: Subject,
}

impl Waiting {
    /// An applicant finds no slot.
    pub(super) fn wait(&mut self, applicant: &Applicant) {
        let who = applicant.rank.binding.clone();
        self.leave(&who);
        let place = (applicant.standing, Rank::clone(&applicant.rank));
        let about = About {
            name: applicant.credential.name.clone(),
            subject: applicant.credential.subject.clone(),
        };
        self.line.insert(place.clone(), about);
        self.places.insert(who, place);
    }

    /// Somebody waits no more.
    pub(in crate::ledger) fn leave(&mut self, who: &BindingRef) {
        if let Some(place) = self.places.remove(who) {
            self.line.remove(&place);
        }
    }

    pub(super) fn contains(&self, who: &BindingRef) -> bool {
        self.places.contains_key(who)
    }

    /// How many wait, those included that were just woken to look.
    pub(in crate::ledger) fn len(&self) -> usize {
        let woken = self.called.iter().filter(|who| !self.contains(who));
        self.places.len() + woken.count()
    }

    /// Who comes first, at most so many. They do not wait any more.
    pub(super) fn call(&mut self, most: usize) -> Vec<BindingRef> {
        let first = self.line.keys().take(most);
        let called: Vec<_> = first.map(|(_, rank)| rank.binding.clone()).collect();
        self.have_called(called)
    }

    /// Who asks for a credential that is listed, by its name or its subject: that needs no slot. They do not wait any
    /// more.
    pub(super) fn decided_by(&mut self, listing: &[ListedCredential]) -> Vec<BindingRef> {
        if self.line.is_empty() {
            return vec![];
        }
        let names: HashSet<_> = listing
            .iter()
            .map(|it| it.name.to_ascii_lowercase())
            .collect();
        let contents = listing.iter().filter_map(|it| it.content.as_ref());
        let subjects: HashSet<_> = contents.map(|it| it.subject.as_str()).collect();
        let is_listed = |about: &About| {
            names.contains(about.name.as_str()) || subjects.contains(about.subject.as_str())
        };
        let decided = self.line.iter().filter(|(_, about)| is_listed(about));
        let called: Vec<_> = decided.map(|((_, rank), _)| rank.binding.clone()).collect();
        self.have_called(called)
    }

    fn have_called(&mut self, called: Vec<BindingRef>) -> Vec<BindingRef> {
        for who in &called {
            self.leave(who);
            self.called.insert(who.clone());
        }
        called
    }

    /// A pass over `who` has ended; whether it had been woken for a slot.
    pub(in crate::ledger) fn answered(&mut self, who: &BindingRef) -> bool {
        self.called.remove(who)
    }
}

#[cfg(test)]
mod tests;
