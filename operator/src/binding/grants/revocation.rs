//! Takes away what a binding has that no grant covers any more: not at once, and not for good.
//!
//! 1. For [`SETTLES`] nothing is said and nothing taken away: a grant that is deleted and applied again costs nobody anything.
//!    Nothing new is given in that time either.
//! 2. Then `Granted` is False. For `--revocation-grace` the credential works on, and the account stays as it is; nothing is
//!    repaired.
//! 3. Then the credential and the annotations go, whatever `deletionPolicy` and `suspend` say.

use std::time::Duration;

use azwib_crds::{CredentialOrigin, RecordedCredential, WorkloadIdentityBinding};
use k8s_openapi::jiff::Timestamp;
use kube::{Api, ResourceExt};

use kube_runtime::reflector::ObjectRef;

use super::SETTLES;
use crate::azure::safe_line;
use crate::binding::account::{CLIENT_ID, ExistingAccount};
use crate::binding::cleanup::deleted_binding::DeletedBinding;
use crate::binding::cleanup::take_away;
use crate::binding::conclude::{Pass, conclude};
use crate::binding::context::{Context, Operator};
use crate::binding::error::{Error, Failure};
use crate::binding::failed::{Failed, Next};
use crate::binding::read_only::is_read_only;
use crate::binding::status::believed::believed;
use crate::binding::status::granted::says_granted;
use crate::binding::status::reason::{ConditionType, Reason};
use crate::binding::status::{self, Report, has_something};
use crate::binding::validate::service_account_name;
use crate::binding::write_status::write_status;
use crate::grant::Missing;
use crate::kubeutil::answers::Answer;
use crate::kubeutil::conditions::{ConditionStatus, find};
use crate::ledger::BindingRef;
use crate::runtime::clock::minute_at;
use crate::runtime::deliberate::Bug;

/// When a binding is looked at again that the watch shows as it was.
const CATCHES_UP: Duration = Duration::from_secs(1);

/// A pass over a binding that no grant covers; `stored` is the binding as it is stored.
pub async fn without_grant(
    binding: &WorkloadIdentityBinding,
    stored: &WorkloadIdentityBinding,
    missing: Missing,
    ctx: &Context,
) -> Result<Next, Failed> {
    // It is no applicant, so somebody behind it may get its slot.
    ctx.with_identity(binding, |identity| ctx.ledgers.wake_waiters(identity));
    let seen = ctx.ungranted.since(&binding.uid().unwrap_or_default());
    let told = refused_since(binding);
    let settles = SETTLES.saturating_sub(seen.elapsed());
    if told.is_none() && says_granted(binding) && !settles.is_zero() && !Bug::RevokedAtOnce.is_on()
    {
        return Ok(Some(settles));
    }
    if !has_own(binding, ctx) && !carries_although_revoked(binding, ctx) {
        let why = refused(&missing, &after(binding));
        return end(
            binding,
            stored,
            (missing, why),
            Report::default(),
            None,
            ctx,
        )
        .await;
    }
    let left = left(binding, ctx);
    if (!left.is_zero() && !Bug::RevokedAtOnce.is_on()) || Bug::RevokedKept.is_on() {
        let now = ctx.clock.now();
        let since = told.map_or(now, |told| told.min(now));
        let until = since.checked_add(ctx.settings.revocation_grace);
        let until = minute_at(until.unwrap_or(since));
        let then = match is_read_only(ctx) {
            true => format!("would be taken away at {until}, but azwib runs with --read-only"),
            false => format!("is taken away at {until} unless a grant covers it again"),
        };
        let what = format!("what azwib made for it works on, unrepaired, and {then}");
        let why = refused(&missing, &what);
        return end(
            binding,
            stored,
            (missing, why),
            Report::default(),
            Some(left),
            ctx,
        )
        .await;
    }
    remove(binding, stored, missing, ctx).await
}

/// The same for a binding that cannot be read, from what is known of it. Its status says nothing of grants: the time counts from when
/// this process has first seen it without one.
pub async fn of_unreadable(binding: DeletedBinding, ctx: &Context) -> Result<Next, Error> {
    let uid = binding.uid().to_owned();
    let is_refused = {
        let account = (binding.namespace(), &*binding.service_account);
        let recorded = binding.credentials.iter();
        let mut identities = recorded.filter_map(RecordedCredential::managed_identity);
        identities.any(|it| ctx.ruling_on(&it, account, None).is_refused())
    };
    if !is_refused {
        ctx.ungranted.forget(&uid);
        return Ok(None);
    }
    let seen = ctx.ungranted.since(&uid);
    let left = (SETTLES + ctx.settings.revocation_grace).saturating_sub(seen.elapsed());
    if !left.is_zero() || ctx.ungranted.is_stripped(&uid) {
        return Ok(Some(left).filter(|left| !left.is_zero()));
    }
    let taken = take_away(&binding.without_retain(), ctx).await;
    taken.map_err(|stopped| stopped.error)?;
    ctx.ungranted.stripped(&uid);
    Ok(None)
}

