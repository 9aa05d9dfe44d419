//! What happens before a deleted binding may go.
//!
//! It skips validation: what was recorded is what is cleaned up, and nothing is deleted that cannot be proven to be
//! ours. Name and subject are computed from the namespace and the account, never read from status, and what was recorded
//! for another issuer stays.

mod hand_over;
mod lost;
mod ownership;

use std::sync::Arc;

use azwib_crds::{
    CredentialName, CredentialOrigin, DeletionPolicy, RecordedCredential, Subject,
    WorkloadIdentityBinding,
};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, ResourceExt};
use kube_runtime::reflector::ObjectRef;

use super::Context;
use super::account::{
    AccountConfiguration, Difference, ExistingAccount, claimant, configuration_after, why_left,
};
use super::believed::{Recorded, whose};
use super::contests::Admission;
use super::departing::{Departing, asks_to_let_go};
use super::error::Error;
use super::records::{content_of, in_place_for};
use super::service_account::{ServiceAccountError, account_now, apply_account};
use crate::azure::safe_line;
use crate::ledger::{Applicant, Ledger, Operation, Place, ReadError, Urgency};
use crate::runtime::deliberate::Bug;
use hand_over::handed_over;
use ownership::is_ours;

/// What came of a cleanup.
#[derive(Debug)]
pub enum Cleaned {
    /// Nothing is left of this binding, as it was read: the finalizer may go.
    Up(Box<WorkloadIdentityBinding>),
    /// The binding is not there any more. Another may bear its name, and the finalizer of that one has to stay.
    Gone,
}

/// What is undone, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Credentials,
    Account,
    Finalizer,
}

/// A cleanup that did not come to its end.
#[derive(Debug)]
pub struct Stopped {
    /// What could not be undone; all before it is.
    pub at: Stage,
    pub error: Error,
}

impl Stage {
    /// What is told when it is given up on.
    fn let_go(self) -> &'static str {
        match self {
            Self::Credentials => "let go with its credentials",
            Self::Account => "let go with its account",
            Self::Finalizer => "let go with its finalizer",
        }
    }

    fn stopped(self, error: impl Into<Error>) -> Stopped {
        let error = error.into();
        Stopped { at: self, error }
    }
}

/// Cleans up after a binding that is being deleted.
pub async fn cleanup(binding: &WorkloadIdentityBinding, ctx: &Context) -> Result<Cleaned, Stopped> {
    let bindings: Api<WorkloadIdentityBinding> =
        Api::namespaced(ctx.client.clone(), &binding.namespace().unwrap_or_default());
    if Bug::StaleBindingAtCleanup.is_on() {
        let shown =
            ObjectRef::new(&binding.name_any()).within(&binding.namespace().unwrap_or_default());
        if let Some(Ok(shown)) = ctx.bindings.store().get(&shown).as_deref().map(|it| &it.0) {
            cleanup_departing(&Departing::from(shown), ctx).await?;
            return Ok(Cleaned::Up(Box::new(shown.clone())));
        }
    }
    // The watch may lag behind: a record that was written a moment ago must not be missed.
    let read = bindings.get_opt(&binding.name_any()).await;
    match read.map_err(|error| Stage::Credentials.stopped(error))? {
        Some(read) if read.uid() == binding.uid() => {
            cleanup_departing(&Departing::from(&read), ctx).await?;
            Ok(Cleaned::Up(Box::new(read)))
        }
        _ => Ok(Cleaned::Gone),
    }
}

/// The same for what is known of a binding.
pub async fn cleanup_departing(departing: &Departing, ctx: &Context) -> Result<(), Stopped> {
    let mut made = false;
    if departing.deletion_policy == DeletionPolicy::Delete || Bug::RetainIgnored.is_on() {
        match delete_credentials(departing, ctx).await {
            Err(error) if error.is_azure() && Bug::FailedCleanupLetsGo.is_on() => {}
            Ok(whether) => made = whether,
            Err(error) => unless_let_go(error, Stage::Credentials, departing, ctx).await?,
        }
    }
    match release_account(departing, made, ctx).await {
        Ok(()) => Ok(()),
        Err(error) => unless_let_go(error, Stage::Account, departing, ctx).await,
    }
}

/// What is not undone is left where somebody who may has asked for that.
async fn unless_let_go(
    error: Error,
    stage: Stage,
    departing: &Departing,
    ctx: &Context,
) -> Result<(), Stopped> {
    if !error.can_be_let_go() || !let_go(&departing.metadata, ctx).await {
        return Err(stage.stopped(error));
    }
    if !ctx.told.is_news(departing.uid(), stage.let_go()) {
        return Ok(());
    }
    tracing::warn!(
        binding = departing.name(),
        namespace = departing.namespace(),
        error = &error as &dyn std::error::Error,
        "the binding is let go; what it made may be left"
    );
    let events = &ctx.events;
    events.detached(&departing.metadata, &error.message()).await;
    Ok(())
}

