//! One replica writes at a time.

use std::time::Duration;

use super::books::Judge;
use crate::caller::Caller;
use crate::setup::TIMINGS;

/// A write is sent by the replica that holds the Lease, within the renew deadline after its last renewal.
pub const ONE_WRITER: &str = "one-writer-one-claim";

/// A replica has written the Lease.
pub(super) fn lease_written(judge: Judge<'_>, process: &Caller, holder: Option<u32>) {
    let now = judge.shared.time.now();
    let lease = &mut judge.books().lease;
    if holder == Some(process.replica) {
        lease.holder = holder;
        lease.renewed.insert(process.replica, now);
    } else if lease.holder == Some(process.replica) {
        lease.holder = None;
    }
}

/// A write leaves a process.
pub(super) fn sent(judge: Judge<'_>, process: &Caller, what: &str) {
    let shared = judge.shared;
    if shared.replicas == 1 {
        return;
    }
    let replica = process.replica;
    let (holder, renewed) = {
        let lease = &judge.books().lease;
        (lease.holder, lease.renewed.get(&replica).copied())
    };
    let age = renewed.map(|at| shared.time.now().duration_since(at));
    let age = age.and_then(|age| Duration::try_from(age).ok());
    let is_in_time = age.is_some_and(|age| age <= TIMINGS.renew_deadline);
    if holder != Some(replica) || !is_in_time {
        let what = format!(
            "replica {replica} sends {what}, {age:?} after its last renewal; the Lease is of {holder:?}"
        );
        shared.violated(ONE_WRITER, what);
    }
}
