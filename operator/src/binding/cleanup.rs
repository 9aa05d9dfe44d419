//! What happens before a deleted binding may go.
//!
//! It skips validation: what was recorded is what is cleaned up, and nothing is deleted that cannot be proven to be
//! ours. The subject is computed from the namespace and the account, never read from status.

mod hand_over;
mod ownership;

use std::sync::Arc;

use azwib_crds::{
    CredentialOrigin, DeletionPolicy, ManagedIdentityId, RecordedCredential, Subject,
    WorkloadIdentityBinding,
};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, ResourceExt};
use kube_runtime::reflector::ObjectRef;

use super::Context;
use super::account::{claimant, configuration_after, why_left};
use super::departing::{Departing, asks_to_let_go};
use super::error::Error;
use super::records::content_of;
use super::service_account::{ServiceAccountError, account_now, apply_account};
use crate::ledger::{Applicant, Ledger, Operation, ReadError, Urgency};
use crate::runtime::deliberate::Bug;
use hand_over::handed_over;
use ownership::{derived_name, is_ours, may_have_made};

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
    if departing.deletion_policy == DeletionPolicy::Delete || Bug::RetainIgnored.is_on() {
        match delete_credentials(departing, ctx).await {
            Err(error) if error.is_azure() && Bug::FailedCleanupLetsGo.is_on() => {}
            outcome => unless_let_go(outcome, Stage::Credentials, departing, ctx).await?,
        }
    }
    let outcome = release_account(departing, ctx).await;
    unless_let_go(outcome, Stage::Account, departing, ctx).await
}

/// What is not undone is left where somebody who may has asked for that.
async fn unless_let_go(
    outcome: Result<(), Error>,
    stage: Stage,
    departing: &Departing,
    ctx: &Context,
) -> Result<(), Stopped> {
    let Err(error) = outcome else {
        return Ok(());
    };
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

async fn delete_credentials(departing: &Departing, ctx: &Context) -> Result<(), Error> {
    for recorded in &departing.credentials {
        if !may_have_made(recorded) {
            if ctx.told.is_news(departing.uid(), "adopted") {
                tracing::info!(credential = recorded.name, "an adopted credential stays");
            }
            continue;
        }
        // A record is written by the operator with an id that was parsed: another one is not from us.
        let Ok(identity) = ManagedIdentityId::parse(&recorded.resource_id) else {
            leave(
                departing,
                recorded,
                "its recorded resource id cannot be read",
                ctx,
            )
            .await?;
            continue;
        };
        if handed_over(recorded, departing, &identity, ctx).await? {
            if ctx.told.is_news(departing.uid(), "handed over") {
                tracing::info!(
                    credential = recorded.name,
                    "the credential stays for another binding"
                );
            }
            continue;
        }
        delete_credential(departing, &identity, recorded, ctx).await?;
    }
    Ok(())
}

async fn delete_credential(
    departing: &Departing,
    identity: &ManagedIdentityId,
    recorded: &RecordedCredential,
    ctx: &Context,
) -> Result<(), Error> {
    let ledger = ctx.ledgers.of(identity);
    // An earlier process may have sent it a moment before it ended: it could still appear after our deletion.
    if recorded.origin == CredentialOrigin::Pending {
        ledger.take_note_of_pending(&recorded.name, content_of(recorded));
    }
    let name = match derived_name(recorded, departing.namespace(), &departing.service_account) {
        Ok(name) => name,
        Err(why) => return leave(departing, recorded, why, ctx).await,
    };
    let applicant = Applicant {
        urgency: Urgency::Deletion,
        rank: departing.rank(),
    };
    let place = ledger.place(&applicant, Operation::Delete).await?;
    // Whoever comes now waits for the deletion, and whoever came before is in the store.
    place.announce_deletion(&name);
    if handed_over(recorded, departing, identity, ctx).await? {
        return Ok(());
    }
    if ledger.is_in_doubt() {
        let is_gone = ledger.is_gone(applicant.binding()).await;
        if is_gone.inspect_err(|why| place.wait_for_pace(*why))? {
            return Ok(());
        }
    }
    let look = ctx.look(departing.uid());
    let found = match place.credential_to_delete(&name, look).await {
        Ok(found) => found,
        Err(ReadError::Azure { source, .. }) => {
            let error = Error::ReadCredential {
                identity: identity.to_string(),
                name,
                source,
            };
            return unless_identity_is_gone(error, departing, &ledger).await;
        }
        Err(ReadError::NotNow(why)) => return Err(why.into()),
    };
    let subject = Subject::of_service_account(departing.namespace(), &departing.service_account);
    if !is_ours(found.as_ref(), recorded, &subject) {
        return leave(
            departing,
            recorded,
            "somebody changed its issuer or subject",
            ctx,
        )
        .await;
    }
    match place.turn().await?.delete(&name, found.is_some()).await {
        Ok(_) => Ok(()),
        Err(source) => {
            let error = Error::DeleteCredential {
                identity: identity.to_string(),
                name,
                source,
            };
            unless_identity_is_gone(error, departing, &ledger).await
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

async fn leave(
    departing: &Departing,
    recorded: &RecordedCredential,
    why: &'static str,
    ctx: &Context,
) -> Result<(), Error> {
    if !ctx.told.is_news(departing.uid(), why) {
        return Ok(());
    }
    tracing::warn!(credential = recorded.name, why, "the credential is left");
    ctx.events
        .credential_left(&departing.metadata, &recorded.name, why)
        .await;
    Ok(())
}

/// Gives the account the state that the remaining bindings ask for.
async fn release_account(departing: &Departing, ctx: &Context) -> Result<(), Error> {
    let (namespace, name) = (departing.namespace(), &departing.service_account);
    let Some(leaving) = &departing.claimant else {
        return Ok(());
    };
    // The watch may lag behind an apply of a moment ago.
    let Some(existing) = account_now(namespace, name, ctx).await? else {
        return Ok(());
    };
    let siblings = ctx.siblings(namespace, name);
    let remaining: Vec<_> = siblings.iter().filter_map(claimant).collect();
    let configuration = configuration_after(leaving, &remaining, &existing);
    let is_orphaned = departing.is_orphaning();
    let left = why_left(leaving, is_orphaned, &configuration, &existing);
    let left = left.filter(|_| remaining.is_empty());
    if !configuration.is_in_place(&existing) {
        match apply_account(namespace, name, configuration, ctx).await {
            Ok(_) | Err(ServiceAccountError::NamespaceTerminating) => {}
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

/// Whether a namespace is being deleted, with all that is in it.
async fn is_going(namespace: &str, ctx: &Context) -> Result<bool, kube::Error> {
    let namespaces: Api<Namespace> = Api::all(ctx.client.clone());
    let found = namespaces.get_metadata_opt(namespace).await?;
    Ok(found.is_none_or(|found| found.metadata.deletion_timestamp.is_some()))
}
