//! A binding that the API server stores and this version cannot read, as after a change of the schema by hand.
//!
//! It is told so, it does not stop the others, and it can be deleted.

use azwib_crds::WorkloadIdentityBinding;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::error_boundary::InvalidObject;
use kube::{Api, Client, ResourceExt};
use kube_runtime::controller::Action;
use serde_json::json;

use super::cleanup::{cleanup_departing, let_go};
use super::departing::Departing;
use super::error::Error;
use super::reason::{ConditionType, Reason};
use super::{Context, FINALIZER, Failed};
use crate::kubeutil::conditions::{ConditionStatus, transition};

/// Tells a binding that it cannot be read, or cleans up after it.
pub async fn reconcile(invalid: &InvalidObject, ctx: &Context) -> Result<Action, Failed> {
    let uid = invalid.metadata.uid.clone().unwrap_or_default();
    match look_after(invalid, ctx).await {
        Ok(()) => {
            ctx.forget(&uid);
            Ok(Action::await_change())
        }
        Err(error) => Err(ctx.failed(&uid, error)),
    }
}

async fn look_after(invalid: &InvalidObject, ctx: &Context) -> Result<(), Error> {
    let namespace = invalid.metadata.namespace.clone().unwrap_or_default();
    let bindings = raw_bindings(&ctx.client, &namespace);
    let name = invalid.metadata.name.clone().unwrap_or_default();
    let Some(raw) = bindings
        .get_opt(&name)
        .await?
        .filter(|raw| raw.uid() == invalid.metadata.uid)
    else {
        return Ok(());
    };
    let message = format!(
        "the binding cannot be read: {}; correct it, or delete it",
        invalid.error
    );
    if raw.metadata.deletion_timestamp.is_none() {
        return tell(&bindings, &raw, message, ctx).await;
    }
    if !raw
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == FINALIZER)
    {
        return Ok(());
    }
    if let Err(error) = clean_up(&raw, ctx).await {
        let message = error.message_of_departing(ctx.settings.allow_force_detach);
        tell(&bindings, &raw, message, ctx).await?;
        return Err(error);
    }
    let finalizers: Vec<_> = raw
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != FINALIZER)
        .collect();
    let metadata = json!({ "finalizers": finalizers, "resourceVersion": raw.resource_version() });
    bindings
        .patch(
            &name,
            &PatchParams::default(),
            &Patch::Merge(json!({ "metadata": metadata })),
        )
        .await?;
    Ok(())
}

async fn clean_up(raw: &DynamicObject, ctx: &Context) -> Result<(), Error> {
    match Departing::from_raw(raw) {
        Ok(departing) => cleanup_departing(&departing, ctx).await,
        Err(unreadable) if let_go(&raw.metadata, ctx).await? => {
            ctx.events
                .detached(&raw.metadata, &unreadable.to_string())
                .await;
            Ok(())
        }
        Err(unreadable) => Err(Error::Unreadable(unreadable)),
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
    let conditions = [
        condition(ConditionType::Ready, ConditionStatus::False),
        condition(ConditionType::Stalled, ConditionStatus::True),
    ];
    let status =
        json!({ "status": { "observedGeneration": generation, "conditions": conditions } });
    bindings
        .patch_status(
            &raw.name_any(),
            &PatchParams::default(),
            &Patch::Merge(&status),
        )
        .await?;
    ctx.events.unreadable(&raw.metadata, &message);
    Ok(())
}

fn raw_bindings(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<WorkloadIdentityBinding>(&());
    Api::namespaced_with(client.clone(), namespace, &resource)
}
