//! What the operator writes to accounts.

use azwib_crds::WorkloadIdentityBinding;
use http::Method;
use jiff::SignedDuration;

use super::books::Judge;
use crate::bindings::{account, is_beyond_limit, is_ready};
use crate::caller::Caller;
use crate::kubernetes::{Call, Kind};

/// What others change about an account or in a status again and again is put back a few times a minute, and no more.
pub const FIGHTS_SLOW_DOWN: &str = "fights-slow-down";
/// A reference that the garbage collector has taken off an account is not put on again.
pub const ORPHANS_STAY: &str = "orphans-stay-orphans";
/// Of the bindings of an account the oldest are served; the others make nothing.
pub const OLDEST_SERVED: &str = "the-oldest-of-an-account-are-served";

/// Five that go at once, one each quarter of a minute after that, and what two processes know of each other: nothing.
const REPAIRS_A_MINUTE: usize = 12;

/// A process has written to the API server.
pub(super) fn written(judge: Judge<'_>, process: &Caller, call: &Call<'_>) {
    let Call {
        method,
        key,
        outcome,
        ..
    } = *call;
    let Ok(object) = outcome else {
        return;
    };
    if *method != Method::PATCH || key.kind != Kind::Account {
        return;
    }
    let shared = judge.shared;
    let metadata = &object["metadata"];
    let now = shared.time.now();
    let whose = format!("{}/{}", key.namespace, key.name);
    let references = metadata["ownerReferences"].as_array().into_iter().flatten();
    let owners: Vec<_> = references
        .filter_map(|reference| reference["uid"].as_str())
        .collect();
    not_owned_beyond_limit(judge, &whose, &owners);
    let mut books = judge.books();
    // A write that was under way when the reference was taken off cannot know of it.
    let orphaned = owners.iter().any(|uid| {
        let at = books.orphaned.get(*uid);
        at.is_some_and(|at| now.duration_since(*at) > SignedDuration::from_secs(1))
    });
    let place = (process.number, key.namespace.clone(), key.name.clone());
    let account = books.accounts.entry(place).or_default();
    let version = metadata["resourceVersion"].as_str().unwrap_or_default();
    let given = metadata["managedFields"][0]["fieldsV1"].clone();
    if account.version != version {
        if account.given == given {
            account.repairs.push_back(now);
        } else {
            account.repairs.clear();
        }
        account.given = given;
        version.clone_into(&mut account.version);
    }
    account
        .repairs
        .retain(|at| now.duration_since(*at) < SignedDuration::from_secs(60));
    let repairs = account.repairs.len();
    drop(books);
    if repairs > REPAIRS_A_MINUTE {
        let what = format!("{whose} was put back {repairs} times in a minute");
        shared.violated(FIGHTS_SLOW_DOWN, what);
    }
    if orphaned {
        let what = format!("{whose} refers again to a binding that has left it");
        shared.violated(ORPHANS_STAY, what);
    }
}

/// Judges who owns an account that was written: whoever is not served has no part in it.
fn not_owned_beyond_limit(judge: Judge<'_>, whose: &str, owners: &[&str]) {
    let bindings = judge.shared.cluster.bindings();
    let owns = |it: &&WorkloadIdentityBinding| {
        let uid = it.metadata.uid.as_deref().unwrap_or_default();
        owners.contains(&uid)
    };
    let beyond = bindings
        .iter()
        .filter(owns)
        .find(|it| it.metadata.deletion_timestamp.is_none() && is_beyond_limit(it, &bindings));
    if let Some(binding) = beyond {
        let name = &binding.metadata.name;
        let what = format!("{whose} is owned by {name:?}, which is not served");
        judge.shared.violated(OLDEST_SERVED, what);
    }
}

/// Judges a status of a binding: one that is not served is not Ready, and records nothing.
pub(super) fn status_written(judge: Judge<'_>, uid: &str, binding: &WorkloadIdentityBinding) {
    let shared = judge.shared;
    if binding.metadata.deletion_timestamp.is_some()
        || !is_beyond_limit(binding, &shared.cluster.bindings())
    {
        return;
    }
    // Somebody else may have written a record, which is kept.
    let records = holds_record(binding) && !judge.books().foreign.is_touched(uid);
    if is_ready(binding) || records {
        let (namespace, account) = account(binding);
        let what = format!(
            "{namespace}/{:?} has more older bindings of {account} before it than are served",
            binding.metadata.name
        );
        shared.violated(OLDEST_SERVED, what);
    }
}

fn holds_record(binding: &WorkloadIdentityBinding) -> bool {
    let status = binding.status.as_ref();
    status.is_some_and(|status| !status.credentials.is_empty())
}