/// Whether somebody who may has asked to let go of a binding whose cleanup fails: on its Namespace, or on the binding
/// itself where the operator allows that (a tenant must not be able to leave a credential behind at will).
pub async fn let_go(metadata: &ObjectMeta, ctx: &Context) -> bool {
    if ctx.settings.allow_force_detach && asks_to_let_go(metadata) {
        return true;
    }
    let namespaces: Api<Namespace> = Api::all(ctx.client.clone());
    let name = metadata.namespace.as_deref().unwrap_or_default();
    match namespaces.get_metadata_opt(name).await {
        Ok(namespace) => namespace.is_some_and(|namespace| asks_to_let_go(&namespace.metadata)),
        // What stopped the cleanup is what to tell.
        Err(error) => {
            tracing::warn!(
                namespace = name,
                error = &error as &dyn std::error::Error,
                "whether the bindings of the namespace are to be let go cannot be read"
            );
            false
        }
    }
}

/// Deletes what the binding has made. Whether it has made anything.
async fn delete_credentials(departing: &Departing, ctx: &Context) -> Result<bool, Error> {
    let issuer = &ctx.settings.defaults.issuer;
    let mut records_own = false;
    for recorded in &departing.credentials {
        match whose(recorded, &departing.owner(), issuer) {
            Recorded::Own { identity, name } => {
                records_own = true;
                if handed_over(recorded, departing, &identity, ctx).await? {
                    if ctx.told.is_news(departing.uid(), "handed over") {
                        tracing::info!(%name, "the credential stays for another binding");
                    }
                    continue;
                }
                // An earlier process may have sent it a moment before it ended: it could still appear after our deletion.
                let ledger = ctx.ledgers.of(&identity);
                let content = content_of(recorded);
                if recorded.origin == CredentialOrigin::Pending {
                    ledger.take_note_of_pending(&recorded.name, content);
                } else if let Some(ago) = in_place_for(&departing.conditions, ctx.clock.now()) {
                    // And a read of now may be from before it.
                    ledger.take_note_of_acknowledged(&recorded.name, content, ago);
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
                    "it was made for the issuer {}, and this operator runs with --issuer={issuer}; another cluster may live \
                     by it. If none does, delete it by hand",
                    recorded.issuer
                );
                leave(departing, recorded, &why, ctx).await;
            }
            Recorded::Foreign(why) => leave(departing, recorded, why, ctx).await,
        }
    }
    if records_own {
        return Ok(true);
    }
    lost::delete(departing, ctx).await
}

/// Deletes a credential that is recorded.
async fn delete_credential(
    departing: &Departing,
    ledger: &Arc<Ledger>,
    name: &CredentialName,
    recorded: &RecordedCredential,
    ctx: &Context,
) -> Result<(), Error> {
    let place = deletion_place(departing, ledger, name).await?;
    // Once more: whoever came before the place was taken is in the store.
    if handed_over(recorded, departing, ledger.id(), ctx).await? {
        return Ok(());
    }
    if ledger.is_in_doubt() {
        let is_gone = ledger.is_gone(&departing.rank().binding).await;
        if is_gone.inspect_err(|why| place.wait_for_pace(*why))? {
            return Ok(());
        }
    }
    let look = ctx.look(departing.uid());
    let found = match place.credential_to_delete(name, look).await {
        Ok(found) => found,
        Err(ReadError::Azure { source, .. }) => {
            let error = Error::ReadCredential {
                identity: ledger.id().to_string(),
                name: name.clone(),
                source,
            };
            return unless_identity_is_gone(error, departing, ledger).await;
        }
        Err(ReadError::NotNow(why)) => return Err(why.into()),
    };
    let subject = Subject::of_service_account(departing.namespace(), &departing.service_account);
    let issuer = &ctx.settings.defaults.issuer;
    // That nothing is there does not count: a read may lag behind.
    if found
        .as_ref()
        .is_some_and(|found| !is_ours(found, issuer, &subject))
    {
        let why = "somebody changed its issuer or subject";
        leave(departing, recorded, why, ctx).await;
        return Ok(());
    }
    delete_found(departing, ledger, place, name, found.is_some()).await
}

/// A place among those who write to the identity. Whoever comes now waits for the deletion.
async fn deletion_place(
    departing: &Departing,
    ledger: &Arc<Ledger>,
    name: &CredentialName,
) -> Result<Place, Error> {
    let applicant = Applicant {
        urgency: Urgency::Deletion,
        rank: departing.rank(),
    };
    let place = ledger.place(&applicant, Operation::Delete).await?;
    place.announce_deletion(name);
    Ok(place)
}

