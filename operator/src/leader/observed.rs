//! What this process has seen of the Lease, and since when. Pure: the time comes in.
//!
//! Whether a Lease is over is never judged by the times that stand in it, which other clocks have written.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};

use super::record::{is_released, lasts};
use super::timings::Timings;

/// One version of the Lease. A change of its metadata counts as one, too: what somebody writes by hand may look the same
/// again, and another may have held it in between.
#[derive(Debug, Clone, PartialEq)]
struct Version {
    uid: Option<String>,
    resource_version: Option<String>,
    spec: Option<LeaseSpec>,
}

/// The Lease as this process knows it.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// None: nothing was seen yet. The version is None where there is no Lease.
    last: Option<(Option<Version>, Duration)>,
}

impl Observed {
    /// Takes note of the Lease as it was read at this time on the boot clock. Whether it is another than before.
    pub(super) fn see(&mut self, lease: Option<&Lease>, at: Duration) -> bool {
        let version = lease.map(|lease| Version {
            uid: lease.metadata.uid.clone(),
            resource_version: lease.metadata.resource_version.clone(),
            spec: lease.spec.clone(),
        });
        let is_news = self.last.as_ref().is_none_or(|(last, _)| *last != version);
        if is_news {
            self.last = Some((version, at));
        }
        is_news
    }

    /// Who holds it, for people.
    pub(super) fn holder(&self) -> Option<&str> {
        let holder = self.spec()?.holder_identity.as_deref()?;
        (!holder.is_empty()).then_some(holder)
    }

    /// In how long it may be taken; zero means now, None that there is none.
    ///
    /// At once where its holder has released it. Otherwise once it has stood unchanged for as long as it lasts. That counts
    /// also where no holder stands in it: somebody may have emptied it by hand, and who held it does not know that yet. And it
    /// counts where this process itself stands there: whose writes of the Lease land late would put off all others for ever, if
    /// it tried again at once.
    pub(super) fn free_in(&self, timings: &Timings, now: Duration) -> Option<Duration> {
        let (version, since) = self.last.as_ref()?;
        let spec = version.as_ref()?.spec.as_ref();
        if spec.is_some_and(is_released) {
            return Some(Duration::ZERO);
        }
        let free = since.saturating_add(lasts(spec, timings));
        Some(free.saturating_sub(now))
    }

    /// Whether nobody can have the claim any more: it was given back, or has stood as it is, or been missing, for as long as it lasts.
    pub(super) fn is_over(&self, timings: &Timings, now: Duration) -> bool {
        let Some((version, since)) = &self.last else {
            return false;
        };
        match version {
            Some(_) => self.free_in(timings, now).is_some_and(|it| it.is_zero()),
            None => now.saturating_sub(*since) >= timings.lease_duration,
        }
    }

    fn spec(&self) -> Option<&LeaseSpec> {
        let (version, _) = self.last.as_ref()?;
        version.as_ref()?.spec.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::super::record::{released, taken};
    use super::*;

    const TIMINGS: Timings = Timings {
        lease_duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_is_over_when_it_has_stood_unchanged_here_whatever_its_times_say() {
        for written in [0, 4_000_000_000] {
            let written = Timestamp::from_second(written).unwrap();
            let (lease, _) = taken(Lease::default(), "other", &TIMINGS, written);
            let mut observed = Observed::default();
            assert_eq!(observed.free_in(&TIMINGS, at(0)), None);
            assert!(observed.see(Some(&lease), at(100)));
            assert_eq!(observed.holder(), Some("other"));
            assert!(!observed.see(Some(&lease), at(110)), "it is the same");
            assert_eq!(observed.free_in(&TIMINGS, at(110)), Some(at(5)));
            assert_eq!(observed.free_in(&TIMINGS, at(115)), Some(at(0)));
        }
    }

    #[test]
    fn one_that_was_emptied_by_hand_counts_as_held() {
        let (held, _) = taken(Lease::default(), "other", &TIMINGS, Timestamp::UNIX_EPOCH);
        let mut emptied = held.clone();
        emptied.spec.as_mut().unwrap().holder_identity = Some(String::new());
        let mut without_spec = held.clone();
        without_spec.spec = None;
        for after in [&emptied, &without_spec] {
            let mut observed = Observed::default();
            observed.see(Some(&held), at(0));
            observed.see(Some(after), at(14));
            assert_eq!(observed.free_in(&TIMINGS, at(15)), Some(at(14)));
            assert_eq!(observed.holder(), None);
            observed.see(None, at(15));
            assert_eq!(observed.free_in(&TIMINGS, at(100)), None);
        }
    }

    #[test]
    fn only_one_that_was_released_is_free_at_once() {
        let (held, mark) = taken(Lease::default(), "me", &TIMINGS, Timestamp::UNIX_EPOCH);
        let released = released(held.metadata.clone(), &mark, Timestamp::UNIX_EPOCH);
        for (lease, expected) in [(&released, at(0)), (&held, at(15))] {
            let mut observed = Observed::default();
            observed.see(Some(lease), at(7));
            assert_eq!(observed.free_in(&TIMINGS, at(7)), Some(expected));
        }
    }

    #[test]
    fn a_lease_that_is_missing_is_over_once_it_has_been_so_for_a_lease() {
        let mut observed = Observed::default();
        assert!(!observed.is_over(&TIMINGS, at(100)), "nothing was seen");
        let (held, mark) = taken(Lease::default(), "other", &TIMINGS, Timestamp::UNIX_EPOCH);
        observed.see(Some(&held), at(0));
        observed.see(None, at(14));
        for (now, is_over) in [(at(14), false), (at(28), false), (at(29), true)] {
            assert_eq!(observed.is_over(&TIMINGS, now), is_over, "{now:?}");
        }
        observed.see(Some(&held), at(29));
        assert!(!observed.is_over(&TIMINGS, at(30)), "it was made anew");
        let released = released(held.metadata, &mark, Timestamp::UNIX_EPOCH);
        observed.see(Some(&released), at(31));
        assert!(observed.is_over(&TIMINGS, at(31)));
    }
}
