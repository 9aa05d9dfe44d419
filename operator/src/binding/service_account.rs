//! Reads of a ServiceAccount, and writes by server-side apply.

use azwib_crds::WorkloadIdentityBinding;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube_runtime::reflector::ObjectRef;
use serde_json::json;

use super::Context;
use super::account::{AccountConfiguration, Difference, ExistingAccount, TOKEN_EXPIRATION};
use super::calls;
use super::contests::Contested;
use super::reason::Reason;
use crate::azure::safe_line;
use crate::kubeutil::FIELD_MANAGER;
use crate::kubeutil::answers::{Answer, words};
use crate::kubeutil::attempts::Pace;
use crate::kubeutil::server_side_apply::{FieldConflict, conflicts};
use crate::runtime::deliberate::Bug;

/// The API server's path of the map of annotations.
const ANNOTATIONS: &str = ".metadata.annotations";

/// Why a ServiceAccount does not carry what it should.
#[derive(Debug, thiserror::Error)]
pub enum ServiceAccountError {
    #[error(
        "the service account already names the client id {client_id} of the binding \"{binding}\": give this binding \
         the role Additional, use another service account, or delete one of the two bindings"
    )]
    HeldByBinding { binding: String, client_id: String },
    #[error(
        "the service account's {field} belongs to another field manager ({message}): remove the annotation there, or \
         keep the account out of this binding"
    )]
    HeldByManager { field: String, message: String },
    #[error(
        "of the service account, {field} belongs to the binding \"{binding}\", which is suspended: it is left as it is, \
         without this binding's client id; resume that binding, delete it, or use another service account"
    )]
    Frozen { field: String, binding: String },
    #[error(
        "the service account was written, and came back changed: {}. An admission policy or webhook of this cluster changes \
         what azwib writes: exempt this account from it, or the field manager \"azwib\"", .0.told()
    )]
    Altered(Difference),
    #[error(
        "{} changes the service account again and again, {} first: azwib puts it back every 15 seconds only, as long as that \
         goes on. Let one of the two have it: end what changes it, or delete this binding",
        manager(.0.drift.by.as_deref()), .0.drift.field
    )]
    Contested(Contested),
    #[error(
        "the API server refused the service account: {0}; have the quota or the rule that it names changed"
    )]
    Refused(String),
    #[error("the service account is made once its credential works")]
    WaitingForCredential,
    #[error("the namespace is being deleted, and no service account is made in it any more")]
    NamespaceTerminating,
    #[error(
        "the API server has not taken the service account: {}; it is tried again: if it stays so, have the API server, or \
         the webhook that it names, put right",
        words(.0)
    )]
    NotTaken(#[source] kube::Error),
}

impl ServiceAccountError {
    /// The reason that `ServiceAccountReady` shows; None when status stays as it is.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::HeldByBinding { .. }
            | Self::HeldByManager { .. }
            | Self::Frozen { .. }
            | Self::Altered(_)
            | Self::Contested(_) => Some(Reason::ServiceAccountConflict),
            Self::Refused(_) => Some(Reason::ServiceAccountRefused),
            Self::WaitingForCredential => Some(Reason::WaitingForCredential),
            Self::NamespaceTerminating => Some(Reason::NamespaceTerminating),
            // Somebody else was faster.
            Self::NotTaken(_) if self.answer() == Some(Answer::Race) => None,
            Self::NotTaken(_) => Some(Reason::ServiceAccountRefused),
        }
    }

    pub fn pace(&self) -> Pace {
        match self {
            Self::NotTaken(error) => calls::pace(error),
            Self::Contested(contested) => Pace::Until(contested.until),
            _ => Pace::WaitForArrival,
        }
    }

    /// What the API server answered, where that is what went wrong.
    pub fn answer(&self) -> Option<Answer> {
        match self {
            Self::NotTaken(error) => Some(Answer::of(error)),
            Self::Refused(_) => Some(Answer::Refused),
            _ => None,
        }
    }

    fn of(error: kube::Error) -> Self {
        match Answer::of(&error) {
            // The namespace is gone where the account is not found.
            Answer::NamespaceTerminating | Answer::Gone => Self::NamespaceTerminating,
            Answer::Refused => Self::Refused(words(&error)),
            Answer::Race | Answer::Undecided | Answer::Lost => Self::NotTaken(error),
        }
    }
}

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
        Some(FieldConflict { field, message }) => ServiceAccountError::HeldByManager {
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

/// Who it is that changes an account, as a message begins with it.
fn manager(by: Option<&str>) -> String {
    by.map_or_else(
        || "somebody".to_owned(),
        |manager| format!("the field manager \"{manager}\""),
    )
}
