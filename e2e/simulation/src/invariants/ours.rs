//! Only what is ours is changed, and only what status records.

use azure_simulator::core::state::FederatedCredential;
use azwib_crds::{DeletionPolicy, WorkloadIdentityBinding};

use super::books::Judge;
use super::grants::{was_revoked, was_without};
use super::in_order::overtaken;
use crate::bindings::{account, condition, is_for, is_ready};
use crate::caller::Caller;
use crate::grants::{is_covered, might_retain};
use crate::kubernetes::{Key, Kind};
use crate::names::{ISSUER, subject};
use crate::requests::Target;
use crate::shared::Shared;

/// What others made is never changed or deleted.
pub const OURS: &str = "only-ours-is-changed";
/// Nothing is sent to Azure that status does not record.
pub const RECORDED: &str = "recorded-before-it-is-sent";

fn bindings_of(
    shared: &Shared,
    namespace: &str,
    account: &str,
    identity: &str,
) -> Vec<WorkloadIdentityBinding> {
    let mut bindings = shared.cluster.bindings();
    bindings.retain(|it| {
        it.metadata.namespace.as_deref() == Some(namespace)
            && it.spec.service_account.name.as_deref() == Some(account)
            && is_for(it, identity)
    });
    bindings
}

/// Whether somebody else has changed the identity since the process looked at the credential: it cannot know.
fn changed_since_seen(judge: Judge<'_>, process: &Caller, target: &Target) -> bool {
    let books = judge.books();
    let name = target.name.clone().unwrap_or_default();
    // Who deletes has looked.
    let seen = books.seen.get(&(process.number, name)).copied();
    let touched = books.touched(&target.identity);
    seen.zip(touched)
        .is_some_and(|(seen, touched)| touched >= seen)
}

/// Whether a binding can have made a credential, or was free to take the one that another has left.
fn may_have_made(judge: Judge<'_>, binding: &WorkloadIdentityBinding) -> bool {
    let shared = judge.shared;
    let uid = binding.metadata.uid.as_deref().unwrap_or_default();
    let never_resolved = condition(binding, "IdentityResolved")
        .is_some_and(|it| it.status != "True")
        && binding
            .status
            .as_ref()
            .is_none_or(|it| it.identity.is_none())
        && !owns_its_account(shared, binding);
    let books = judge.books();
    books.foreign.has_recorded(uid)
        || books.foreign.is_touched(uid)
        || !binding.spec.suspend && !never_resolved
}

/// Whether the account refers to the binding as its owner: whoever wrote that has resolved the identity, and may have died
/// before it said so in status.
fn owns_its_account(shared: &Shared, binding: &WorkloadIdentityBinding) -> bool {
    let (namespace, name) = account(binding);
    let found = shared
        .cluster
        .get(&Key::new(Kind::Account, namespace, name));
    let owners = found
        .as_ref()
        .and_then(|it| it["metadata"]["ownerReferences"].as_array());
    let uid = binding.metadata.uid.as_deref();
    owners.is_some_and(|owners| owners.iter().any(|it| it["uid"].as_str() == uid))
}

/// Whether no grant allowed a deleted binding to leave its credential behind, of late.
fn may_not_retain(shared: &Shared, binding: &WorkloadIdentityBinding) -> bool {
    let now = shared.time.now();
    let since = now - jiff::SignedDuration::from_secs(300);
    shared.requires_grants && might_retain(&shared.cluster, binding, since).contains(&false)
}

/// Whether the last binding of this account and identity has left its credential behind, long ago and under a grant that has
/// allowed it ever since.
fn was_left_to_stay(shared: &Shared, owner: (&str, &str), identity: &str) -> bool {
    let cluster = &shared.cluster;
    let mut gone = cluster.gone_bindings();
    gone.retain(|it| account(it) == owner && is_for(it, identity));
    let Some(last) = gone.pop() else {
        return false;
    };
    let Some(deleted) = &last.metadata.deletion_timestamp else {
        return false;
    };
    let since = deleted.0 - jiff::SignedDuration::from_secs(60);
    shared.requires_grants
        && shared.time.now().duration_since(deleted.0) > LONG
        && last.spec.deletion_policy == DeletionPolicy::Retain
        && !might_retain(cluster, &last, since).contains(&false)
}

