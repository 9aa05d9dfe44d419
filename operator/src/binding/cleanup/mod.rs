//! What happens before a deleted binding may go.
//!
//! It skips validation: what was recorded is what is cleaned up, and nothing is deleted that cannot be proven to be
//! ours. Name and subject are computed from the namespace and the account, never read from status, and what was recorded
//! for another issuer stays.

mod account;
mod credentials;
pub mod deleted_binding;
mod deletion;
mod hand_over;
pub mod leftovers;
mod lost;
mod ownership;
mod stopped;
pub mod unreadable;

use azwib_crds::{DeletionPolicy, RecordedCredential, WorkloadIdentityBinding};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::{Api, ResourceExt};

use self::account::release_account;
use self::credentials::delete_credentials;
use self::deleted_binding::{DeletedBinding, asks_to_let_go};
use self::deletion::Deleted;
use self::stopped::can_be_let_go;
pub use self::stopped::{Stage, Stopped, message_of};
use super::context::Context;
use super::error::{Error, Wait};
use super::validate::identity_id;
use crate::grant::CannotTell;
use crate::ledger::BindingRef;
use crate::runtime::deliberate::Bug;

/// What came of a cleanup.
#[derive(Debug)]
pub enum Cleaned {
    /// Nothing is left of this binding, as it was read or written last: the finalizer may go.
    Up(Box<WorkloadIdentityBinding>),
    /// The binding is not there any more. Another may bear its name, and the finalizer of that one has to stay.
    Gone,
}

/// Cleans up after a binding that is being deleted.
pub async fn cleanup(binding: &WorkloadIdentityBinding, ctx: &Context) -> Result<Cleaned, Stopped> {
    let bindings: Api<WorkloadIdentityBinding> =
        Api::namespaced(ctx.client.clone(), &binding.namespace().unwrap_or_default());
    if Bug::StaleBindingAtCleanup.is_on() {
        let shown = ctx.bindings.stored(&BindingRef::of(binding));
        if let Some(DeserializeGuard(Ok(shown))) = shown {
            cleanup_departing(&DeletedBinding::from(&shown), ctx).await?;
            return Ok(Cleaned::Up(Box::new(shown)));
        }
    }
    // The watch may lag behind: a record that was written a moment ago must not be missed.
    let read = bindings.get_opt(&binding.name_any()).await;
    match read.map_err(|error| Stage::Credentials.stopped(error))? {
        Some(read) if read.uid() == binding.uid() => {
            let written = cleanup_departing(&DeletedBinding::from(&read), ctx).await?;
            Ok(Cleaned::Up(written.unwrap_or_else(|| Box::new(read))))
        }
        _ => Ok(Cleaned::Gone),
    }
}

/// Cleans up after a deleted binding, from the parts of it that are known. It comes back as its status was written meanwhile,
/// if it was.
pub async fn cleanup_departing(
    departing: &DeletedBinding,
    ctx: &Context,
) -> Result<Option<Box<WorkloadIdentityBinding>>, Stopped> {
    let granted = match as_granted(departing, ctx) {
        Ok(granted) => granted,
        Err(why) => {
            let error = Wait::ForGrants(why).into();
            unless_let_go(error, Stage::Credentials, departing, ctx).await?;
            departing.clone()
        }
    };
    let departing = &granted;
    let mut deleted = Deleted::of(false);
    if departing.deletion_policy == DeletionPolicy::Delete || Bug::RetainIgnored.is_on() {
        match delete_credentials(departing, ctx).await {
            Err(Error::Failure(failure))
                if failure.azure().is_some() && Bug::FailedCleanupLetsGo.is_on() => {}
            Ok(done) => deleted = done,
            Err(error) => unless_let_go(error, Stage::Credentials, departing, ctx).await?,
        }
    }
    let Deleted { made, written } = deleted;
    if let Err(error) = release_account(departing, made, ctx).await {
        unless_let_go(error, Stage::Account, departing, ctx).await?;
    }
    Ok(written)
}

/// A deleted binding that leaves behind only what a grant allows.
///
/// # Errors
/// It asks to leave something behind, and it is not known whether a grant allows that.
fn as_granted(departing: &DeletedBinding, ctx: &Context) -> Result<DeletedBinding, CannotTell> {
    let account = (departing.namespace(), &*departing.service_account);
    let of_spec = departing.identity.as_ref();
    let of_spec = of_spec.and_then(|it| identity_id(it, &ctx.defaults).ok());
    let recorded = departing.credentials.iter();
    let identities = recorded
        .filter_map(RecordedCredential::managed_identity)
        .chain(of_spec);
    match ctx.retains(identities, account) {
        Ok(true) => Ok(departing.clone()),
        Ok(false) => Ok(departing.clone().without_retain()),
        Err(why) if departing.deletion_policy == DeletionPolicy::Retain => Err(why),
        Err(_) => Ok(departing.clone()),
    }
}

/// Takes away what was made for a binding that stays: no grant covers it any more.
pub async fn take_away(binding: &DeletedBinding, ctx: &Context) -> Result<(), Stopped> {
    let deleted = delete_credentials(binding, ctx).await;
    let deleted = deleted.map_err(|error| Stage::Credentials.stopped(error))?;
    let released = release_account(binding, deleted.made, ctx).await;
    released.map_err(|error| Stage::Account.stopped(error))
}

/// Ignores a failure if somebody who may do so has asked to let the binding go. Otherwise the cleanup stops here.
async fn unless_let_go(
    error: Error,
    stage: Stage,
    departing: &DeletedBinding,
    ctx: &Context,
) -> Result<(), Stopped> {
    if !can_be_let_go(&error) || !let_go(&departing.metadata, ctx).await {
        return Err(stage.stopped(error));
    }
    if !ctx.told.is_news(departing.uid(), stage.let_go()) {
        return Ok(());
    }
    tracing::warn!(
        binding = %departing.rank().binding,
        error = &error as &dyn std::error::Error,
        "the binding is let go as asked; what it made may be left behind"
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
                "cannot read whether the namespace asks to let its bindings go"
            );
            false
        }
    }
}
