//! What should be done, from what is desired and what was found. Pure.

mod writes;

use std::sync::Arc;

use azwib_crds::{ResolvedIdentity, ServiceAccountCreation, ServiceAccountRole};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::account::error::ServiceAccountError;
use super::account::{
    AccountBinding, AccountConfiguration, CLIENT_ID, Drift, ExistingAccount, Field, configuration,
    default_binding,
};
use super::credential::duplicates::{OlderDuplicate, OlderState};
use super::error::{Error, Failure};
use super::observe::Observed;
use super::validate::Desired;
use crate::azure::ListedCredential;
use crate::azure::safe_line;
use crate::ledger::decide::{Applicant, Decision, Refusal, Situation, decide};

/// What one pass is going to do.
pub struct Plan {
    pub identity: ResolvedIdentity,
    pub account: AccountStep,
    pub credential: CredentialStep,
    pub applicant: Applicant,
    pub applicants: Vec<Arc<Applicant>>,
}

/// What is done about the ServiceAccount.
#[derive(Debug)]
pub enum AccountStep {
    /// It is as it should be.
    InPlace(AccountConfiguration),
    /// It is applied; where it carried this before, it was changed since.
    Apply(AccountConfiguration, Drift),
    /// It stays with whoever holds it.
    Stop(ServiceAccountError),
    /// This is applied, and then it stays with whoever holds it.
    GiveUp(AccountConfiguration, ServiceAccountError),
    /// It is missing, and made only once the credential works.
    Wait,
}

/// What is done about the credential.
#[derive(Debug)]
pub enum CredentialStep {
    /// It stands as desired.
    Keep,
    /// It stands as desired under this name, and was there before.
    Adopt { name: String },
    /// It stands as desired, since then; an older duplicate looks after it.
    Provided {
        by: String,
        since: Time,
        adopted: Option<String>,
    },
    /// It is written, in the identity's turn.
    Write,
    /// It cannot have what it asks for now.
    Refuse(Refusal),
    /// Nothing is written, for this reason.
    Stop(Error),
}

/// Decides; changes nothing.
pub fn plan(observed: Observed, desired: &Desired, credential_limit: usize) -> Plan {
    let Observed {
        promised,
        identity,
        listing,
        applicant,
        applicants,
        account,
        account_bindings,
        older_duplicate,
        credential_works,
    } = observed;
    let credential = credential_step(older_duplicate, listing, |listing| {
        let situation = Situation {
            listing,
            applicants: &applicants,
            promised: &promised,
            limit: credential_limit,
        };
        decide(&applicant, &situation)
    });
    let works = credential_works && is_good(&credential);
    Plan {
        account: account_step(
            &account_bindings,
            account.as_ref(),
            &identity,
            desired,
            works,
        ),
        identity,
        credential,
        applicant,
        applicants,
    }
}

/// Whether the credential stands as desired, or did when last seen and cannot be looked at now.
fn is_good(credential: &CredentialStep) -> bool {
    match credential {
        CredentialStep::Keep | CredentialStep::Adopt { .. } | CredentialStep::Provided { .. } => {
            true
        }
        CredentialStep::Stop(error) => error.is_disturbance(),
        CredentialStep::Write | CredentialStep::Refuse(_) => false,
    }
}

fn credential_step(
    older_duplicate: Option<OlderDuplicate>,
    listing: Result<Vec<ListedCredential>, Error>,
    decide: impl FnOnce(&[ListedCredential]) -> Decision,
) -> CredentialStep {
    // What an older one does not provide is not even looked at: two that ask for the same would take turns in being wrong.
    let older_duplicate = match older_duplicate {
        Some(older) if !matches!(older.stands, OlderState::Ready { .. }) => {
            return CredentialStep::Stop(Failure::Duplicate(older).into());
        }
        other => other,
    };
    let listing = match listing {
        Ok(listing) => listing,
        Err(error) => return CredentialStep::Stop(error),
    };
    let decision = decide(&listing);
    if let Some(older) = older_duplicate {
        return provided(older, decision);
    }
    match decision {
        Decision::Keep => CredentialStep::Keep,
        Decision::Adopt { name } => CredentialStep::Adopt { name },
        Decision::Create | Decision::Update => CredentialStep::Write,
        Decision::Refuse(refusal) => CredentialStep::Refuse(refusal),
    }
}

/// What an older duplicate provides that is Ready; nothing is written beside it.
fn provided(older: OlderDuplicate, decision: Decision) -> CredentialStep {
    let adopted = match decision {
        Decision::Keep => None,
        Decision::Adopt { name } => Some(name),
        _ => return CredentialStep::Stop(Failure::Duplicate(older).into()),
    };
    match older {
        OlderDuplicate {
            name: by,
            stands: OlderState::Ready { since },
        } => CredentialStep::Provided { by, since, adopted },
        other => CredentialStep::Stop(Failure::Duplicate(other).into()),
    }
}

fn account_step(
    account_bindings: &[AccountBinding],
    existing: Option<&ExistingAccount>,
    identity: &ResolvedIdentity,
    desired: &Desired,
    credential_works: bool,
) -> AccountStep {
    if let Some(default) = default_binding(account_bindings, existing)
        && desired.role == ServiceAccountRole::Default
        && default.client_id != identity.client_id
    {
        return AccountStep::Stop(ServiceAccountError::NamesAnotherBinding {
            binding: default.name.clone(),
            client_id: default.client_id.clone(),
        });
    }
    let configuration = configuration(account_bindings, existing);
    let waits = desired.creation == ServiceAccountCreation::WhenCredentialReady;
    let Some(existing) = existing else {
        return if waits && !credential_works {
            AccountStep::Wait
        } else {
            let drift = configuration.drift(None);
            AccountStep::Apply(configuration, drift)
        };
    };
    if let Some((field, manager)) = configuration.conflict(existing) {
        let given_up = configuration.given_up(existing);
        // An additional identity needs none of the annotations: their conflict is the default binding's.
        if desired.role == ServiceAccountRole::Additional {
            return given_up.map_or(AccountStep::InPlace(configuration), |configuration| {
                let drift = configuration.drift(Some(existing));
                AccountStep::Apply(configuration, drift)
            });
        }
        let error = ServiceAccountError::OwnedByManager {
            field: format!("annotation {field}"),
            message: safe_line(&format!("conflict with \"{manager}\"")),
        };
        return match given_up {
            Some(configuration) => AccountStep::GiveUp(configuration, error),
            None => AccountStep::Stop(error),
        };
    }
    if let Some(error) = frozen(account_bindings, existing, identity, desired) {
        return AccountStep::Stop(error);
    }
    if configuration.is_in_place(existing) {
        AccountStep::InPlace(configuration)
    } else {
        let drift = configuration.drift(Some(existing));
        AccountStep::Apply(configuration, drift)
    }
}

/// A suspended default binding keeps the account as it is, and that may be without the client id that this binding would name.
fn frozen(
    account_bindings: &[AccountBinding],
    existing: &ExistingAccount,
    identity: &ResolvedIdentity,
    desired: &Desired,
) -> Option<ServiceAccountError> {
    let default =
        default_binding(account_bindings, Some(existing)).filter(|default| default.suspended)?;
    let names_it = existing.annotation(CLIENT_ID) == Some(&identity.client_id);
    (desired.role == ServiceAccountRole::Default && !names_it).then(|| {
        ServiceAccountError::Frozen {
            field: Field::Annotation(CLIENT_ID).to_string(),
            binding: default.name.clone(),
        }
    })
}

#[cfg(test)]
mod tests;
