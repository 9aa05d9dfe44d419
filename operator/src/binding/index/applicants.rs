//! The applicants on one identity, in the order in which they are served.
//!
//! They are kept as its bindings change: a change moves one applicant, and no pass has to look at all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::binding::credential::applicants::Account;
use crate::ledger::decide::Applicant;
use crate::ledger::{BindingRef, Rank};

/// Who applies for a credential on one identity.
#[derive(Debug, Default)]
pub(super) struct Applicants {
    /// The live ones by their account, oldest first, and each as an applicant.
    accounts: BTreeMap<Arc<Account>, BTreeMap<Rank, Option<Arc<Applicant>>>>,
    line: BTreeSet<InLine>,
    departing: BTreeSet<Arc<BindingRef>>,
}

/// An applicant, in the order of its place.
#[derive(Debug)]
struct InLine(Arc<Applicant>);

impl Ord for InLine {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.place().cmp(&other.0.place())
    }
}

impl PartialOrd for InLine {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for InLine {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for InLine {}

impl Applicants {
    pub(super) fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.departing.is_empty()
    }

    /// The first of the line that may apply, at most so many.
    pub(super) fn front(
        &self,
        most: usize,
        may_apply: impl Fn(&Applicant) -> bool,
    ) -> Vec<Arc<Applicant>> {
        let line = self.line.iter().map(|applicant| &applicant.0);
        let front = line.filter(|applicant| may_apply(applicant)).take(most);
        front.cloned().collect()
    }

    /// Whether this applicant is in the line, and not behind an older binding of its account.
    pub(super) fn has(&self, applicant: &Arc<Applicant>) -> bool {
        self.line.contains(&InLine(Arc::clone(applicant)))
    }

    /// Whether a binding other than this one is being deleted and has a credential on the identity still on record.
    pub(super) fn is_departed_from(&self, except: &BindingRef) -> bool {
        self.departing.iter().any(|it| **it != *except)
    }

    pub(super) fn depart(&mut self, who: &Arc<BindingRef>) {
        self.departing.insert(Arc::clone(who));
    }

    pub(super) fn have_departed(&mut self, who: &BindingRef) {
        self.departing.remove(who);
    }

    /// A live binding comes.
    pub(super) fn put(
        &mut self,
        account: &Arc<Account>,
        rank: &Rank,
        applicant: Option<&Arc<Applicant>>,
    ) {
        let bindings = self.accounts.entry(Arc::clone(account)).or_default();
        let before = of_oldest(bindings);
        bindings.insert(rank.clone(), applicant.cloned());
        let after = of_oldest(bindings);
        self.exchange(before, after);
    }

    /// A binding that was live is deleted, or gone.
    pub(super) fn take(&mut self, account: &Arc<Account>, rank: &Rank) {
        let Some(bindings) = self.accounts.get_mut(account) else {
            return;
        };
        let before = of_oldest(bindings);
        bindings.remove(rank);
        let after = of_oldest(bindings);
        if bindings.is_empty() {
            self.accounts.remove(account);
        }
        self.exchange(before, after);
    }

    fn exchange(&mut self, before: Option<Arc<Applicant>>, after: Option<Arc<Applicant>>) {
        if let Some(before) = before {
            self.line.remove(&InLine(before));
        }
        if let Some(after) = after {
            self.line.insert(InLine(after));
        }
    }
}

/// The oldest as an applicant: while that is none, no younger one of the same account is.
fn of_oldest(bindings: &BTreeMap<Rank, Option<Arc<Applicant>>>) -> Option<Arc<Applicant>> {
    bindings.first_key_value()?.1.clone()
}

#[cfg(test)]
mod tests;
