//! One pass over a binding, whatever state it is in.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use azwib_crds::{CredentialOrigin, ResolvedIdentity, WorkloadIdentityBinding};
use kube::ResourceExt;

use super::applied::Applied;
use super::apply::apply;
use super::calls::CallFailed;
use super::changes::Changed;
use super::cleanup::deleted_binding::DeletedBinding;
use super::cleanup::{self, Cleaned, Stage, Stopped};
use super::conclude::{Pass, conclude, tell_what_it_waits_for};
use super::context::Context;
use super::error::{Error, Failure};
use super::failed::{Failed, Next};
use super::finalizer::{self, Due};
use super::grants::admission::admit;
use super::grants::quota::counted;
use super::grants::ruling::Ruling;
use super::index::readable;
use super::plan::{AccountStep, CredentialStep};
use super::read_only::is_read_only;
use super::requests::News;
use super::restore::{is_as_last_seen, restored, without_missing_account};
use super::status::believed::believed;
use super::status::has_something;
use super::status::reason::Reason;
use super::validate::{Desired, service_account_name, validate};
use super::write_status::write_status;
use super::{line_up, observe, plan, status};
use crate::grant::{Reserved, is_own};
use crate::kubeutil::answers::Answer;
use crate::ledger::BindingRef;
use crate::runtime::deliberate::Bug;

/// One pass over a binding, whatever state it is in.
pub async fn reconcile(
    binding: Arc<WorkloadIdentityBinding>,
    ctx: Arc<Context>,
) -> Result<Next, Failed> {
    if let Some(wait) = fought_over(&binding, &ctx) {
        return Ok(Some(wait));
    }
    let binding = ctx.bindings.latest(binding);
    match finalizer::due(&binding.metadata) {
        // It would keep a binding for which nothing is made.
        Due::Finalizer if is_read_only(&ctx) => converge(&binding, &ctx).await,
        // Whoever takes it off again and again keeps nothing by that.
        Due::Finalizer if is_revoked(&binding, &ctx) => converge(&binding, &ctx).await,
        Due::Finalizer => match put_on_finalizer(&binding, &ctx).await {
            // It comes as an event.
            Ok(next) => Ok(next),
            Err(failed) if failed.is_422() && Bug::RefusedFinalizerDropped.is_on() => Ok(None),
            Err(failed) => {
                let error = Error::from(failed);
                conclude(Pass::stopped(&binding, &error, &ctx), Some(error), &ctx).await
            }
        },
        Due::Convergence => converge(&binding, &ctx).await,
        Due::Cleanup => remove(&binding, &ctx).await,
        Due::Nothing => Ok(None),
    }
}

/// Whether the binding has something that no grant covers.
fn is_revoked(binding: &WorkloadIdentityBinding, ctx: &Context) -> bool {
    let is_refused = |it: Ruling| it.is_refused();
    has_something(binding) && ctx.ruling(binding, &ctx.defaults).is_some_and(is_refused)
}

/// Puts the finalizer on. Where somebody takes it off again and again, that is done every quarter of a minute only.
async fn put_on_finalizer(
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
) -> Result<Next, CallFailed> {
    let uid = binding.uid().unwrap_or_default();
    if let Some(wait) = ctx.taken_off.wait_for_next(&uid) {
        if ctx.told.is_news(&uid, "taken off") {
            tracing::warn!(
                binding = %BindingRef::of(binding),
                "somebody removes the finalizer of the binding again and again: azwib now puts it back every 15 seconds only"
            );
        }
        return Ok(Some(wait));
    }
    finalizer::add(&binding.metadata, &ctx.client).await?;
    ctx.changes.note(Changed::Finalizer);
    Ok(None)
}

/// How long a pass has to wait since somebody else writes the status of the binding again and again.
fn fought_over(binding: &WorkloadIdentityBinding, ctx: &Context) -> Option<Duration> {
    let uid = binding.uid().unwrap_or_default();
    let others = ctx.bindings.statuses_of_others(&BindingRef::of(binding));
    let wait = ctx.overwritten.wait(&uid, others)?;
    if ctx.told.is_news(&uid, "overwritten") {
        tracing::warn!(
            binding = %BindingRef::of(binding),
            "somebody else writes the status of the binding again and again: azwib now corrects it every 15 seconds only"
        );
    }
    Some(wait)
}

