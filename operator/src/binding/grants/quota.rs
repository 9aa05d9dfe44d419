//! Whether the quotas of the grants that cover a binding leave room for its credential.
//!
//! Counted are, for one identity and each account once: every binding that records a credential there, also while it is being deleted,
//! every credential of azwib's that is listed, with a binding or without, and what is about to be written. Just after a start that
//! includes what an earlier process may have sent. Who has a credential comes first, the oldest first; then who has waited longer.
//! Where several quotas cover an account, the order decides which of them it is counted for.
//!
//! A record of a write alone gives no right to room: Azure may have refused that write.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use azwib_crds::{Issuer, ManagedIdentityId};

use crate::azure::ListedCredential;
use crate::binding::context::Context;
use crate::binding::credential::applicants::Account;
use crate::binding::credential::orphans::{account_of, account_of_ours};
use crate::binding::index::{Age, Bindings};
use crate::grant::{Grant, Mode, QuotaReached, Used};
use crate::ledger::Rank;
use crate::ledger::decide::{Applicant, Precedence};
use crate::runtime::deliberate::Bug;

/// What is counted for one binding, but for what is about to be written.
pub struct Counted<'a> {
    ctx: &'a Context,
    identity: &'a ManagedIdentityId,
    own: Account,
    grants: Vec<Arc<Grant>>,
    /// Who has a credential, the oldest first.
    holders: Vec<Account>,
    /// Whose writes may be under way, sent by an earlier process; the oldest first.
    pending: Vec<Arc<Account>>,
    /// Who has waited longer, the longest first.
    line: Vec<Account>,
}

/// Counts who uses the identity and who has waited longer than this applicant; `None` where no quota applies to it.
pub fn counted<'a>(
    applicant: &Applicant,
    identity: &'a ManagedIdentityId,
    (listing, applicants): (&[ListedCredential], &[Arc<Applicant>]),
    ctx: &'a Context,
) -> Option<Counted<'a>> {
    if ctx.grants_mode() != Mode::Enforce || Bug::QuotaIgnored.is_on() {
        return None;
    }
    let own = account_of(applicant.credential.subject.as_str())?;
    let grants = ctx.grants.covering(identity, (&own.0, &own.1));
    let is_open = |it: &Arc<Grant>| it.max_credentials_per_identity.is_none();
    if grants.is_empty() || grants.iter().any(is_open) {
        return None;
    }
    let pending = if ctx.ledgers.of(identity).may_be_of_earlier_process() {
        ctx.bindings.pending(identity)
    } else {
        vec![]
    };
    Some(Counted {
        ctx,
        pending,
        identity,
        own,
        grants,
        holders: holders(identity, listing, &ctx.defaults.issuer, &ctx.bindings),
        line: line(applicant, identity, applicants, ctx),
    })
}

impl Counted<'_> {
    /// Whether there is room for the credential of the binding, with what is about to be written for these subjects.
    ///
    /// # Errors
    /// Where there is none. One that has its credential already is never refused.
    pub fn check(&self, promised: &BTreeSet<String>) -> Result<(), QuotaReached> {
        let covering = |account: &Account| {
            let account = (&*account.0, &*account.1);
            self.ctx.grants.covering(self.identity, account)
        };
        if self.holders.contains(&self.own) {
            return Ok(());
        }
        let promised = self.in_line(promised.iter().filter_map(|it| account_of(it)));
        let holders = self.holders.iter();
        let holders = holders.chain(self.pending.iter().map(Arc::as_ref));
        let mut counted = HashSet::from([&self.own]);
        let mut used = Used::default();
        for holder in holders.chain(&promised) {
            if counted.insert(holder) {
                used.hold(&covering(holder));
            }
        }
        // Most often there is no room at all, and the line need not be looked at.
        used.clone().ask(&self.grants)?;
        for before in &self.line {
            if !counted.contains(before) {
                // Who finds no room there takes none.
                let _ = used.ask(&covering(before));
            }
        }
        used.ask(&self.grants)
    }

    /// These in the order of the line; those that have waited less than this one come last.
    fn in_line(&self, accounts: impl Iterator<Item = Account>) -> Vec<Account> {
        let place = |account: &Account| self.line.iter().position(|it| it == account);
        let mut accounts: Vec<_> = accounts.collect();
        accounts.sort_by_cached_key(|it| place(it).unwrap_or(usize::MAX));
        accounts
    }
}

/// The accounts that use the identity, the oldest first: a binding records a credential for them there, or a listing shows one. An
/// account is as old as the oldest of its bindings. One that only the listing shows comes first: nobody knows since when it is there.
pub(super) fn holders(
    identity: &ManagedIdentityId,
    listing: &[ListedCredential],
    issuer: &Issuer,
    bindings: &Bindings,
) -> Vec<Account> {
    let recorded = bindings.holders(identity);
    let mut ages: BTreeMap<Account, Age> = BTreeMap::new();
    for (age, account) in &recorded {
        let oldest = ages.entry(Account::clone(account)).or_insert(*age);
        *oldest = (*oldest).min(*age);
    }
    for listed in listing {
        if let Some((account, _)) = account_of_ours(listed, issuer) {
            ages.entry(account).or_insert(Age::OLDEST);
        }
    }
    let mut by_age: Vec<_> = ages
        .into_iter()
        .map(|(account, age)| (age, account))
        .collect();
    by_age.sort();
    by_age.into_iter().map(|(_, account)| account).collect()
}

/// The accounts that have waited longer, the longest first.
fn line(
    applicant: &Applicant,
    identity: &ManagedIdentityId,
    applicants: &[Arc<Applicant>],
    ctx: &Context,
) -> Vec<Account> {
    let waiting = applicants
        .iter()
        .filter(|it| it.standing != Precedence::Refused);
    let mut line: Vec<(Rank, Account)> = waiting
        .filter_map(|it| {
            Some((
                Rank::clone(&it.rank),
                account_of(it.credential.subject.as_str())?,
            ))
        })
        .collect();
    line.extend(ctx.bindings.over_quota(identity, Some(&applicant.rank)));
    line.retain(|(rank, _)| *rank < *applicant.rank);
    line.sort();
    line.into_iter().map(|(_, account)| account).collect()
}

#[cfg(test)]
mod tests;