async fn delete_found(
    departing: &Departing,
    ledger: &Arc<Ledger>,
    place: Place,
    name: &CredentialName,
    seen: bool,
) -> Result<(), Error> {
    match place.turn().await?.delete(name, seen).await {
        Ok(_) => Ok(()),
        Err(source) => {
            let error = Error::DeleteCredential {
                identity: ledger.id().to_string(),
                name: name.clone(),
                source,
            };
            unless_identity_is_gone(error, departing, ledger).await
        }
    }
}

/// With the identity, its group or its subscription went the credential.
async fn unless_identity_is_gone(
    error: Error,
    departing: &Departing,
    ledger: &Arc<Ledger>,
) -> Result<(), Error> {
    if !error.says_identity_is_gone() || Bug::GoneIdentityWedges.is_on() {
        return Err(error);
    }
    if ledger.is_gone(&departing.rank().binding).await? {
        Ok(())
    } else {
        Err(error)
    }
}

async fn leave(departing: &Departing, recorded: &RecordedCredential, why: &str, ctx: &Context) {
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

/// Gives the account the state that the remaining bindings ask for. `made` says that the binding has made a credential,
/// and so its account, whatever is left of its status.
async fn release_account(departing: &Departing, made: bool, ctx: &Context) -> Result<(), Error> {
    let (namespace, name) = (departing.namespace(), &departing.service_account);
    if departing.claimant.is_none() && !made && !lost::owns_account(departing, ctx).await? {
        return Ok(());
    }
    // The watch may lag behind an apply of a moment ago.
    let Some(existing) = account_now(namespace, name, ctx).await? else {
        return Ok(());
    };
    let leaving = departing.claimant.clone();
    let leaving = leaving.unwrap_or_else(|| departing.claimant_of_account(&existing));
    let siblings = ctx.siblings(namespace, name);
    let remaining: Vec<_> = siblings.iter().filter_map(claimant).collect();
    // It stays as it is; a binding that remains and wants it otherwise says so itself. Written here as well, with each try of a
    // cleanup that something holds up, it would go back and forth between the two.
    if leaving.deletion_policy == DeletionPolicy::Retain && !remaining.is_empty() {
        return Ok(());
    }
    let mut configuration = configuration_after(&leaving, &remaining, &existing);
    let is_orphaned = departing.is_orphaning();
    if is_orphaned && !Bug::OwnerPutBack.is_on() {
        // The garbage collector may take it off between the read of the account and this write.
        configuration
            .owner_references
            .retain(|owner| owner.uid != departing.uid());
    }
    let left = why_left(&leaving, is_orphaned, &configuration, &existing);
    let left = left.filter(|_| remaining.is_empty());
    // It was released before, and somebody changes it again and again while something else holds up the cleanup.
    let is_contested = || {
        let drift = || configuration.drift(Some(&existing));
        let admission = ctx.contests.admit((namespace, name), &configuration, drift);
        matches!(admission, Admission::Refused(_))
    };
    if !configuration.is_in_place(&existing) && !is_contested() {
        match apply_account(namespace, name, configuration, ctx).await {
            Ok((written, answer)) => {
                let stays = left.is_some() || !remaining.is_empty();
                let differs = altered(&written, (&existing, &answer), stays);
                tell_what_was_altered(departing, differs, ctx).await;
            }
            Err(ServiceAccountError::NamespaceTerminating) => {}
            // What another manager holds is not ours to take away.
            Err(ServiceAccountError::HeldByManager { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(why) = left
        && !is_going(namespace, ctx).await?
    {
        ctx.events
            .account_left(&departing.metadata, name, &why)
            .await;
    }
    Ok(())
}

/// In what an account came back otherwise than it was written, if it did. What was to be taken off matters where the account
/// stays.
fn altered(
    written: &AccountConfiguration,
    (before, answer): (&ExistingAccount, &ExistingAccount),
    stays: bool,
) -> Option<Difference> {
    let mut unreleased = written.unreleased(before, answer).filter(|_| stays);
    written
        .differences(answer)
        .next()
        .or_else(|| unreleased.next())
        .filter(|_| !Bug::AnswerUnread.is_on())
}

/// The cleanup goes on: whoever has made that policy has decided, and no more tries would change it.
async fn tell_what_was_altered(departing: &Departing, differs: Option<Difference>, ctx: &Context) {
    let Some(difference) = differs else { return };
    if !ctx.told.is_news(departing.uid(), "account altered") {
        return;
    }
    let (account, told) = (&departing.service_account, difference.told());
    tracing::warn!(
        account,
        altered = told,
        "an account came back changed as its binding goes"
    );
    ctx.events
        .account_altered(&departing.metadata, account, &told)
        .await;
}

/// Whether a namespace is being deleted, with all that is in it.
async fn is_going(namespace: &str, ctx: &Context) -> Result<bool, kube::Error> {
    let namespaces: Api<Namespace> = Api::all(ctx.client.clone());
    let found = namespaces.get_metadata_opt(namespace).await?;
    Ok(found.is_none_or(|found| found.metadata.deletion_timestamp.is_some()))
}