/// Makes what the binding asks for true, and says how far that went.
async fn converge(stored: &WorkloadIdentityBinding, ctx: &Context) -> Result<Next, Failed> {
    let news = ctx.requests.see(stored);
    let believed = believed(stored, &ctx.defaults);
    let believed = match admit(believed, stored, ctx).await {
        ControlFlow::Continue(believed) => believed,
        ControlFlow::Break(outcome) => return outcome,
    };
    if believed.spec.suspend {
        return suspended(&believed, stored, ctx).await;
    }
    let taken_up = match news {
        News::Nothing => None,
        News::Start | News::Request => take_up(&believed, news, ctx).await?,
    };
    let (stored, believed) = match &taken_up {
        Some(written) => (written, Cow::Borrowed(written)),
        None => (stored, believed),
    };
    let (binding, desired) = match restored(&believed, ctx).await {
        Ok(restored) => restored,
        Err(error) => {
            let believed = without_missing_account(&believed, ctx).await;
            let pass = Pass::stopped(&believed, &error, ctx).of(stored);
            return conclude(pass, Some(error), ctx).await;
        }
    };
    match pass(&binding, &desired, ctx).await {
        Ok(applied) => tell(&binding, &desired, applied, stored, ctx).await,
        Err(error) => {
            if error.is_disturbance() && is_as_last_seen(&binding, &desired, ctx) {
                let pass = Pass::kept(&binding, ctx).of(stored).asking_for(&desired);
                return conclude(pass, Some(error), ctx).await;
            }
            let binding = without_missing_account(&binding, ctx).await;
            let pass = Pass::stopped(&binding, &error, ctx).of(stored);
            conclude(pass.asking_for(&desired), Some(error), ctx).await
        }
    }
}

/// A pass over a suspended binding: nothing is written but its status.
async fn suspended(
    believed: &WorkloadIdentityBinding,
    stored: &WorkloadIdentityBinding,
    ctx: &Context,
) -> Result<Next, Failed> {
    // While suspended it is no applicant, so somebody behind it may get its slot.
    ctx.with_identity(stored, |identity| ctx.ledgers.wake_waiters(identity));
    let believed = without_missing_account(believed, ctx).await;
    let desired = validate(&believed, &ctx.defaults).ok();
    let pass = Pass::suspended(&believed, desired.as_ref(), ctx).of(stored);
    conclude(pass, None, ctx).await
}

/// The end of a pass that came to the writes.
async fn tell(
    binding: &WorkloadIdentityBinding,
    desired: &Desired,
    applied: Applied,
    stored: &WorkloadIdentityBinding,
    ctx: &Context,
) -> Result<Next, Failed> {
    let kept = applied.error.as_ref().is_some_and(Error::is_disturbance)
        && is_as_last_seen(binding, desired, ctx);
    let report = status::of_applied(binding, &applied, &ctx.settled(), kept);
    let Applied {
        recorded,
        error,
        account,
        ..
    } = applied;
    let latest = recorded.as_ref().unwrap_or(binding);
    let latest = match account {
        Some(_) => Cow::Borrowed(latest),
        None => without_missing_account(latest, ctx).await,
    };
    let pass = Pass {
        binding,
        desired: Some(desired),
        latest: &latest,
        report,
        kept,
        mistaken: None,
    };
    conclude(pass.of(stored), error, ctx).await
}

/// Removes `Stalled` before a look that somebody asked for: a tool that waits for the result would take it for the result. Its
/// reason is given its time again, unless the look comes only from a start of the operator.
async fn take_up(
    binding: &WorkloadIdentityBinding,
    news: News,
    ctx: &Context,
) -> Result<Option<WorkloadIdentityBinding>, Failed> {
    let moment = ctx.moment(Duration::ZERO);
    let Some((status, reason)) = status::taken_up(binding, &moment) else {
        return Ok(None);
    };
    let uid = binding.uid().unwrap_or_default();
    let written = match write_status(binding, status, ctx).await {
        Ok(written) => Some(written),
        Err(failed) if failed.answer() == Answer::Race => {
            ctx.requests.see_again(binding);
            return Err(ctx.failed(&uid, failed.into()));
        }
        // If the API server accepts no status, the status at the end of this pass reports that.
        Err(_) => None,
    };
    if news == News::Start {
        let stood = status::stalls_after(reason, &moment).unwrap_or_default();
        ctx.attempts.resume(&uid, reason.as_str(), stood);
    } else {
        ctx.attempts.forget(&uid);
    }
    Ok(written)
}

/// The steps, up to the writes.
async fn pass(
    binding: &WorkloadIdentityBinding,
    desired: &Desired,
    ctx: &Context,
) -> Result<Applied, Error> {
    let refused_for_good = Bug::RefusedByAccountForGood.is_on() && says_account_limit(binding);
    if !ctx.bindings.is_served(binding) || refused_for_good {
        let account = desired.service_account.clone();
        return Err(Failure::TooManyBindings { account }.into());
    }
    line_up::behind_earlier_process(binding, desired, ctx);
    let in_azure = observe::in_azure(binding, desired, ctx).await?;
    not_reserved(&in_azure.identity, desired, ctx).await?;
    let in_azure = line_up::behind_deletion(binding, desired, in_azure, ctx);
    let observed = observe::in_cluster(binding, desired, in_azure, ctx).await?;
    let listing = observed.listing.as_deref().unwrap_or_default();
    let listed = (listing, &*observed.applicants);
    let counted = counted(&observed.applicant, &desired.identity, listed, ctx);
    let plan = plan::plan(observed, desired, ctx.settings.credential_limit);
    // Whose account stays with somebody else asks for no credential, be there room or not: that is what it is told each time.
    let stays = matches!(plan.account, AccountStep::Stop(_) | AccountStep::GiveUp(..));
    if let (CredentialStep::Write | CredentialStep::Adopt { .. }, Some(counted), false) =
        (&plan.credential, &counted, stays)
    {
        let ledger = ctx.ledgers.of(&desired.identity);
        counted.check(&ledger.promised_subjects())?;
    }
    Ok(apply(plan, binding, desired, ctx).await)
}

