//! Whether a pass over a binding goes on.

use std::borrow::Cow;
use std::ops::ControlFlow;

use azwib_crds::{DeletionPolicy, WorkloadIdentityBinding};
use kube::ResourceExt;

use super::ruling::Ruling;
use super::{revocation, said};
use crate::binding::conclude::{Pass, conclude};
use crate::binding::context::Context;
use crate::binding::error::{Error, Wait};
use crate::binding::failed::{Failed, Next};
use crate::binding::status;
use crate::binding::status::granted::says_granted;
use crate::binding::validate::validate;
use crate::grant::CannotTell;
use crate::runtime::deliberate::Bug;

/// Asks the grants before anything else: without one there is no request to Azure at all. A pass goes on with the binding as they
/// admit it, or has ended.
pub async fn admit<'a>(
    mut binding: Cow<'a, WorkloadIdentityBinding>,
    stored: &WorkloadIdentityBinding,
    ctx: &Context,
) -> ControlFlow<Result<Next, Failed>, Cow<'a, WorkloadIdentityBinding>> {
    let uid = binding.uid().unwrap_or_default();
    let Some(ruling) = ctx.ruling(&binding, &ctx.defaults) else {
        return ControlFlow::Continue(binding);
    };
    match &ruling {
        Ruling::Refused(_) if Bug::StatusGrants.is_on() && says_granted(&binding) => {}
        Ruling::Refused(missing) => {
            let missing = missing.clone();
            let outcome = revocation::without_grant(&binding, stored, missing, ctx).await;
            return ControlFlow::Break(outcome);
        }
        Ruling::Reserved(why) => {
            let error = Error::from(why.clone());
            let pass = Pass::stopped(&binding, &error, ctx).of(stored);
            return ControlFlow::Break(conclude(pass, Some(error), ctx).await);
        }
        Ruling::CannotTell(why) => {
            if !binding.spec.suspend {
                let why = why.clone();
                return ControlFlow::Break(without_answer(&binding, stored, why, ctx).await);
            }
        }
        Ruling::NotRequired | Ruling::Granted { .. } | Ruling::WouldBeRefused(_) => {
            ctx.ungranted.forget(&uid);
        }
    }
    if let Ruling::WouldBeRefused(why) = &ruling
        && ctx.told.is_news(&uid, "would be refused")
    {
        ctx.events.would_be_refused(&binding, why);
    }
    let policy = binding.spec.deletion_policy;
    ctx.settle(said::finding(&ruling, policy));
    if policy == DeletionPolicy::Retain && !ruling.may_retain() {
        if ctx.told.is_news(&uid, "retain") {
            ctx.events.retain_ignored(&binding);
        }
        binding.to_mut().spec.deletion_policy = DeletionPolicy::Delete;
    }
    ControlFlow::Continue(binding)
}

/// A pass over a binding of which it is not known whether a grant covers it: nothing is taken away, and nothing made.
async fn without_answer(
    binding: &WorkloadIdentityBinding,
    stored: &WorkloadIdentityBinding,
    why: CannotTell,
    ctx: &Context,
) -> Result<Next, Failed> {
    let error = Error::from(Wait::ForGrants(why));
    let desired = validate(binding, &ctx.defaults).ok();
    let pass = match &desired {
        Some(desired) if status::was_ready(binding, desired) => {
            Pass::kept(binding, ctx).asking_for(desired)
        }
        _ => Pass::stopped(binding, &error, ctx),
    };
    conclude(pass.of(stored), Some(error), ctx).await
}
