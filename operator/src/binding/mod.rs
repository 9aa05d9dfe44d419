//! The controller of `WorkloadIdentityBinding`.
//!
//! One pass: [`validate`] and [`plan`] are plain functions, [`observe`] reads, [`apply`] writes, and [`status`] is
//! computed from what was applied. [`cleanup`] runs instead when the binding is being deleted. [`controller`] says when.

pub mod account;
pub mod apply;
pub mod cleanup;
mod context;
pub mod controller;
pub mod error;
pub mod events;
pub mod observe;
pub mod plan;
pub mod reason;
pub mod service_account;
pub mod status;
pub mod validate;

use std::sync::Arc;
use std::time::Duration;

use azwib_crds::{WorkloadIdentityBinding, WorkloadIdentityBindingStatus};
use kube::{Api, ResourceExt};
use kube_runtime::controller::Action;
use kube_runtime::finalizer::{self, Event, finalizer};

use crate::kubeutil::attempts::{Pace, Standing};
use apply::{Applied, write_status};
pub use context::{Context, Settings};
use error::Error;
use status::Report;
use validate::Desired;

/// Finalizer that keeps a deleted binding until its credential is gone.
pub const FINALIZER: &str = "azwib.dev/cleanup";

/// A binding whose status says the same for this long while it waits for a turn is told that it waits.
const QUIET_WAIT: Duration = Duration::from_secs(2);

/// A pass that has to be made again, and when.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failed {
    #[source]
    pub error: Error,
    pub retry_in: Duration,
}

/// One pass over a binding, whatever state it is in.
pub async fn reconcile(
    binding: Arc<WorkloadIdentityBinding>,
    ctx: Arc<Context>,
) -> Result<Action, Failed> {
    let uid = binding.uid().unwrap_or_default();
    let bindings: Api<WorkloadIdentityBinding> =
        Api::namespaced(ctx.client.clone(), &binding.namespace().unwrap_or_default());
    let outcome = finalizer(&bindings, FINALIZER, binding, |event| async {
        match event {
            Event::Apply(binding) => converge(&binding, &ctx).await,
            Event::Cleanup(binding) => remove(&binding, &ctx).await,
        }
    })
    .await;
    match outcome {
        Ok(action) => Ok(action),
        Err(finalizer::Error::ApplyFailed(failed) | finalizer::Error::CleanupFailed(failed)) => {
            Err(failed)
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
    match pass(binding, ctx).await {
        Ok((desired, applied)) => {
            let keep = applied.error.as_ref().is_some_and(Error::is_disturbance)
                && observe::was_good(binding, &desired);
            let report = status::of_applied(binding, &applied, ctx.issuer(), keep);
            let Applied {
                recorded, error, ..
            } = applied;
            let latest = recorded.as_ref().unwrap_or(binding);
            conclude(
                Pass {
                    binding,
                    latest,
                    report,
                    kept: keep,
                },
                error,
                ctx,
            )
            .await
        }
        Err(error) => {
            let report = status::of_error(&error, ctx.issuer());
            conclude(
                Pass {
                    binding,
                    latest: binding,
                    report,
                    kept: false,
                },
                Some(error),
                ctx,
            )
            .await
        }
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
async fn remove(binding: &WorkloadIdentityBinding, ctx: &Context) -> Result<Action, Failed> {
    let Err(error) = cleanup::cleanup(binding, ctx).await else {
        ctx.attempts.forget(&binding.uid().unwrap_or_default());
        return Ok(Action::await_change());
    };
    let report = status::of_error(&error, ctx.issuer());
    conclude(
        Pass {
            binding,
            latest: binding,
            report,
            kept: false,
        },
        Some(error),
        ctx,
    )
    .await
}

/// A pass that has done what it could.
struct Pass<'a> {
    /// As it was when the pass began.
    binding: &'a WorkloadIdentityBinding,
    /// As it was last written.
    latest: &'a WorkloadIdentityBinding,
    report: Report,
    /// The binding was good when last seen, and could not be looked at.
    kept: bool,
}

/// Writes what a pass has to say, also to a binding whose spec or metadata has changed since it was read: the status
/// carries the generation that it speaks of, and a record that is to be withdrawn must not stay for the cleanup.
async fn store_status(
    latest: &WorkloadIdentityBinding,
    status: WorkloadIdentityBindingStatus,
    ctx: &Context,
) -> Result<(), kube::Error> {
    let conflict = match write_status(latest, status.clone(), ctx).await {
        Ok(_) => return Ok(()),
        Err(kube::Error::Api(answer)) if answer.code == 409 => kube::Error::Api(answer),
        Err(error) => return Err(error),
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

/// Writes the status if it differs, tells of transitions, and picks the next try.
async fn conclude(pass: Pass<'_>, error: Option<Error>, ctx: &Context) -> Result<Action, Failed> {
    let Pass {
        binding,
        latest,
        report,
        kept,
    } = pass;
    let uid = binding.uid().unwrap_or_default();
    let standing = error
        .as_ref()
        .map(|error| ctx.attempts.failed(&uid, error.attempt_key()));
    let moment = ctx.moment(standing.map_or(Duration::ZERO, |standing| standing.since));
    let status = status::compute(latest, report, &moment);
    let propagation_left = status::propagation_left(&status.conditions, &moment);
    // Waits for a turn are short: saying so at once would cost a write for each.
    let silent = match &error {
        Some(Error::Kubernetes(_) | Error::Unparsable(_)) => true,
        Some(Error::TurnTaken) => moment.stood < QUIET_WAIT,
        _ => false,
    };
    if !silent && latest.status.as_ref() != Some(&status) {
        let before = binding.status.clone().unwrap_or_default().conditions;
        if let Err(refused) = store_status(latest, status.clone(), ctx).await {
            // Made again soon and from a fresh read, whatever the pace of what stopped this pass; its count stays.
            return Err(match standing {
                None => ctx.failed(&uid, Error::Kubernetes(refused)),
                Some(standing) => Failed {
                    error: Error::Kubernetes(refused),
                    retry_in: Pace::Backoff.delay(standing),
                },
            });
        }
        ctx.events
            .ready_changed(binding, &before, &status.conditions)
            .await;
    }
    let Some(error) = error else {
        ctx.attempts.forget(&uid);
        let resync = ctx.settings.jittered_resync();
        return Ok(Action::requeue(if propagation_left.is_zero() {
            resync
        } else {
            propagation_left.min(resync)
        }));
    };
    if let (true, Some((_, reason)), Some(1)) = (
        kept,
        error.finding(),
        standing.map(|standing| standing.failures),
    ) {
        ctx.events
            .not_looked_at(binding, reason, &error.message())
            .await;
    }
    let delay = error.pace().delay(standing.unwrap_or(Standing::FIRST));
    let until_stalled = error
        .finding()
        .and_then(|(_, reason)| status::stalls_after(reason, &moment))
        .map(|threshold| threshold.saturating_sub(moment.stood))
        .filter(|left| !left.is_zero());
    Err(Failed {
        error,
        retry_in: until_stalled.map_or(delay, |left| delay.min(left)),
    })
}
