//! What should be done, from what is desired and what was found. Pure.

use azwib_crds::ResolvedIdentity;
use std::sync::Arc;

use super::account::{AccountConfiguration, configuration, holder};
use super::error::Error;
use super::observe::Observed;
use super::validate::Desired;
use crate::ledger::Ledger;
use crate::ledger::plan::{Claim, Decision, decide};

/// What one pass is going to do.
pub struct Plan {
    pub ledger: Arc<Ledger>,
    pub identity: ResolvedIdentity,
    pub account: AccountStep,
    pub credential: CredentialStep,
    pub claim: Claim,
}

/// What is done about the ServiceAccount.
#[derive(Debug)]
pub enum AccountStep {
    /// It is as it should be.
    InPlace(AccountConfiguration),
    /// It is applied.
    Apply(AccountConfiguration),
    /// It stays with the binding that holds it.
    HeldBy { binding: String, client_id: String },
}

/// What is done about the credential.
#[derive(Debug)]
pub enum CredentialStep {
    /// It stands as claimed.
    Keep,
    /// It is written, in the identity's turn.
    Write,
    /// Nothing is written, for this reason.
    Stop(Error),
}

/// Decides; changes nothing.
pub fn plan(observed: Observed, desired: &Desired, credential_limit: usize) -> Plan {
    let Observed {
        ledger,
        identity,
        listing,
        account,
        claimants,
        older_twin,
    } = observed;
    let account = match holder(&claimants, account.as_ref()) {
        Some(holder) if holder.client_id != identity.client_id => AccountStep::HeldBy {
            binding: holder.name.clone(),
            client_id: holder.client_id.clone(),
        },
        _ => {
            let configuration = configuration(&claimants, account.as_ref());
            match account {
                Some(meta) if configuration.is_in_place(&meta) => {
                    AccountStep::InPlace(configuration)
                }
                _ => AccountStep::Apply(configuration),
            }
        }
    };
    let credential = match (older_twin, listing) {
        (Some(older), _) => CredentialStep::Stop(Error::Duplicate { older }),
        (None, Err(error)) => CredentialStep::Stop(error),
        (None, Ok(listing)) => match decide(&listing, &desired.claim, credential_limit) {
            Decision::Keep => CredentialStep::Keep,
            Decision::Create | Decision::Update => CredentialStep::Write,
            Decision::Refuse(refusal) => CredentialStep::Stop(Error::Claim(refusal)),
        },
    };
    Plan {
        ledger,
        identity,
        account,
        credential,
        claim: desired.claim.clone(),
    }
}
