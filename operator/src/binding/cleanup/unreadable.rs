//! A binding that the API server stores and this version cannot read, as after a change of the schema by hand.
//!
//! It is told so, it does not stop the others, and it can be deleted.

use azwib_crds::{MAX_CONDITIONS, WorkloadIdentityBinding};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::error_boundary::InvalidObject;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::deleted_binding::DeletedBinding;
use super::stopped::message_of;
use super::{cleanup_departing, let_go};
use crate::binding::calls::Call;
use crate::binding::error::Error;
use crate::binding::grants::revocation::of_unreadable;
use crate::binding::status::reason::{ConditionType, Reason};
use crate::binding::{Context, Failed, Next, finalizer};
use crate::kubeutil::conditions::{ConditionStatus, transition};

/// Tells a binding that it cannot be read, or cleans up after it.
pub async fn reconcile(invalid: &InvalidObject, ctx: &Context) -> Result<Next, Failed> {
    let uid = invalid.metadata.uid.clone().unwrap_or_default();
    match look_after(invalid, ctx).await {
        Ok(next) => {
            ctx.succeeded(&uid);
            Ok(next)
        }
        Err(error) => {
            let standing = ctx.note_failure(&uid, &error);
            if standing.is_first(|stood| error.is_refusal_told_after(stood)) {
                ctx.events.refused(&invalid.metadata, &error.message());
            }
            let retry_in = error.pace().delay(standing);
            Err(Failed { error, retry_in })
        }
    }
}

async fn look_after(invalid: &InvalidObject, ctx: &Context) -> Result<Next, Error> {
    let namespace = invalid.metadata.namespace.clone().unwrap_or_default();
    let bindings = raw_bindings(&ctx.client, &namespace);
    let name = invalid.metadata.name.clone().unwrap_or_default();
    let Some(raw) = bindings
        .get_opt(&name)
        .await?
        .filter(|raw| raw.uid() == invalid.metadata.uid)
    else {
        return Ok(None);
    };
    let message = format!(
        "the binding cannot be read: {}; correct it, or delete it",
        invalid.error
    );
    if raw.metadata.deletion_timestamp.is_none() {
        tell(&bindings, &raw, message, ctx).await?;
        return without_grant(&raw, ctx).await;
    }
    if !finalizer::is_on(&raw.metadata) {
        return Ok(None);
    }
    let stopped = match clean_up(&raw, ctx).await {
        Ok(()) => finalizer::remove(&raw.metadata, &ctx.client)
            .await
            .map_err(Error::from),
        stopped => stopped,
    };
    if let Err(error) = &stopped
        && !error.is_progress()
    {
        let message = message_of(error, ctx.settings.allow_force_detach);
        tell(&bindings, &raw, message, ctx).await?;
    }
    if stopped.is_ok() {
        ctx.forget(&raw.uid().unwrap_or_default());
    }
    stopped.map(|()| None)
}

/// Takes away what was made for it if no grant covers that any more. Where its records cannot be read, nothing is known to be its own.
async fn without_grant(raw: &DynamicObject, ctx: &Context) -> Result<Next, Error> {
    match DeletedBinding::from_raw(raw) {
        Ok(binding) => of_unreadable(binding, ctx).await,
        Err(_) => Ok(None),
    }
}

async fn clean_up(raw: &DynamicObject, ctx: &Context) -> Result<(), Error> {
    match DeletedBinding::from_raw(raw) {
        Ok(departing) => {
            let cleaned = cleanup_departing(&departing, ctx).await;
            cleaned.map(drop).map_err(|stopped| stopped.error)
        }
        Err(unreadable) if let_go(&raw.metadata, ctx).await => {
            ctx.events
                .detached(&raw.metadata, &unreadable.to_string())
                .await;
            Ok(())
        }
        Err(unreadable) => Err(unreadable.into()),
    }
}

/// Writes `InvalidSpec` by a merge patch, unless it stands already.
async fn tell(
    bindings: &Api<DynamicObject>,
    raw: &DynamicObject,
    message: String,
    ctx: &Context,
) -> Result<(), Error> {
    let generation = raw.metadata.generation.unwrap_or_default();
    let now = ctx.moment(std::time::Duration::ZERO).now;
    let condition = |type_: ConditionType, status| {
        let reason = Reason::InvalidSpec.as_str();
        transition(
            None,
            type_.as_str(),
            status,
            reason,
            message.clone(),
            generation,
            now,
        )
    };
    let said = raw.data.pointer("/status/conditions/0");
    let stands = |key: &str, value: &str| {
        said.and_then(|said| said.get(key))
            .is_some_and(|said| said == value)
    };
    let observed = raw
        .data
        .pointer("/status/observedGeneration")
        .and_then(serde_json::Value::as_i64);
    if stands("type", "Ready")
        && stands("reason", Reason::InvalidSpec.as_str())
        && stands("message", &message)
        && observed == Some(generation)
    {
        return Ok(());
    }
    let ours = [
        condition(ConditionType::Ready, ConditionStatus::False),
        condition(ConditionType::Stalled, ConditionStatus::True),
    ];
    let conditions: Vec<_> = ours
        .iter()
        .map(|condition| json!(condition))
        .chain(conditions_of_others(raw))
        .take(MAX_CONDITIONS)
        .collect();
    // With the version: a list is replaced as a whole, and somebody else may have written to it since.
    let patch = json!({
        "metadata": { "resourceVersion": raw.resource_version() },
        "status": { "observedGeneration": generation, "conditions": conditions },
    });
    bindings
        .patch_status(
            &raw.name_any(),
            &PatchParams::default(),
            &Patch::Merge(&patch),
        )
        .await
        .map_err(|error| Call::WriteStatus.failed(error))?;
    ctx.events.unreadable(&raw.metadata, &message);
    Ok(())
}

/// The conditions that are not ours, as they are.
fn conditions_of_others(raw: &DynamicObject) -> impl Iterator<Item = Value> {
    let all = raw.data.pointer("/status/conditions");
    all.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|condition| {
            let type_ = condition.get("type").and_then(Value::as_str);
            type_.is_some_and(|type_| !ConditionType::is_ours(type_))
        })
        .cloned()
}

pub(in crate::binding) fn raw_bindings(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<WorkloadIdentityBinding>(&());
    Api::namespaced_with(client.clone(), namespace, &resource)
}
