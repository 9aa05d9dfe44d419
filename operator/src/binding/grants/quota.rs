//! Whether the quotas of the grants that cover a binding leave room for its credential.
//!
//! Counted are, for one identity and each account once: every binding that records a credential there, also while it is being deleted,
//! every credential of azwib's that is listed, with a binding or without, and what is about to be written. Just after a start that
//! includes what an earlier process may have sent. Then the line: who has waited longer comes first.
//!
//! A record of a write alone gives no right to room: Azure may have refused that write.

use std::collections::BTreeSet;
use std::sync::Arc;

use azwib_crds::{Issuer, ManagedIdentityId};

use crate::azure::ListedCredential;
use crate::binding::context::Context;
use crate::binding::credential::applicants::Account;
use crate::binding::credential::orphans::{account_of, account_of_ours};
use crate::binding::index::Bindings;
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
    holders: BTreeSet<Account>,
    /// Whose writes may be under way, sent by an earlier process.
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
        let mut holders = self.holders.clone();
        if holders.contains(&self.own) {
            return Ok(());
        }
        holders.extend(self.pending.iter().map(|it| Account::clone(it)));
        holders.extend(promised.iter().filter_map(|it| account_of(it)));
        holders.remove(&self.own);
        let mut used = Used::default();
        for holder in &holders {
            used.hold(&covering(holder));
        }
        // Most often there is no room at all, and the line need not be looked at.
        used.clone().ask(&self.grants)?;
        for before in &self.line {
            if *before != self.own && !holders.contains(before) {
                // Who finds no room there takes none.
                let _ = used.ask(&covering(before));
            }
        }
        used.ask(&self.grants)
    }
}

/// The accounts that use the identity: a binding records a credential for them there, or a listing shows one.
pub(super) fn holders(
    identity: &ManagedIdentityId,
    listing: &[ListedCredential],
    issuer: &Issuer,
    bindings: &Bindings,
) -> BTreeSet<Account> {
    let listed = listing.iter();
    let listed = listed.filter_map(|it| account_of_ours(it, issuer).map(|(account, _)| account));
    let recorded = bindings.holders(identity);
    let recorded = recorded.iter().map(|it| Account::clone(it));
    listed.chain(recorded).collect()
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
