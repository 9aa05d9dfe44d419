//! What an earlier process may have sent a moment before it ended, as the records of the bindings say. It is noted before the first
//! pass: whichever binding comes first, it writes to no identity on which something may be under way for another one.

use azwib_crds::{CredentialOrigin, ManagedIdentityId, WorkloadIdentityBinding};

use super::credential::record::content_of;
use super::index::Bindings;
use super::status::believed::believed;
use super::status::reason::ConditionType;
use super::validate::Defaults;
use crate::kubeutil::conditions::{ConditionStatus, find};
use crate::ledger::{BindingRef, Ledgers};
use crate::runtime::deliberate::Bug;

/// Takes note of it in the ledger of each identity that is concerned. A binding without a record has nothing under way: also what
/// only a listing has shown is recorded before it is deleted.
pub fn take_note_of_earlier(bindings: &Bindings, defaults: &Defaults, ledgers: &Ledgers) {
    if Bug::OldDeletionsForgotten.is_on() {
        return;
    }
    for stored in bindings.each() {
        if let Ok(binding) = &stored.0 {
            take_note(&believed(binding, defaults), ledgers);
        }
    }
}

fn take_note(binding: &WorkloadIdentityBinding, ledgers: &Ledgers) {
    let goes = binding.metadata.deletion_timestamp.is_some();
    let recorded = binding
        .status
        .iter()
        .flat_map(|status| &status.credentials)
        .filter(|recorded| recorded.origin != CredentialOrigin::Adopted);
    for recorded in recorded {
        let Some(identity) = recorded.managed_identity() else {
            continue;
        };
        if goes || is_refused(binding) {
            let ledger = ledgers.of(&identity);
            ledger.take_note_of_deletion(&recorded.name);
        } else if recorded.origin == CredentialOrigin::Pending {
            let ledger = ledgers.of(&identity);
            ledger.take_note_of_pending(&recorded.name, content_of(recorded));
        }
    }
}

/// Whether no grant allows what it has: that is taken away after a while.
fn is_refused(binding: &WorkloadIdentityBinding) -> bool {
    let conditions = binding.status.as_ref().map(|it| &*it.conditions);
    let granted = find(
        conditions.unwrap_or_default(),
        ConditionType::Granted.as_str(),
    );
    granted.is_some_and(|it| it.status == ConditionStatus::False.as_str())
}

/// Keeps everybody off the identities of a binding for as long as something may be under way for it, whatever that is.
pub fn keep_off(binding: &BindingRef, identities: &[ManagedIdentityId], ledgers: &Ledgers) {
    for identity in identities {
        ledgers.of(identity).take_note_of_unseen(binding);
    }
}