/// How long what was made for the binding works on.
fn left(binding: &WorkloadIdentityBinding, ctx: &Operator) -> Duration {
    let (now, grace) = (ctx.clock.now(), ctx.settings.revocation_grace);
    // A time in the future counts as now, once: the status is put right.
    let since = refused_since(binding).map_or(now, |told| told.min(now));
    let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    // As this process knows it, whatever status says.
    let stood = ctx.ungranted.stood(&binding.uid().unwrap_or_default());
    let known = (SETTLES + grace).saturating_sub(stood.unwrap_or_default());
    grace.saturating_sub(passed).min(known)
}

/// Whether what was made for a binding without a grant is to be taken away now.
pub fn is_due(binding: &WorkloadIdentityBinding, ctx: &Operator) -> bool {
    // Status may not say so yet: without a grace nothing is told before.
    let stood = ctx.ungranted.stood(&binding.uid().unwrap_or_default());
    let is_over = stood.is_some_and(|stood| stood >= SETTLES + ctx.settings.revocation_grace);
    (refused_since(binding).is_some() || is_over) && left(binding, ctx).is_zero()
}

/// Takes away what was made for the binding.
async fn remove(
    binding: &WorkloadIdentityBinding,
    stored: &WorkloadIdentityBinding,
    missing: Missing,
    ctx: &Context,
) -> Result<Next, Failed> {
    // The watch may lag behind, most of all after a start: what it shows may be from an earlier time without a grant.
    let name = binding.name_any();
    let bindings: Api<WorkloadIdentityBinding> =
        Api::namespaced(ctx.client.clone(), &binding.namespace().unwrap_or_default());
    let fresh = match bindings.get_opt(&name).await {
        Ok(Some(fresh)) if fresh.uid() == binding.uid() => fresh,
        Ok(_) => return Ok(None),
        Err(error) => {
            let error = Error::from(error);
            return Err(ctx.failed(&binding.uid().unwrap_or_default(), error));
        }
    };
    if refused_since(&fresh) != refused_since(binding) {
        return Ok(Some(CATCHES_UP));
    }
    let fresh = match refused_since(&fresh) {
        Some(_) => fresh,
        None => tell_that_it_goes(fresh, &missing, ctx).await?,
    };
    // What is said in the end follows on what is stored now.
    let as_told = believed(&fresh, &ctx.defaults);
    let (binding, stored) = match refused_since(binding) {
        Some(_) => (binding, stored),
        None => (&*as_told, &fresh),
    };
    let mut leaving = DeletedBinding::from(&fresh).without_retain();
    // Only what is known to be its own.
    leaving.suspended = true;
    if let Err(stopped) = take_away(&leaving, ctx).await {
        let what = format!(
            "what azwib made for it is to be taken away, and is not yet: {}",
            stopped.error.message()
        );
        let report = status::of_granted(false, Reason::NotGranted, refused(&missing, &what));
        let pass = Pass::reporting(binding, report);
        return conclude(pass.of(stored), Some(stopped.error), ctx).await;
    }
    ctx.ungranted.stripped(&binding.uid().unwrap_or_default());
    let adopted: Vec<_> = adopted(binding).cloned().collect();
    if !adopted.is_empty()
        && ctx
            .told
            .is_news(&binding.uid().unwrap_or_default(), "access remains")
    {
        for credential in &adopted {
            ctx.events
                .access_remains(binding, &credential.name, &how_to_remove(credential));
        }
    }
    ctx.with_identity(binding, |identity| ctx.wake_over_quota(identity));
    tracing::warn!(
        binding = %BindingRef::of(binding),
        "no grant covers the binding any more: what azwib had made for it was taken away"
    );
    let report = status::of_revoked(adopted);
    let why = refused(&missing, &after_removal(binding));
    end(binding, stored, (missing, why), report, None, ctx).await
}

/// Says that no grant covers a binding of which nothing says so yet: there is no grace, or somebody has written another status all the
/// time. Who leads next knows by that of a deletion that may be under way. Where the API server refuses the status, nobody keeps a
/// credential by that.
async fn tell_that_it_goes(
    binding: WorkloadIdentityBinding,
    missing: &Missing,
    ctx: &Context,
) -> Result<WorkloadIdentityBinding, Failed> {
    let why = refused(missing, "what azwib made for it is being taken away");
    let report = status::of_granted(false, Reason::NotGranted, why);
    let status = status::compute(&binding, report, &ctx.moment(Duration::ZERO));
    let uid = binding.uid().unwrap_or_default();
    let written = match write_status(&binding, status, ctx).await {
        Ok(written) => written,
        Err(failed) if failed.answer() == Answer::Refused => {
            let error = &failed as &dyn std::error::Error;
            tracing::warn!(
                error,
                binding = %BindingRef::of(&binding),
                "what azwib made for a binding that no grant covers is taken away, and its status cannot say so"
            );
            return Ok(binding);
        }
        Err(failed) => return Err(ctx.failed(&uid, Error::from(failed))),
    };
    let conditions =
        |it: &WorkloadIdentityBinding| it.status.clone().unwrap_or_default().conditions;
    let (before, after) = (conditions(&binding), conditions(&written));
    ctx.events.ready_changed(&binding, &before, &after);
    Ok(written)
}

