//! Deletes what the binding has made in Azure, as far as it is provably its own.

use std::ops::ControlFlow;
use std::sync::Arc;

use azwib_crds::{CredentialName, CredentialOrigin, RecordedCredential, Subject};

use super::deleted_binding::DeletedBinding;
use super::deletion::{Deleted, delete_found, deletion_place, read};
use super::hand_over::handed_over;
use super::lost;
use super::ownership::is_ours;
use crate::azure::safe_line;
use crate::binding::context::Context;
use crate::binding::credential::record::{content_of, in_place_for};
use crate::binding::error::Error;
use crate::binding::status::believed::{Recorded, whose};
use crate::ledger::{AcknowledgedEarlier, Ledger};

/// Deletes what the binding has made.
pub(super) async fn delete_credentials(
    departing: &DeletedBinding,
    ctx: &Context,
) -> Result<Deleted, Error> {
    let issuer = &ctx.defaults.issuer;
    let mut records_own = false;
    for recorded in &departing.credentials {
        match whose(recorded, &departing.owner(), issuer) {
            Recorded::Own { identity, name } => {
                records_own = true;
                // An earlier process may have sent a write a moment before it ended. A creation could still appear after our deletion,
                // and a deletion could take away what the next binding makes.
                let ledger = ctx.ledgers.of(&identity);
                ledger.take_note_of_deletion(&recorded.name);
                if handed_over(recorded, departing, &identity, ctx).await? {
                    if ctx.told.is_news(departing.uid(), "handed over") {
                        tracing::info!(%name, "the credential stays for another binding");
                    }
                    continue;
                }
                let is_pending = recorded.origin == CredentialOrigin::Pending;
                let in_place = in_place_for(&departing.conditions, ctx.clock.now());
                if let Some(ago) = in_place.filter(|_| !is_pending) {
                    // A read made now may still show the state before that write.
                    ledger.take_note_of_acknowledged(AcknowledgedEarlier {
                        name: recorded.name.clone(),
                        content: content_of(recorded),
                        ago,
                    });
                }
                delete_credential(departing, &ledger, &name, recorded, ctx).await?;
            }
            Recorded::Adopted => {
                if ctx.told.is_news(departing.uid(), "adopted") {
                    tracing::info!(credential = recorded.name, "an adopted credential stays");
                }
            }
            Recorded::OfOtherIssuer => {
                let why = format!(
                    "it was made for the issuer {}, and this operator runs with --issuer={issuer}; another cluster may use \
                     it. If none does, delete it by hand",
                    recorded.issuer
                );
                leave(departing, recorded, &why, ctx).await;
            }
            Recorded::Foreign(why) => leave(departing, recorded, why, ctx).await,
        }
    }
    if records_own {
        return Ok(Deleted::of(true));
    }
    lost::delete(departing, ctx).await
}

/// Deletes a credential that is recorded.
async fn delete_credential(
    departing: &DeletedBinding,
    ledger: &Arc<Ledger>,
    name: &CredentialName,
    recorded: &RecordedCredential,
    ctx: &Context,
) -> Result<(), Error> {
    let place = deletion_place(departing, ledger, name, ctx).await?;
    // Asked again: a duplicate that came before the place was taken is in the store by now.
    if handed_over(recorded, departing, ledger.id(), ctx).await? {
        return Ok(());
    }
    if ledger.is_in_doubt() {
        let is_gone = ledger.is_gone(&departing.rank().binding).await;
        if is_gone.inspect_err(|why| place.wait_for_pace(*why))? {
            return Ok(());
        }
    }
    let ControlFlow::Continue(found) = read(departing, ledger, &place, name, ctx).await? else {
        return Ok(());
    };
    let subject = Subject::of_service_account(departing.namespace(), &departing.service_account);
    let issuer = &ctx.defaults.issuer;
    // That nothing is there does not count: a read may lag behind.
    if found
        .as_ref()
        .is_some_and(|found| !is_ours(found, issuer, &subject))
    {
        let why = "somebody changed its issuer or subject";
        leave(departing, recorded, why, ctx).await;
        return Ok(());
    }
    delete_found(departing, ledger, place, name, found.is_some(), ctx).await
}

async fn leave(
    departing: &DeletedBinding,
    recorded: &RecordedCredential,
    why: &str,
    ctx: &Context,
) {
    if !ctx.told.is_news(departing.uid(), why) {
        return;
    }
    let credential = safe_line(&recorded.name);
    let told = safe_line(why);
    tracing::warn!(credential, why = told, "the credential is left");
    ctx.events
        .credential_left(&departing.metadata, &recorded.name, why)
        .await;
}
