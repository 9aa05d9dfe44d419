//! The deletion of one credential, in its identity's turn.

use std::ops::ControlFlow;
use std::sync::Arc;

use azwib_crds::{CredentialName, WorkloadIdentityBinding};

use super::deleted_binding::DeletedBinding;
use crate::azure::ListedCredential;
use crate::binding::changes::Changed;
use crate::binding::context::Context;
use crate::binding::error::{Error, Failure};
use crate::binding::read_only::withhold;
use crate::binding::status::reason::ConditionType;
use crate::ledger::{Ledger, Operation, Place, ReadError, Urgency, Writer};
use crate::runtime::deliberate::Bug;

/// What the deletion of a binding's credentials has come to.
#[derive(Debug)]
pub(super) struct Deleted {
    /// Whether the binding has made anything.
    pub made: bool,
    /// The binding as its status was written meanwhile.
    pub written: Option<Box<WorkloadIdentityBinding>>,
}

impl Deleted {
    /// Nothing was written.
    pub(super) fn of(made: bool) -> Self {
        Self {
            made,
            written: None,
        }
    }
}

/// A place among those who write to the identity. Whoever comes now waits for the deletion.
pub(super) async fn deletion_place(
    departing: &DeletedBinding,
    ledger: &Arc<Ledger>,
    name: &CredentialName,
    ctx: &Context,
) -> Result<Place, Error> {
    withhold(
        ConditionType::CredentialReady,
        || {
            format!(
                "delete the federated identity credential {name} of {}",
                ledger.id()
            )
        },
        ctx,
    )?;
    let writer = Writer {
        urgency: Urgency::Deletion,
        rank: departing.rank(),
    };
    let place = ledger.place(&writer, Operation::Delete).await?;
    place.announce_deletion(name);
    Ok(place)
}

/// What stands under the name that is about to be deleted. `Break` where the identity is gone, and the credential with it.
pub(super) async fn read(
    departing: &DeletedBinding,
    ledger: &Arc<Ledger>,
    place: &Place,
    name: &CredentialName,
    ctx: &Context,
) -> Result<ControlFlow<(), Option<ListedCredential>>, Error> {
    let look = ctx.look(departing.uid());
    match place.credential_to_delete(name, look).await {
        Ok(found) => Ok(ControlFlow::Continue(found)),
        Err(ReadError::Azure { source, .. }) => {
            let failure = Failure::ReadCredential {
                identity: ledger.id().to_string(),
                name: name.clone(),
                source,
            };
            unless_identity_is_gone(failure, departing, ledger).await?;
            Ok(ControlFlow::Break(()))
        }
        Err(ReadError::NotNow(why)) => Err(why.into()),
    }
}

pub(super) async fn delete_found(
    departing: &DeletedBinding,
    ledger: &Arc<Ledger>,
    place: Place,
    name: &CredentialName,
    seen: bool,
    ctx: &Context,
) -> Result<(), Error> {
    match place.turn().await?.delete(name, seen).await {
        Ok(_) => {
            ctx.changes.note(Changed::Credential);
            Ok(())
        }
        Err(source) => {
            let failure = Failure::DeleteCredential {
                identity: ledger.id().to_string(),
                name: name.clone(),
                source,
            };
            unless_identity_is_gone(failure, departing, ledger).await
        }
    }
}

/// Ignores a failure if the identity, its group or its subscription is gone: the credential went with it.
async fn unless_identity_is_gone(
    failure: Failure,
    departing: &DeletedBinding,
    ledger: &Arc<Ledger>,
) -> Result<(), Error> {
    if !failure.says_identity_is_gone() || Bug::GoneIdentityWedges.is_on() {
        return Err(failure.into());
    }
    if ledger.is_gone(&departing.rank().binding).await? {
        Ok(())
    } else {
        Err(failure.into())
    }
}