/// Says that no grant covers the binding. The next look is after this time, if there is one.
async fn end(
    binding: &WorkloadIdentityBinding,
    stored: &WorkloadIdentityBinding,
    (missing, why): (Missing, String),
    report: Report,
    next: Next,
    ctx: &Context,
) -> Result<Next, Failed> {
    let report = report.and(status::of_granted(false, Reason::NotGranted, why));
    let pass = Pass::reporting(binding, report).of(stored);
    let error = Error::from(Failure::NotGranted(missing));
    match conclude(pass, Some(error), ctx).await {
        Err(Failed { error, retry_in }) => Err(Failed {
            error,
            retry_in: next.map_or(retry_in, |next| next.min(retry_in)),
        }),
        concluded => concluded,
    }
}

fn refused(missing: &Missing, what: &str) -> String {
    match what {
        "" => missing.to_string(),
        what => format!("{missing}; {what}"),
    }
}

/// What is left to say of a binding that has nothing of its own.
fn after(binding: &WorkloadIdentityBinding) -> String {
    if says_revoked(binding) || adopted(binding).next().is_some() {
        after_removal(binding)
    } else {
        String::new()
    }
}

fn after_removal(binding: &WorkloadIdentityBinding) -> String {
    let mut what = "what azwib had made for it was taken away".to_owned();
    for credential in adopted(binding) {
        let name = safe_line(&credential.name);
        let command = how_to_remove(credential);
        what = format!(
            "{what}; access remains by the credential {name}, which somebody else made; to end it: {command}"
        );
    }
    what
}

fn how_to_remove(credential: &RecordedCredential) -> String {
    let name = safe_line(&credential.name);
    match credential.managed_identity() {
        Some(id) => format!(
            "az identity federated-credential delete --subscription {} --resource-group {} --identity-name {} --name {name}",
            id.subscription_id(),
            id.resource_group(),
            id.name(),
        ),
        None => format!("delete the credential {name} of the identity"),
    }
}

/// Since when status says that no grant covers the binding.
fn refused_since(binding: &WorkloadIdentityBinding) -> Option<Timestamp> {
    let conditions = &binding.status.as_ref()?.conditions;
    let granted = find(conditions, ConditionType::Granted.as_str())?;
    let is_refused = granted.status == ConditionStatus::False.as_str()
        && granted.reason == Reason::NotGranted.as_str();
    is_refused.then_some(granted.last_transition_time.0)
}

/// Whether the binding has anything that is azwib's to take away: as status says, or as this process has seen before somebody
/// wrote another status.
fn has_own(binding: &WorkloadIdentityBinding, ctx: &Context) -> bool {
    let status = binding.status.as_ref();
    let uid = binding.uid().unwrap_or_default();
    let is_remembered = ctx.bindings.has_recorded(&BindingRef::of(binding), &uid);
    is_remembered && !ctx.ungranted.is_stripped(&uid)
        || has_something(binding)
            && status.is_some_and(|it| {
                it.service_account.is_some()
                    || it
                        .credentials
                        .iter()
                        .any(|it| it.origin != CredentialOrigin::Adopted)
            })
}

/// Whether status says that all was taken away, and the account shows that it was not: somebody has written that while no operator
/// ran. It is looked at once.
fn carries_although_revoked(binding: &WorkloadIdentityBinding, ctx: &Context) -> bool {
    let uid = binding.uid().unwrap_or_default();
    if !says_revoked(binding) || ctx.ungranted.is_stripped(&uid) {
        return false;
    }
    let namespace = binding.namespace().unwrap_or_default();
    let key = ObjectRef::<ExistingAccount>::new(&service_account_name(binding)).within(&namespace);
    ctx.accounts.get(&key).is_some_and(|account| {
        account.annotation(CLIENT_ID).is_some()
            && account.own_references().any(|owner| owner.uid == uid)
    })
}

fn says_revoked(binding: &WorkloadIdentityBinding) -> bool {
    let conditions = binding.status.as_ref().map_or(&[][..], |it| &it.conditions);
    find(conditions, ConditionType::CredentialReady.as_str())
        .is_some_and(|it| it.reason == Reason::Revoked.as_str())
}

fn adopted(binding: &WorkloadIdentityBinding) -> impl Iterator<Item = &RecordedCredential> {
    let recorded = binding.status.iter().flat_map(|it| &it.credentials);
    recorded.filter(|it| it.origin == CredentialOrigin::Adopted)
}
