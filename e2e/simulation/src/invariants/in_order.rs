//! Who has waited longest is served first.

use azwib_crds::WorkloadIdentityBinding;

use super::books::Judge;
use super::grants::{may_be_over_quota, was_without};
use super::slots::{OUTDATED, stood_when_decided};
use crate::bindings::{age, condition, is_for};
use crate::caller::Caller;
use crate::shared::Shared;

/// Who has waited longest for a slot gets it.
pub const IN_ORDER: &str = "served-in-order";

/// How long somebody has to have waited before it counts as overtaken: decisions and statuses take their time.
const WAITED: i64 = 90;

/// How many seconds a process has to catch up with what an old list has not shown.
const CATCHES_UP: i64 = 30;

/// Whether somebody older waits for a slot of this identity while a younger binding has got one.
pub(super) fn overtaken(
    judge: Judge<'_>,
    process: &Caller,
    identity: &str,
    name: &str,
    free: usize,
    served: &[WorkloadIdentityBinding],
) {
    let shared = judge.shared;
    if stood_when_decided(judge, identity, name) {
        return;
    }
    // One that is being deleted may have sent it: of several for the same account the oldest does.
    let Some(first) = served.iter().min_by_key(|it| age(it)) else {
        return;
    };
    // Who had a credential before comes first.
    let uid = first.metadata.uid.as_deref().unwrap_or_default();
    let is_repair = {
        let books = judge.books();
        books.with_credential.contains(uid) || books.repaired.contains(uid)
    };
    if is_repair {
        let repair = (identity.to_owned(), shared.time.now());
        judge.books().repairs_served.push(repair);
        return;
    }
    let mut waiting = Vec::new();
    let now = shared.time.now();
    for waiter in shared.cluster.bindings() {
        let uid = waiter.metadata.uid.as_deref().unwrap_or_default();
        let since = judge.books().limit_since.get(uid).copied();
        let since = since.filter(|(_, version)| is_shown(judge, process, *version));
        let waits = condition(&waiter, "CredentialReady").is_some_and(|condition| {
            condition.reason == "CredentialLimitReached"
                && condition.observed_generation == waiter.metadata.generation
                && since.is_some_and(|(since, _)| now.duration_since(since).as_secs() > WAITED)
        });
        if waits
            && is_for(&waiter, identity)
            && waiter.metadata.deletion_timestamp.is_none()
            && !waiter.spec.suspend
            && age(&waiter) < age(first)
            && is_next_of_its_account(shared, &waiter)
            && !was_without(shared, &waiter)
            && !may_be_over_quota(shared, &waiter)
        {
            waiting.push(waiter.metadata.name.clone().unwrap_or_default());
        }
    }
    // Where there is room for all of them, who comes first does not matter. When it was decided there was also the room that
    // somebody who comes before all of them has taken since.
    let taken = {
        let repairs = &mut judge.books().repairs_served;
        repairs.retain(|(_, at)| now.duration_since(*at) <= OUTDATED);
        let of_identity = repairs
            .iter()
            .filter(|(of, _)| of.eq_ignore_ascii_case(identity));
        of_identity.count()
    };
    if waiting.len() > free + taken {
        let served = &first.metadata.name;
        let what = format!("{waiting:?} wait, and the younger {served:?} is served");
        shared.violated(IN_ORDER, what);
    }
}

/// Whether a process can know of this version: its list may have been an old one, which its watch makes up for.
fn is_shown(judge: Judge<'_>, process: &Caller, version: u64) -> bool {
    let books = judge.books();
    let old = books.old_list.get(&process.replica);
    old.is_none_or(|(shown, at)| {
        version <= *shown || judge.shared.time.now().duration_since(*at).as_secs() > CATCHES_UP
    })
}

/// Neither the condition nor the account stands in its way.
fn is_next_of_its_account(shared: &Shared, binding: &WorkloadIdentityBinding) -> bool {
    let step = |name| {
        condition(binding, name)
            .is_some_and(|it| it.status == "True" || it.reason == "WaitingForCredential")
    };
    let others = shared.cluster.bindings();
    let has_older_duplicate = others.iter().any(|other| {
        other.metadata.namespace == binding.metadata.namespace
            && other.spec.service_account.name == binding.spec.service_account.name
            && other.metadata.uid != binding.metadata.uid
    });
    !has_older_duplicate && step("IdentityResolved") && step("ServiceAccountReady")
}