/// Whether one of this account and identity has gone, so that a process may clean up after it: its finalizer was taken off, or the
/// process has started since and knows nothing of the cleanup before.
fn has_gone(shared: &Shared, owner: (&str, &str), identity: &str) -> bool {
    let gone = shared.cluster.gone_bindings();
    gone.iter()
        .any(|it| account(it) == owner && is_for(it, identity))
}

/// Longer than a deletion that was sent is under way.
const LONG: jiff::SignedDuration = jiff::SignedDuration::from_mins(2);

pub(super) fn deleted(
    judge: Judge<'_>,
    process: &Caller,
    before: &Target,
    namespace: &str,
    account: &str,
) {
    let shared = judge.shared;
    let gone = before.credential.as_ref();
    let ours = gone.is_some_and(|it| {
        it.issuer == ISSUER && it.subject.as_deref() == Some(&subject(namespace, account))
    });
    if !ours && !changed_since_seen(judge, process, before) {
        shared.violated(
            OURS,
            format!("a credential of {namespace}/{account} whose subject is not ours was deleted"),
        );
    }
    // A process that has died may have sent it long ago.
    if process.is_dead() {
        return;
    }
    let bindings = bindings_of(shared, namespace, account, &before.identity);
    if bindings.is_empty() && was_left_to_stay(shared, (namespace, account), &before.identity) {
        shared.violated(
            OURS,
            format!("the retained credential of {namespace}/{account} was deleted under its grant"),
        );
    }
    let leaves = bindings.iter().any(|it| {
        it.metadata.deletion_timestamp.is_some()
            && (it.spec.deletion_policy == DeletionPolicy::Delete || may_not_retain(shared, it))
    });
    // What goes with one of several is passed on to none that no grant covers.
    let goes = bindings
        .iter()
        .any(|it| it.metadata.deletion_timestamp.is_some())
        || has_gone(shared, (namespace, account), &before.identity);
    let is_ungranted = |it| {
        let is_without = || was_without(shared, it) || !is_covered(&shared.cluster, it);
        was_revoked(shared, it) || shared.requires_grants && goes && is_without()
    };
    if bindings.iter().any(is_ungranted) {
        return;
    }
    if !bindings.is_empty() && !bindings.iter().any(|it| may_have_made(judge, it)) {
        shared.violated(
            OURS,
            format!("the credential of {namespace}/{account} was deleted for a binding that never made one"),
        );
    }
    let stays = bindings
        .iter()
        .any(|it| it.metadata.deletion_timestamp.is_none() && is_ready(it));
    if !leaves && !bindings.is_empty() || stays {
        shared.violated(
            OURS,
            format!(
                "the credential of {namespace}/{account} was deleted under a binding that needs it"
            ),
        );
    }
}

pub(super) fn written(
    judge: Judge<'_>,
    process: &Caller,
    before: &Target,
    after: &FederatedCredential,
    free: usize,
    namespace: &str,
    account: &str,
) {
    let shared = judge.shared;
    if after.issuer != ISSUER || after.subject.as_deref() != Some(&subject(namespace, account)) {
        shared.violated(
            OURS,
            format!("a credential for {:?} was written", after.subject),
        );
    }
    let bindings = bindings_of(shared, namespace, account, &before.identity);
    let recorded = bindings.iter().any(|it| {
        let credentials = it.status.iter().flat_map(|status| &status.credentials);
        credentials
            .into_iter()
            .any(|credential| credential.name.eq_ignore_ascii_case(&after.name))
    });
    let is_overwritten = bindings.iter().any(|it| {
        let uid = it.metadata.uid.as_deref().unwrap_or_default();
        judge.books().foreign.is_recent(uid, shared.time.now())
    });
    if !recorded && !is_overwritten && !bindings.is_empty() && !process.is_dead() {
        shared.violated(
            RECORDED,
            format!("{} was written, and no status records it", after.name),
        );
    }
    if before.credential.is_none() && !process.is_dead() {
        overtaken(
            judge,
            process,
            &before.identity,
            &after.name,
            free,
            &bindings,
        );
    }
}
