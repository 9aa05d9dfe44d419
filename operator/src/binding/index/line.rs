//! The line on each identity, and what quotas count there, as the watch shows it.

use std::sync::Arc;

use azwib_crds::ManagedIdentityId;

use super::applicants::Applicants;
use super::bindings::Bindings;
use super::keys::Age;
use crate::binding::credential::applicants::{Account, Indexed};
use crate::ledger::decide::{Applicant, Precedence};
use crate::ledger::{BindingRef, Rank};

impl Bindings {
    /// The applicants at the front of this identity's line that may apply, at most so many.
    pub fn front_of_line(
        &self,
        identity: &ManagedIdentityId,
        most: usize,
        may_apply: impl Fn(&Applicant) -> bool,
    ) -> Vec<Arc<Applicant>> {
        self.applicants(identity, |it| it.front(most, may_apply))
    }

    /// The accounts whose bindings record a credential on this identity, with the age of each binding.
    pub fn holders(&self, identity: &ManagedIdentityId) -> Vec<(Age, Arc<Account>)> {
        let all = |it: &Applicants| {
            it.holders()
                .map(|(age, it)| (age, Arc::clone(it)))
                .collect()
        };
        self.applicants(identity, all)
    }

    /// The accounts whose bindings record a write to this identity, and no credential that Azure has acknowledged; the oldest first.
    pub fn pending(&self, identity: &ManagedIdentityId) -> Vec<Arc<Account>> {
        self.applicants(identity, |it| it.pending().cloned().collect())
    }

    /// What there is to say of the applicants on an identity; nothing where there are none.
    fn applicants<T: Default>(
        &self,
        identity: &ManagedIdentityId,
        look: impl FnOnce(&Applicants) -> T,
    ) -> T {
        let index = self.index();
        let applicants = index.applicants.get(identity.key());
        applicants.map(look).unwrap_or_default()
    }

    /// Those on this identity without room in a quota that have waited longer than this one, or all; the longest first, and no more
    /// than an identity can have credentials.
    pub fn over_quota(
        &self,
        identity: &ManagedIdentityId,
        than: Option<&Rank>,
    ) -> Vec<(Rank, Account)> {
        self.applicants(identity, |it| it.over_quota(than))
    }

    /// Those that wait for room in a quota, by the identity that they wait for.
    pub fn waiting_for_room(&self) -> Vec<(ManagedIdentityId, Vec<BindingRef>)> {
        let index = self.index();
        let applicants = index.applicants.iter();
        let waiting = applicants.filter_map(|(key, applicants)| {
            let waiting = applicants.over_quota(None).into_iter();
            let waiting: Vec<_> = waiting.map(|(rank, _)| rank.binding).collect();
            Some((ManagedIdentityId::parse(key).ok()?, waiting))
        });
        waiting.filter(|(_, waiting)| !waiting.is_empty()).collect()
    }

    /// Whether this binding stands in the line of its identity, before others.
    pub fn is_in_line(&self, who: &BindingRef) -> bool {
        let index = self.index();
        let Some(Indexed::Live {
            identity,
            applicant: Some(applicant),
            ..
        }) = index.stakes.get(who)
        else {
            return false;
        };
        let applicants = index.applicants.get(identity);
        applicant.standing != Precedence::Refused
            && applicants.is_some_and(|applicants| applicants.has(applicant))
    }

    /// Whether a binding other than this one is being deleted and has a credential on this identity still on record.
    pub fn is_deletion_pending(&self, identity: &ManagedIdentityId, except: &BindingRef) -> bool {
        self.applicants(identity, |it| it.is_departed_from(except))
    }
}
