//! The end of a pass: its status is written if it differs, transitions are told, and the next try is picked.

use std::time::Duration;

use azwib_crds::{WorkloadIdentityBinding, WorkloadIdentityBindingStatus};
use kube::ResourceExt;

use super::calls::CallFailed;
use super::cleanup::Stopped;
use super::context::Context;
use super::credential::applicants::{credential_reason, gives_way, is_refused};
use super::error::{Error, Failure};
use super::failed::{Failed, Next};
use super::finalizer;
use super::next_try::{self, Facts};
use super::status::reason::ConditionType;
use super::status::{self, Moment, Report};
use super::validate::Desired;
use super::write_status::{store_status, write_status};
use crate::kubeutil::backoff::Standing;
use crate::ledger::NotNow;
use crate::runtime::deliberate::Bug;

/// A pass that has done what it could.
pub(super) struct Pass<'a> {
    /// As it was when the pass began.
    pub binding: &'a WorkloadIdentityBinding,
    /// What it asks for; None where that cannot be.
    pub desired: Option<&'a Desired>,
    /// As it was last written.
    pub latest: &'a WorkloadIdentityBinding,
    pub report: Report,
    /// The binding was good when last seen, and could not be looked at.
    pub kept: bool,
    /// The stored status, if the pass did not believe all of it. It is corrected, whatever else there is to say.
    pub mistaken: Option<&'a WorkloadIdentityBindingStatus>,
}

impl<'a> Pass<'a> {
    /// Sets which status is stored. If the pass believed only a part of it, the stored status is corrected in any case.
    pub(super) fn of(self, stored: &'a WorkloadIdentityBinding) -> Self {
        let is_unwritten = self.latest.resource_version() == stored.resource_version();
        let mistaken = is_unwritten && self.latest.status != stored.status;
        Self {
            mistaken: stored.status.as_ref().filter(|_| mistaken),
            ..self
        }
    }

    /// Sets what the binding asks for.
    pub(super) fn asking_for(self, desired: &'a Desired) -> Self {
        Self {
            desired: Some(desired),
            ..self
        }
    }

    /// A pass that wrote nothing, because the binding is suspended.
    pub(super) fn suspended(
        binding: &'a WorkloadIdentityBinding,
        desired: Option<&'a Desired>,
        ctx: &Context,
    ) -> Self {
        Self {
            binding,
            desired,
            latest: binding,
            report: status::of_suspended(binding, desired, &ctx.settled()),
            kept: false,
            mistaken: None,
        }
    }

    /// A pass that this error stopped before anything was applied.
    pub(super) fn stopped(
        binding: &'a WorkloadIdentityBinding,
        error: &Error,
        ctx: &Context,
    ) -> Self {
        Self::reporting(binding, status::of_error(error, &ctx.settled()))
    }

    /// A pass over a good binding that could not be looked at.
    pub(super) fn kept(binding: &'a WorkloadIdentityBinding, ctx: &Context) -> Self {
        Self {
            kept: true,
            ..Self::reporting(binding, status::of_kept(binding, &ctx.settled()))
        }
    }

    /// A pass that has this to say, and has come to no step.
    pub(super) fn reporting(binding: &'a WorkloadIdentityBinding, report: Report) -> Self {
        Self {
            binding,
            desired: None,
            latest: binding,
            report,
            kept: false,
            mistaken: None,
        }
    }

    /// A cleanup that did not come to its end.
    pub(super) fn departing(
        binding: &'a WorkloadIdentityBinding,
        stopped: &Stopped,
        ctx: &Context,
    ) -> Self {
        let allow_force_detach = ctx.settings.allow_force_detach;
        let policy = binding.spec.deletion_policy;
        Self {
            binding,
            desired: None,
            latest: binding,
            report: status::of_departing(stopped, policy, &ctx.settled(), allow_force_detach),
            kept: false,
            mistaken: None,
        }
    }
}

/// Whether status speaks of the spec as it is.
fn is_observed(binding: &WorkloadIdentityBinding) -> bool {
    let observed = binding.status.as_ref().map(|it| it.observed_generation);
    observed == binding.metadata.generation
}

