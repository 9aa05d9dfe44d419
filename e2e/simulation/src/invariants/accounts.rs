//! What the operator writes to accounts.

use http::Method;
use jiff::SignedDuration;

use super::books::Judge;
use crate::caller::Caller;
use crate::kubernetes::{Call, Kind};

/// What others change about an account or in a status again and again is put back a few times a minute, and no more.
pub const FIGHTS_SLOW_DOWN: &str = "fights-slow-down";
/// A reference that the garbage collector has taken off an account is not put on again.
pub const ORPHANS_STAY: &str = "orphans-stay-orphans";

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
    let mut books = judge.books();
    let references = metadata["ownerReferences"].as_array().into_iter().flatten();
    let orphaned = references
        .filter_map(|reference| reference["uid"].as_str())
        .any(|uid| books.orphaned.contains(uid));
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
