//! Reads of a ServiceAccount, and writes by server-side apply.

use azwib_crds::WorkloadIdentityBinding;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube_runtime::reflector::ObjectRef;
use serde_json::json;

use super::configuration::AccountConfiguration;
use super::error::ServiceAccountError;
use super::existing::ExistingAccount;
use super::marks::TOKEN_EXPIRATION;
use crate::azure::safe_line;
use crate::binding::changes::Changed;
use crate::binding::context::Context;
use crate::kubeutil::FIELD_MANAGER;
use crate::kubeutil::server_side_apply::{FieldConflict, conflicts};
use crate::runtime::deliberate::Bug;

/// The API server's path of the map of annotations.
const ANNOTATIONS: &str = ".metadata.annotations";

/// The account's metadata from the watch; where it shows none, from the API server, so that an account that somebody
/// has just made is not taken for ours.
pub async fn account(
    namespace: &str,
    name: &str,
    ctx: &Context,
) -> Result<Option<ExistingAccount>, kube::Error> {
    let key = ObjectRef::<ExistingAccount>::new(name).within(namespace);
    match ctx.accounts.get(&key) {
        Some(account) => Ok(Some(ExistingAccount::clone(&account))),
        None => account_now(namespace, name, ctx).await,
    }
}

/// The account's metadata from the API server.
pub async fn account_now(
    namespace: &str,
    name: &str,
    ctx: &Context,
) -> Result<Option<ExistingAccount>, kube::Error> {
    let accounts: Api<ServiceAccount> = Api::namespaced(ctx.client.clone(), namespace);
    let account = accounts.get_metadata_opt(name).await?;
    Ok(account.map(|account| ExistingAccount::of(&account.metadata)))
}

/// Applies the account's configuration, by force only to an account that is ours.
///
/// A token lifetime that another manager has set meanwhile is left to it. What came back is given with what was applied: it
/// may be something else, where an admission policy changes what is written.
pub async fn apply_account(
    namespace: &str,
    name: &str,
    mut configuration: AccountConfiguration,
    ctx: &Context,
) -> Result<(AccountConfiguration, ExistingAccount), ServiceAccountError> {
    leave_out_who_is_going(namespace, &mut configuration, ctx)
        .await
        .map_err(ServiceAccountError::NotTaken)?;
    let force = configuration.force();
    let patched = match patch_account(namespace, name, &configuration, force, ctx).await {
        Ok(patched) => patched,
        Err(error) => {
            let conflicts = conflicts(&error);
            // An applied `annotations: {}` owns the map but nothing in it: force takes nothing from anybody.
            let force = !conflicts.is_empty() && conflicts.iter().all(|it| it.field == ANNOTATIONS);
            if !force {
                leave_lifetime(&mut configuration, &conflicts)
                    .ok_or_else(|| held_by(&conflicts, error))?;
            }
            patch_account(namespace, name, &configuration, force, ctx)
                .await
                .map_err(ServiceAccountError::of)?
        }
    };
    ctx.changes.note(Changed::ServiceAccount);
    let version = patched.resource_version.clone();
    ctx.contests
        .written((namespace, name), &configuration, version.as_deref());
    Ok((configuration, ExistingAccount::of(&patched)))
}

/// Leaves the token lifetime to another manager where nothing else is in conflict; None otherwise.
fn leave_lifetime(
    configuration: &mut AccountConfiguration,
    conflicts: &[FieldConflict],
) -> Option<()> {
    let first = conflicts.first()?;
    let mut all = conflicts.iter();
    all.all(|conflict| conflict.field.ends_with(TOKEN_EXPIRATION))
        .then(|| {
            configuration.annotations.remove(TOKEN_EXPIRATION);
            let message = &first.message;
            configuration.note = Some(safe_line(&format!(
                "the token lifetime is left as it is: {message}"
            )));
        })
}

/// Whose field it is that refused the account; the API server refused it for another reason where there is none.
fn held_by(conflicts: &[FieldConflict], error: kube::Error) -> ServiceAccountError {
    let decisive = conflicts
        .iter()
        .find(|conflict| !conflict.field.ends_with(TOKEN_EXPIRATION));
    match decisive {
        Some(FieldConflict { field, message }) => ServiceAccountError::OwnedByManager {
            field: field.clone(),
            // A manager may call itself anything, a token too.
            message: safe_line(message),
        },
        None => ServiceAccountError::of(error),
    }
}

/// Takes those out of the owners that are going, and that the account does not refer to: the watch may lag behind, and a reference
/// that the garbage collector has just taken off (`kubectl delete --cascade=orphan`) is not put on again.
async fn leave_out_who_is_going(
    namespace: &str,
    configuration: &mut AccountConfiguration,
    ctx: &Context,
) -> Result<(), kube::Error> {
    if Bug::OwnerPutBack.is_on() {
        return Ok(());
    }
    let bindings: Api<WorkloadIdentityBinding> = Api::namespaced(ctx.client.clone(), namespace);
    for name in std::mem::take(&mut configuration.new_owners) {
        let binding = bindings.get_metadata_opt(&name).await?;
        let stays = binding.filter(|binding| binding.metadata.deletion_timestamp.is_none());
        let uid = stays.and_then(|binding| binding.metadata.uid);
        configuration
            .owner_references
            .retain(|reference| reference.name != name || Some(&reference.uid) == uid.as_ref());
    }
    Ok(())
}

async fn patch_account(
    namespace: &str,
    name: &str,
    configuration: &AccountConfiguration,
    force: bool,
    ctx: &Context,
) -> Result<ObjectMeta, kube::Error> {
    let accounts: Api<ServiceAccount> = Api::namespaced(ctx.client.clone(), namespace);
    let parameters = PatchParams {
        force,
        ..PatchParams::apply(FIELD_MANAGER)
    };
    let mut metadata = json!({ "name": name, "namespace": namespace });
    if let Some(uid) = &configuration.uid {
        // Refused with a 409 once that account is gone: an apply would make a new, empty one in its place.
        metadata["uid"] = json!(uid);
    }
    if !configuration.annotations.is_empty() {
        metadata["annotations"] = json!(configuration.annotations);
    }
    if !configuration.labels.is_empty() {
        metadata["labels"] = json!(configuration.labels);
    }
    if !configuration.owner_references.is_empty() {
        metadata["ownerReferences"] = json!(configuration.owner_references);
    }
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata });
    let patched = accounts
        .patch_metadata(name, &parameters, &Patch::Apply(&account))
        .await?;
    Ok(patched.metadata)
}
