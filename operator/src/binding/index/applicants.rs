//! The applicants on one identity, in the order in which they are served.
//!
//! They are kept as its bindings change: a change moves one applicant, and no pass has to look at all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::keys::Age;
use crate::binding::credential::applicants::{Account, Quota};
use crate::ledger::decide::{Applicant, CREDENTIAL_LIMIT};
use crate::ledger::{BindingRef, Rank};

/// Who applies for a credential on one identity.
#[derive(Debug, Default)]
pub(super) struct Applicants {
    /// The live ones by their account, oldest first, and each as an applicant.
    accounts: BTreeMap<Arc<Account>, ByRank>,
    line: BTreeSet<InLine>,
    /// Deleted ones that still record a credential.
    departing: BTreeMap<Arc<Rank>, Arc<Account>>,
    /// Live ones that record a credential.
    holding: BTreeMap<Arc<Rank>, Arc<Account>>,
    /// Live ones that record a write alone.
    pending: BTreeMap<Arc<Rank>, Arc<Account>>,
    /// Those that the quota of a grant has no room for.
    over_quota: BTreeMap<Arc<Rank>, Arc<Account>>,
}

/// The bindings of one account by their rank, the oldest first. Nearly all accounts have one, so it is a list of that length.
type ByRank = Vec<(Arc<Rank>, Option<Arc<Applicant>>)>;

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
        self.departing.keys().any(|it| it.binding != *except)
    }

    pub(super) fn depart(&mut self, rank: &Arc<Rank>, account: &Arc<Account>) {
        self.departing.insert(Arc::clone(rank), Arc::clone(account));
    }

    /// The accounts whose bindings record a credential, those that are being deleted included, with the age of each binding.
    pub(super) fn holders(&self) -> impl Iterator<Item = (Age, &Arc<Account>)> {
        let holders = self.departing.iter().chain(&self.holding);
        holders.map(|(rank, account)| (Age(rank.created), account))
    }

    /// The accounts whose bindings record a write alone, the oldest first.
    pub(super) fn pending(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.pending.values()
    }

    /// Those without room in a quota that have waited longer than this one, the longest first.
    pub(super) fn over_quota(&self, than: Option<&Rank>) -> Vec<(Rank, Account)> {
        let all = self.over_quota.iter();
        let before = all.take_while(|(rank, _)| than.is_none_or(|than| ***rank < *than));
        let most = CREDENTIAL_LIMIT;
        let before = before.take(most);
        before
            .map(|(rank, account)| (Rank::clone(rank), Account::clone(account)))
            .collect()
    }

    pub(super) fn have_departed(&mut self, rank: &Rank) {
        self.departing.remove(rank);
    }

    /// A live binding comes.
    pub(super) fn put(
        &mut self,
        account: &Arc<Account>,
        rank: &Arc<Rank>,
        applicant: Option<&Arc<Applicant>>,
        quota: Quota,
    ) {
        match quota {
            Quota::Holds => drop(self.holding.insert(Arc::clone(rank), Arc::clone(account))),
            Quota::Waits => drop(
                self.over_quota
                    .insert(Arc::clone(rank), Arc::clone(account)),
            ),
            Quota::Pending => drop(self.pending.insert(Arc::clone(rank), Arc::clone(account))),
            Quota::Neither => {}
        }
        let bindings = self.accounts.entry(Arc::clone(account));
        let bindings = bindings.or_insert_with(|| Vec::with_capacity(1));
        let before = of_oldest(bindings);
        match bindings.binary_search_by(|(other, _)| other.cmp(rank)) {
            Ok(place) => bindings[place].1 = applicant.cloned(),
            Err(place) => bindings.insert(place, (Arc::clone(rank), applicant.cloned())),
        }
        let after = of_oldest(bindings);
        self.exchange(before, after);
    }

    /// A binding that was live is deleted, or gone.
    pub(super) fn take(&mut self, account: &Arc<Account>, rank: &Rank) {
        self.holding.remove(rank);
        self.over_quota.remove(rank);
        self.pending.remove(rank);
        let Some(bindings) = self.accounts.get_mut(account) else {
            return;
        };
        let before = of_oldest(bindings);
        bindings.retain(|(other, _)| **other != *rank);
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
fn of_oldest(bindings: &ByRank) -> Option<Arc<Applicant>> {
    bindings.first()?.1.clone()
}

#[cfg(test)]
mod tests;
