//! A pass while it is not known which issuer the cluster's tokens carry: nothing is written but what a binding is told, good bindings
//! stay as they are, and a cleanup waits.

use std::sync::Arc;

use azwib_crds::WorkloadIdentityBinding;
use kube::ResourceExt;

use super::cleanup::{Stage, Stopped};
use super::conclude::{Pass, conclude};
use super::context::Context;
use super::error::{Error, Wait};
use super::failed::{Failed, Next};
use super::finalizer::{self, Due};
use super::status::reason::ConditionType;
use crate::kubeutil::backoff::Standing;
use crate::kubeutil::conditions::is_true;

/// A pass over a binding; over none where it cannot be read, which is told once the issuer is known.
pub(super) async fn pass(
    binding: Option<WorkloadIdentityBinding>,
    why: Arc<str>,
    ctx: &Context,
) -> Result<Next, Failed> {
    let error = || Error::from(Wait::ForIssuer(Arc::clone(&why)));
    let Some(binding) = binding else {
        return Ok(Some(error().pace().delay(Standing::FIRST)));
    };
    let binding = ctx.bindings.latest(Arc::new(binding));
    let uid = binding.uid().unwrap_or_default();
    match finalizer::due(&binding.metadata) {
        Due::Nothing => Ok(None),
        Due::Cleanup => {
            let stopped = Stopped {
                at: Stage::Credentials,
                error: error(),
            };
            conclude(
                Pass::departing(&binding, &stopped, ctx),
                Some(stopped.error),
                ctx,
            )
            .await
        }
        Due::Finalizer | Due::Convergence if is_left_alone(&binding) => {
            Err(ctx.failed(&uid, error()))
        }
        Due::Finalizer | Due::Convergence => {
            let error = error();
            conclude(Pass::stopped(&binding, &error, ctx), Some(error), ctx).await
        }
    }
}

/// Whether nothing new is to be said: it is suspended, or Ready with the spec that it has.
fn is_left_alone(binding: &WorkloadIdentityBinding) -> bool {
    let is_good = binding.status.as_ref().is_some_and(|status| {
        is_true(&status.conditions, ConditionType::Ready.as_str())
            && Some(status.observed_generation) == binding.metadata.generation
    });
    binding.spec.suspend || is_good
}
