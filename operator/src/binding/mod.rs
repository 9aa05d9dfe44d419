//! The controller of `WorkloadIdentityBinding`.
//!
//! One pass: [`validate`] and [`plan`] are plain functions, [`observe`] reads, [`apply`] writes, and [`status`] is
//! computed from what was applied. [`conclude`] writes it. [`cleanup`] runs instead when the binding is being deleted. [`controller`] says when.

pub mod account;
pub mod apply;
pub mod claims;
pub mod cleanup;
mod conclude;
mod context;
pub mod controller;
pub mod departing;
pub mod error;
pub mod events;
#[cfg(test)]
mod fixtures;
pub mod index;
pub mod kept;
pub mod metrics;
pub mod observe;
pub mod orphans;
pub mod plan;
pub mod reason;
pub mod records;
pub mod service_account;
pub mod status;
pub mod twins;
pub mod unreadable;
pub mod validate;

use std::sync::Arc;
use std::time::Duration;

use azwib_crds::WorkloadIdentityBinding;
use kube::{Api, ResourceExt};
use kube_runtime::controller::Action;
use kube_runtime::finalizer::{self, Event, finalizer};

use crate::runtime::deliberate::Bug;
use apply::Applied;
use cleanup::Cleaned;
use conclude::{Pass, conclude};
pub use context::{Context, Settings};
use error::Error;
use validate::Desired;

use crate::ledger::BindingRef;

/// Finalizer that keeps a deleted binding until its credential is gone.
pub const FINALIZER: &str = "azwib.dev/cleanup";

/// A pass that has to be made again, and when.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failed {
    #[source]
    pub error: Error,
    pub retry_in: Duration,
}

/// Why the finalizer is left as it is.
#[derive(Debug, thiserror::Error)]
enum Halt {
    #[error(transparent)]
    Failed(#[from] Failed),
    #[error("the binding is gone")]
    Gone,
}

/// One pass over a binding, whatever state it is in.
pub async fn reconcile(
    binding: Arc<WorkloadIdentityBinding>,
    ctx: Arc<Context>,
) -> Result<Action, Failed> {
    let binding = ctx.bindings.latest(binding);
    let uid = binding.uid().unwrap_or_default();
    let bindings: Api<WorkloadIdentityBinding> =
        Api::namespaced(ctx.client.clone(), &binding.namespace().unwrap_or_default());
    let outcome = finalizer(&bindings, FINALIZER, binding, |event| async {
        match event {
            Event::Apply(binding) => Ok(converge(&binding, &ctx).await?),
            Event::Cleanup(binding) => remove(&binding, &ctx).await,
        }
    })
    .await;
    match outcome {
        Ok(action) => Ok(action),
        Err(finalizer::Error::ApplyFailed(halt) | finalizer::Error::CleanupFailed(halt)) => {
            match halt {
                Halt::Failed(failed) => Err(failed),
                Halt::Gone => Ok(Action::await_change()),
            }
        }
        Err(finalizer::Error::AddFinalizer(error) | finalizer::Error::RemoveFinalizer(error)) => {
            // 404: it is gone. 422: the finalizers changed since they were read, and that change comes as an event.
            if matches!(&error, kube::Error::Api(answer) if matches!(answer.code, 404 | 422)) {
                return Ok(Action::await_change());
            }
            Err(ctx.failed(&uid, Error::Kubernetes(error)))
        }
        // A watched object has a name, and our finalizer is a valid path.
        Err(finalizer::Error::UnnamedObject | finalizer::Error::InvalidFinalizer) => {
            Ok(Action::await_change())
        }
    }
}

/// Makes what the binding asks for true, and says how far that went.
async fn converge(binding: &WorkloadIdentityBinding, ctx: &Context) -> Result<Action, Failed> {
    if binding.spec.suspend {
        return conclude(Pass::suspended(binding, ctx), None, ctx).await;
    }
    match pass(binding, ctx).await {
        Ok((desired, applied)) => {
            let keep = applied.error.as_ref().is_some_and(Error::is_disturbance)
                && observe::was_good(binding, &desired);
            let report = status::of_applied(binding, &applied, ctx.issuer(), keep);
            let Applied {
                recorded, error, ..
            } = applied;
            let pass = Pass {
                binding,
                latest: recorded.as_ref().unwrap_or(binding),
                report,
                kept: keep,
            };
            conclude(pass, error, ctx).await
        }
        Err(error) => conclude(Pass::stopped(binding, &error, ctx), Some(error), ctx).await,
    }
}

async fn pass(
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
) -> Result<(Desired, Applied), Error> {
    let desired = validate::validate(binding, &ctx.settings.defaults)?;
    let observed = observe::observe(binding, &desired, ctx).await?;
    let plan = plan::plan(observed, &desired, ctx.settings.credential_limit);
    let applied = apply::apply(plan, binding, &desired, ctx).await;
    Ok((desired, applied))
}

/// Undoes what the binding made; an error keeps the finalizer and shows in status.
async fn remove(binding: &WorkloadIdentityBinding, ctx: &Context) -> Result<Action, Halt> {
    let cleaned = match cleanup::cleanup(binding, ctx).await {
        Ok(cleaned) => cleaned,
        Err(error) => {
            let pass = Pass::departing(binding, &error, ctx);
            return Ok(conclude(pass, Some(error), ctx).await?);
        }
    };
    ctx.forget(&binding.uid().unwrap_or_default());
    let who = BindingRef::of(binding);
    ctx.with_identity(binding, |identity| ctx.ledgers.gone(identity, &who));
    match cleaned {
        Cleaned::Gone if Bug::AnothersFinalizer.is_on() => Ok(Action::await_change()),
        Cleaned::Up => Ok(Action::await_change()),
        Cleaned::Gone => Err(Halt::Gone),
    }
}