/// Reports in a smaller status that the API server refuses the full one: it changes `Ready`, and nothing else that
/// is new. Where that is refused as well, an event and the log are all that is left.
async fn status_refused(
    pass: (&WorkloadIdentityBinding, &WorkloadIdentityBinding),
    failed: CallFailed,
    ctx: &Context,
) -> Failed {
    let (binding, latest) = pass;
    let uid = binding.uid().unwrap_or_default();
    let error = Error::from(failed);
    let standing = ctx.unwritten.failed(&uid, error.attempt_key());
    let retry_in = error.pace().delay(standing);
    if error.is_refusal_told_after(standing.since) {
        let moment = ctx.moment(standing.since);
        let status = status::of_unwritten(latest, &error, &moment);
        let is_said = latest.status.as_ref() == Some(&status);
        if !is_said {
            match write_status(latest, status.clone(), ctx).await {
                Ok(_) => ctx.events.ready_changed(
                    binding,
                    &binding.status.clone().unwrap_or_default().conditions,
                    &status.conditions,
                ),
                Err(_) if standing.is_first(|stood| error.is_refusal_told_after(stood)) => {
                    ctx.events.refused(&binding.metadata, &error.message());
                }
                // An event has reported it already, and each try is logged.
                Err(_) => {}
            }
        }
    }
    Failed { error, retry_in }
}

/// Tells a binding that is cleaned up and that others keep by their finalizers; gives it as it is then. That azwib lets it go
/// does not depend on what is said of it.
pub(super) async fn tell_what_it_waits_for(
    binding: WorkloadIdentityBinding,
    ctx: &Context,
) -> WorkloadIdentityBinding {
    let others: Vec<_> = finalizer::others(&binding.metadata).collect();
    if others.is_empty() {
        return binding;
    }
    let policy = binding.spec.deletion_policy;
    let report = status::of_cleaned_up(policy, &ctx.settled(), &others);
    let status = status::compute(&binding, report, &ctx.moment(Duration::ZERO));
    match write_status(&binding, status, ctx).await {
        Ok(written) => written,
        Err(failed) => {
            let error = &failed as &dyn std::error::Error;
            tracing::debug!(error, "what a binding waits for is not told");
            binding
        }
    }
}

/// Writes the status if it differs, tells of transitions, and picks the next try.
pub(super) async fn conclude(
    mut pass: Pass<'_>,
    error: Option<Error>,
    ctx: &Context,
) -> Result<Next, Failed> {
    let outcome = judge(&mut pass, error.as_ref(), ctx);
    if !outcome.says_nothing {
        say(&pass, &outcome.status, ctx).await?;
    }
    let uid = pass.binding.uid().unwrap_or_default();
    let propagation_left = status::propagation_left(&outcome.status.conditions, &outcome.moment);
    let Some(error) = error else {
        ctx.succeeded(&uid);
        let resync = ctx.settings.jittered_resync();
        let sooner = Some(propagation_left).filter(|left| !left.is_zero());
        return Ok(Some(sooner.map_or(resync, |left| left.min(resync))));
    };
    if pass.kept {
        tell_that_it_was_not_seen(pass.binding, &error, outcome.standing, ctx);
    }
    let until_stalled = error
        .finding()
        .and_then(|(_, reason)| status::stalls_after(reason, &outcome.moment))
        .map(|threshold| threshold.saturating_sub(outcome.moment.stood));
    let settles_in = error.not_now().and_then(NotNow::settles_in);
    let retry_in = next_try::retry_in(
        next_try::pace(&error, outcome.stays_refused),
        outcome.standing,
        ctx.settings.jittered_resync(),
        &[until_stalled, Some(propagation_left), settles_in],
    );
    Err(Failed { error, retry_in })
}

/// What follows from a pass.
struct Outcome {
    status: WorkloadIdentityBindingStatus,
    /// The status is left as it is.
    says_nothing: bool,
    /// Azure has refused the credential before, and this try was put off for the sake of others.
    stays_refused: bool,
    /// Of what stopped it, if something did.
    standing: Standing,
    moment: Moment,
}