/// The operator's own identity is never bound.
async fn not_reserved(
    identity: &ResolvedIdentity,
    desired: &Desired,
    ctx: &Context,
) -> Result<(), Reserved> {
    let Some(own) = ctx.ledgers.signed_in_as().await else {
        return Ok(());
    };
    if is_own(&own, identity) {
        return Err(Reserved::Identity(desired.identity.to_string()));
    }
    Ok(())
}

/// Whether status says that the account has too many bindings.
fn says_account_limit(binding: &WorkloadIdentityBinding) -> bool {
    let conditions = binding.status.iter().flat_map(|it| &it.conditions);
    let limit = Reason::ServiceAccountLimitReached.as_str();
    conditions.into_iter().any(|it| it.reason == limit)
}

/// Undoes what the binding made, and lets it go; an error keeps the finalizer and shows in status.
async fn remove(binding: &WorkloadIdentityBinding, ctx: &Context) -> Result<Next, Failed> {
    let cleaned = match cleanup::cleanup(binding, ctx).await {
        Ok(cleaned) => cleaned,
        Err(stopped) => return stopped_at(binding, stopped, ctx).await,
    };
    let who = BindingRef::of(binding);
    ctx.with_identity(binding, |identity| {
        ctx.ledgers.gone(identity, &who);
        ctx.wake_over_quota(identity);
    });
    let uid = binding.uid().unwrap_or_default();
    let read = match cleaned {
        Cleaned::Up(read) => tell_what_it_waits_for(*read, ctx).await,
        Cleaned::Gone if Bug::AnothersFinalizer.is_on() => {
            let mut whoever = binding.clone();
            whoever.metadata.resource_version = None;
            whoever
        }
        Cleaned::Gone => {
            ctx.forget(&uid);
            return Ok(None);
        }
    };
    ctx.bindings.cleaned_up(&uid);
    match finalizer::remove(&read.metadata, &ctx.client).await {
        Ok(()) => {
            ctx.changes.note(Changed::Finalizer);
            ctx.forget(&uid);
            Ok(None)
        }
        Err(failed) => {
            let stopped = Stopped {
                at: Stage::Finalizer,
                error: failed.into(),
            };
            stopped_at(&read, stopped, ctx).await
        }
    }
}

/// Cleans up after a binding that has gone without that: somebody has taken its finalizer off. The watch has shown it last so.
pub async fn vanished(
    binding: Arc<WorkloadIdentityBinding>,
    ctx: Arc<Context>,
) -> Result<Next, Failed> {
    let who = BindingRef::of(&binding);
    let uid = binding.uid().unwrap_or_default();
    if !is_recorded_by_another(&binding, &ctx) {
        let cleaned = cleanup::cleanup_departing(&DeletedBinding::from(&*binding), &ctx).await;
        if let Err(Stopped { error, .. }) = cleaned {
            return Err(ctx.failed(&uid, error));
        }
        tracing::warn!(
            binding = %who,
            "the binding went without its finalizer, and what it had made was deleted after it"
        );
    }
    ctx.bindings.no_more(&who);
    ctx.forget(&uid);
    // There may be another one of its name.
    Ok(Some(Duration::ZERO))
}

/// Whether another binding of the same account records what this one has left: then it looks after it, and cleans it up. An earlier
/// process may have cleaned up after this one, and an old list shows it once more.
fn is_recorded_by_another(gone: &WorkloadIdentityBinding, ctx: &Context) -> bool {
    let namespace = gone.namespace().unwrap_or_default();
    let others = ctx
        .bindings
        .of_account(&namespace, &service_account_name(gone));
    let records = |binding: &WorkloadIdentityBinding| {
        let recorded = binding.status.iter().flat_map(|it| &it.credentials);
        let own = recorded.filter(|it| it.origin != CredentialOrigin::Adopted);
        own.filter_map(|it| Some((it.managed_identity()?, it.name.to_ascii_lowercase())))
            .collect::<HashSet<_>>()
    };
    let left = records(gone);
    readable(&others)
        .filter(|other| other.uid() != gone.uid())
        .any(|other| left.is_subset(&records(other)))
}

/// The end of a cleanup that did not come to its end.
async fn stopped_at(
    binding: &WorkloadIdentityBinding,
    stopped: Stopped,
    ctx: &Context,
) -> Result<Next, Failed> {
    let pass = Pass::departing(binding, &stopped, ctx);
    let desired = validate(binding, &ctx.defaults).ok();
    let pass = Pass {
        desired: desired.as_ref(),
        ..pass
    };
    conclude(pass, Some(stopped.error), ctx).await
}
