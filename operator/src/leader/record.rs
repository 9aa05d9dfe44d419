//! What stands in the Lease. Pure.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;

use super::timings::{LONGEST_LEASE, Timings};

/// How long a released Lease says that it lasts, in seconds. With no holder, this is how client-go's release is told.
const RELEASED_SECONDS: i32 = 1;

/// How a process finds a term of its own again in the Lease: by more than its name, which anybody can write there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    holder: String,
    acquired: MicroTime,
    transitions: i32,
}

/// A Lease that nobody holds.
pub(super) fn vacant(name: &str, timings: &Timings, now: Timestamp) -> Lease {
    Lease {
        metadata: named(name),
        spec: Some(LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(seconds(timings.lease_duration)),
            renew_time: Some(micro(now)),
            ..LeaseSpec::default()
        }),
    }
}

/// The metadata of a Lease that is to be made.
pub(super) fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

/// The Lease taken for a new term. What others have put into its metadata stays.
pub(super) fn taken(
    before: Lease,
    identity: &str,
    timings: &Timings,
    now: Timestamp,
) -> (Lease, Mark) {
    // Whatever was written there by hand: it only counts.
    let transitions = before.spec.and_then(|spec| spec.lease_transitions);
    let mark = Mark {
        holder: identity.to_owned(),
        acquired: micro(now),
        transitions: transitions.map_or(0, |it| it.max(0).saturating_add(1)),
    };
    (renewed(before.metadata, &mark, timings, now), mark)
}

/// The Lease of this term, renewed.
pub(super) fn renewed(
    metadata: ObjectMeta,
    mark: &Mark,
    timings: &Timings,
    now: Timestamp,
) -> Lease {
    let spec = LeaseSpec {
        holder_identity: Some(mark.holder.clone()),
        lease_duration_seconds: Some(seconds(timings.lease_duration)),
        acquire_time: Some(mark.acquired.clone()),
        renew_time: Some(micro(now)),
        lease_transitions: Some(mark.transitions),
        ..LeaseSpec::default()
    };
    Lease {
        metadata,
        spec: Some(spec),
    }
}

/// The Lease of this term, released.
pub(super) fn released(metadata: ObjectMeta, mark: &Mark, now: Timestamp) -> Lease {
    let spec = LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(RELEASED_SECONDS),
        acquire_time: Some(micro(now)),
        renew_time: Some(micro(now)),
        lease_transitions: Some(mark.transitions),
        ..LeaseSpec::default()
    };
    Lease {
        metadata,
        spec: Some(spec),
    }
}

/// Whether this is how a holder leaves it that has ended in order. Any other Lease without a holder was emptied by hand, or
/// made after it was deleted by hand, and who held it may not know that yet.
pub(super) fn is_released(spec: &LeaseSpec) -> bool {
    !has_holder(spec) && spec.lease_duration_seconds == Some(RELEASED_SECONDS)
}

/// Whether anybody stands in it as its holder.
pub(super) fn has_holder(spec: &LeaseSpec) -> bool {
    let holder = spec.holder_identity.as_ref();
    holder.is_some_and(|it| !it.is_empty())
}

/// Whether it is held in this term.
pub(super) fn is_of(spec: &LeaseSpec, mark: &Mark) -> bool {
    spec.holder_identity.as_ref() == Some(&mark.holder)
        && spec.acquire_time.as_ref() == Some(&mark.acquired)
        && spec.lease_transitions == Some(mark.transitions)
}

/// How long a Lease lasts that says this. At least as long as one of this process: a shorter duration may have been written
/// by hand, under a holder that goes by its own. And no longer than any operator can ask for.
pub(super) fn lasts(spec: Option<&LeaseSpec>, timings: &Timings) -> Duration {
    let says = spec.and_then(|spec| spec.lease_duration_seconds);
    let says = says.and_then(|it| u64::try_from(it).ok());
    let says = Duration::from_secs(says.unwrap_or_default()).min(LONGEST_LEASE);
    says.max(timings.lease_duration)
}

/// Whole seconds, rounded up: the Lease has no others.
fn seconds(duration: Duration) -> i32 {
    let up = u64::from(duration.subsec_nanos() > 0);
    i32::try_from(duration.as_secs().saturating_add(up)).unwrap_or(i32::MAX)
}

/// As precise as the API server keeps it.
fn micro(time: Timestamp) -> MicroTime {
    MicroTime(Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(holder: Option<&str>, seconds: Option<i32>, transitions: Option<i32>) -> LeaseSpec {
        LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: seconds,
            lease_transitions: transitions,
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn only_what_a_holder_leaves_that_ends_in_order_is_released() {
        for (holder, seconds, expected) in [
            (Some(""), Some(1), true),
            (None, Some(1), true),
            (Some(""), Some(15), false),
            (Some(""), None, false),
            (None, None, false),
            (Some("somebody"), Some(1), false),
        ] {
            let spec = with(holder, seconds, None);
            assert_eq!(is_released(&spec), expected, "{spec:?}");
        }
    }

    #[test]
    fn a_lease_lasts_as_long_as_it_can_and_no_longer() {
        let timings = Timings::default();
        for (says, expected) in [
            (None, 15),
            (Some(-5), 15),
            (Some(0), 15),
            (Some(1), 15),
            (Some(60), 60),
            (Some(i32::MAX), 120),
        ] {
            let spec = with(Some("somebody"), says, None);
            assert_eq!(lasts(Some(&spec), &timings).as_secs(), expected, "{says:?}");
        }
        assert_eq!(lasts(None, &timings).as_secs(), 15);
    }

    #[test]
    fn terms_are_counted_whatever_stood_there() {
        for (transitions, expected) in [
            (None, 0),
            (Some(0), 1),
            (Some(-7), 1),
            (Some(i32::MAX), i32::MAX),
        ] {
            let before = Lease {
                spec: Some(with(None, None, transitions)),
                ..Lease::default()
            };
            let timings = Timings::default();
            let (lease, mark) = taken(before, "me", &timings, Timestamp::UNIX_EPOCH);
            let spec = lease.spec.unwrap();
            assert_eq!(spec.lease_transitions, Some(expected));
            assert!(is_of(&spec, &mark));
            let forged = LeaseSpec {
                acquire_time: None,
                ..spec
            };
            assert!(!is_of(&forged, &mark), "a name alone proves nothing");
        }
    }
}
