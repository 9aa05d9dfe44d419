//! The one place where a status is written.

use azwib_crds::{WorkloadIdentityBinding, WorkloadIdentityBindingStatus};
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use super::calls::{Call, CallFailed};
use super::changes::Changed;
use super::context::Context;
use super::credential::applicants::rank;
use super::credential::duplicates::says;
use super::index::readable;
use super::status;
use super::validate::service_account_name;
use crate::azure::safe_line;
use crate::kubeutil::FIELD_MANAGER;
use crate::kubeutil::answers::Answer;
use crate::ledger::BindingRef;

/// Replaces the status of the binding as it was read; 409 if it has changed since, 404 if it is gone. A status that came
/// back as another one counts as refused: what was to be recorded may not be.
pub(super) async fn write_status(
    binding: &WorkloadIdentityBinding,
    status: WorkloadIdentityBindingStatus,
    ctx: &Context,
) -> Result<WorkloadIdentityBinding, CallFailed> {
    let bindings: Api<WorkloadIdentityBinding> =
        Api::namespaced(ctx.client.clone(), &binding.namespace().unwrap_or_default());
    note_what_gives_way(binding, &status, ctx);
    let updated = WorkloadIdentityBinding {
        status: Some(status),
        ..binding.clone()
    };
    let parameters = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    // The watch may show this write before its answer arrives.
    let sending = ctx.bindings.sending(&updated);
    let written = bindings
        .replace_status(&binding.name_any(), &parameters, &updated)
        .await
        .map_err(|error| Call::WriteStatus.failed(error))?;
    ctx.changes.note(Changed::Status);
    ctx.bindings.wrote(binding, &written);
    drop(sending);
    wake_younger(binding, &written, ctx);
    match status::altered(updated.status.as_ref(), written.status.as_ref()) {
        Some(what) => Err(Call::WriteStatus.altered(what)),
        None => Ok(written),
    }
}

/// Logs which conditions of other writers are dropped because the status has no room for them.
fn note_what_gives_way(
    binding: &WorkloadIdentityBinding,
    status: &WorkloadIdentityBindingStatus,
    ctx: &Context,
) {
    let before = binding.status.as_ref().map_or(&[][..], |it| &it.conditions);
    let kept = status::of_others(&status.conditions).count();
    let gives_way: Vec<_> = status::of_others(before).skip(kept).collect();
    let uid = binding.uid().unwrap_or_default();
    if gives_way.is_empty() || !ctx.told.is_news(&uid, "conditions of others") {
        return;
    }
    let types: Vec<_> = gives_way.iter().map(|it| safe_line(&it.type_)).collect();
    tracing::warn!(
        binding = %BindingRef::of(binding),
        conditions = types.join(", "),
        "the status has no room for these conditions of other writers; they are dropped"
    );
}

/// Writes what a pass has to say, also to a binding whose spec or metadata has changed since it was read: the status
/// carries the generation that it speaks of, and a record that is to be withdrawn must not stay for the cleanup.
pub(super) async fn store_status(
    latest: &WorkloadIdentityBinding,
    status: WorkloadIdentityBindingStatus,
    ctx: &Context,
) -> Result<(), CallFailed> {
    let conflict = match write_status(latest, status.clone(), ctx).await {
        Ok(_) => return Ok(()),
        Err(failed) if failed.answer() == Answer::Race => failed,
        Err(failed) => return Err(failed),
    };
    let bindings: Api<WorkloadIdentityBinding> =
        Api::namespaced(ctx.client.clone(), &latest.namespace().unwrap_or_default());
    match bindings.get_opt(&latest.name_any()).await? {
        Some(fresh) if fresh.uid() == latest.uid() && fresh.status == latest.status => {
            write_status(&fresh, status, ctx).await.map(drop)
        }
        _ => Err(conflict),
    }
}

/// Has the younger duplicates of a binding looked at after a status of it that says something new to them.
fn wake_younger(before: &WorkloadIdentityBinding, after: &WorkloadIdentityBinding, ctx: &Context) {
    if says(before.status.as_ref()) == says(after.status.as_ref()) {
        return;
    }
    let namespace = after.namespace().unwrap_or_default();
    let bindings_of_account = ctx
        .bindings
        .of_account(&namespace, &service_account_name(after));
    let younger = readable(&bindings_of_account)
        .filter(|other| other.uid() != after.uid() && rank(after) < rank(other));
    let younger: Vec<_> = younger.map(BindingRef::of).collect();
    if !younger.is_empty() {
        ctx.with_identity(after, |identity| ctx.ledgers.of(identity).wake(younger));
    }
}