/// Counts what stopped the pass, and decides what follows; nothing is written.
fn judge(pass: &mut Pass<'_>, error: Option<&Error>, ctx: &Context) -> Outcome {
    let (binding, latest) = (pass.binding, pass.latest);
    let uid = binding.uid().unwrap_or_default();
    // That a try has to wait changes nothing about why the last one was refused; and an applicant that were not known to be
    // refused would hold up the line for as long as it waits.
    let refused = credential_reason(latest).filter(|_| is_refused(latest) && is_observed(latest));
    let stays_refused = refused.filter(|_| error.is_some_and(leaves_slot_to_others));
    let standing = error.map(|error| match stays_refused {
        Some(reason) => ctx.attempts.failed(&uid, reason.as_str()),
        None => ctx.note_failure(&uid, error),
    });
    let stood = standing.map_or(Duration::ZERO, |standing| standing.since);
    let may_heal = error.is_some_and(|error| may_heal(binding, error, ctx));
    let moment = ctx.moment(if may_heal { Duration::ZERO } else { stood });
    // An account that stands again is told, whatever is not said of the credential.
    let is_delayed = |error: &Error| stays_refused.is_some() || error.is_delay();
    let account_stands =
        refused.is_some() && error.is_some_and(is_delayed) && pass.report.mends_account(latest);
    if account_stands {
        pass.report.leave(ConditionType::CredentialReady);
    }
    let says_nothing = error.is_some_and(|error| {
        next_try::says_nothing(&Facts {
            error,
            stood,
            kept: pass.kept,
            account_stands,
            is_refused: refused.is_some(),
            stays_refused: stays_refused.is_some(),
            withdraws: latest.status != binding.status,
            is_failing: status::is_failing(latest),
            is_mistaken: pass.mistaken.is_some(),
        })
    });
    Outcome {
        status: status::compute(latest, std::mem::take(&mut pass.report), &moment),
        says_nothing,
        stays_refused: stays_refused.is_some(),
        standing: standing.unwrap_or(Standing::FIRST),
        moment,
    }
}

/// Whether there is a slot, and it is left to another applicant.
fn leaves_slot_to_others(error: &Error) -> bool {
    matches!(error, Error::Failure(Failure::NoCredential(refusal)) if refusal.leaves_slot_to_others())
}

/// What one of our own deletions may cure is not stalled while that is under way, nor what an older duplicate waits for.
fn may_heal(binding: &WorkloadIdentityBinding, error: &Error, ctx: &Context) -> bool {
    let with_older = matches!(error, Error::Failure(Failure::Duplicate(older)) if older.heals());
    with_older || ctx.is_deletion_pending(binding)
}

/// Writes the status if it differs from the stored one, and tells of transitions.
async fn say(
    pass: &Pass<'_>,
    status: &WorkloadIdentityBindingStatus,
    ctx: &Context,
) -> Result<(), Failed> {
    let (binding, latest) = (pass.binding, pass.latest);
    let stored = pass.mistaken.or(latest.status.as_ref());
    if stored != Some(status) || Bug::StatusAlwaysWritten.is_on() {
        let before = binding.status.clone().unwrap_or_default().conditions;
        if let Err(failed) = store_status(latest, status.clone(), ctx).await {
            // Made again from a fresh read, whatever the pace of what stopped this pass; the count of that stays.
            return Err(status_refused((binding, latest), failed, ctx).await);
        }
        if gives_way(binding, status) {
            // It stands before nobody any more.
            ctx.with_identity(binding, |identity| ctx.ledgers.wake_waiters(identity));
        }
        ctx.first_ready
            .note(binding, &status.conditions, ctx.clock.now());
        ctx.events
            .ready_changed(binding, &before, &status.conditions);
        ctx.events.identity_replaced(latest, status);
    }
    ctx.unwritten.forget(&binding.uid().unwrap_or_default());
    ctx.known_good.note(binding, status, pass.desired);
    Ok(())
}

/// Counts a good binding that could not be looked at, and tells of it in an event. One that only waits is seen soon.
fn tell_that_it_was_not_seen(
    binding: &WorkloadIdentityBinding,
    error: &Error,
    standing: Standing,
    ctx: &Context,
) {
    let Error::Failure(failure) = error else {
        return;
    };
    let Some((_, reason)) = failure.finding() else {
        return;
    };
    ctx.metrics.unverified(reason);
    let is_told = |stood| failure.answer().is_none() || error.is_refusal_told_after(stood);
    if standing.is_first(is_told) {
        ctx.events.not_looked_at(binding, reason, &error.message());
    }
}
