//! Waits for the Lease, and takes it.

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use kube_runtime::watcher::{self, Event, watcher};
use kube_runtime::{WatchStreamExt, reflector::Lookup as _};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::calls::{CallError, Calls};
use super::claim::Claim;
use super::observed::Observed;
use super::obstacle::Told;
use super::place::Place;
use super::record::{taken, vacant};
use super::term::Term;
use super::timings::Timings;
use crate::kubeutil::pauses::Pauses;
use crate::runtime::clocks::Clocks;
use crate::runtime::jitter;

/// One of those who want the Lease.
pub struct Elector {
    calls: Calls,
    watching: Api<Lease>,
    identity: String,
    timings: Timings,
    clocks: Clocks,
    observed: Observed,
    /// When it is tried next.
    next: Instant,
    /// Who held the Lease when that was told last.
    told_of: Option<Option<String>>,
    failed: Told,
}

impl Elector {
    /// One that calls and watches with these clients. No two processes may have the same identity.
    pub fn new(
        (calling, watching): (Client, Client),
        place: &Place,
        identity: String,
        timings: Timings,
        clocks: Clocks,
    ) -> Self {
        Self {
            calls: Calls::new(calling, place, &timings),
            watching: Api::namespaced(watching, &place.namespace),
            identity,
            timings,
            clocks,
            observed: Observed::default(),
            next: Instant::now(),
            told_of: None,
            failed: Told::default(),
        }
    }

    /// Waits until this process leads. None: it was told to stop, and holds nothing. The term before has to be over.
    ///
    /// A try that was begun is brought to its end before: its answer says whether there is something to release.
    pub async fn term(&mut self, stop: &CancellationToken) -> Option<Term> {
        let mut changes = pin!(changes(self.watching.clone(), self.calls.name()));
        // What was seen before the last term says nothing about what has happened in it.
        self.observed = Observed::default();
        self.told_of = None;
        self.next = Instant::now();
        loop {
            let due = sleep_until(self.next);
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                Some(lease) = changes.next() => self.see(lease.as_ref()),
                () = due => {
                    let Some(term) = self.attempt().await else { continue };
                    if stop.is_cancelled() {
                        term.release().await;
                        return None;
                    }
                    return Some(term);
                }
            }
        }
    }

    /// Takes note of the Lease, and of when it may be taken. It is read again after a retry period at the latest: the watch may have
    /// fallen silent.
    fn see(&mut self, lease: Option<&Lease>) {
        if !self.note(lease) {
            return;
        }
        let free_in = self.free_in().unwrap_or_default();
        // One that was given back is taken at once. Of several who see one run out, the first takes it.
        let spread = if free_in.is_zero() {
            Duration::ZERO
        } else {
            self.timings.retry_period.mul_f64(jitter::factor(0.0..=1.0))
        };
        self.next = Instant::now() + (free_in + spread).min(self.timings.retry_period);
    }

    /// Takes note of the Lease. Whether it is another than before.
    fn note(&mut self, lease: Option<&Lease>) -> bool {
        let is_news = self.observed.see(lease, self.clocks.read().boot);
        if is_news {
            self.tell();
        }
        is_news
    }

    /// Tells whom this process waits for, once for each.
    fn tell(&mut self) {
        let free_in = self.free_in();
        let holder = self.observed.holder().map(str::to_owned);
        tracing::debug!(holder, "the lease has changed");
        if free_in.is_none_or(|it| it.is_zero()) || self.told_of.as_ref() == Some(&holder) {
            return;
        }
        match &holder {
            Some(holder) => tracing::info!(
                holder,
                ?free_in,
                "another process leads; this one waits until the lease is given back, or has stood unchanged for so long"
            ),
            None => tracing::info!(
                ?free_in,
                "nobody holds the lease; it is taken once it has stood so for so long, since somebody may still have the claim"
            ),
        }
        self.told_of = Some(holder);
    }

    fn free_in(&self) -> Option<Duration> {
        let now = self.clocks.read().boot;
        self.observed.free_in(&self.timings, now)
    }

    /// Takes the Lease if it may be taken. Otherwise settles when the next try is.
    async fn attempt(&mut self) -> Option<Term> {
        let factor = jitter::factor(0.5..=1.0);
        self.next = Instant::now() + self.timings.retry_period.mul_f64(factor);
        let lease = match self.calls.get().await {
            Ok(lease) => lease,
            Err(error) => {
                self.failed(&error, "cannot read the lease");
                return None;
            }
        };
        self.note(lease.as_ref());
        let Some(lease) = lease else {
            self.make().await;
            return None;
        };
        let free_in = self.free_in()?;
        if !free_in.is_zero() {
            self.next = self.next.min(Instant::now() + free_in);
            return None;
        }
        self.take(lease).await
    }

    /// Makes a Lease that nobody holds, where there is none. It may have been deleted by hand, and who held it does not know
    /// that yet: so it counts as held, and whoever still has the claim takes it back. Two Leases that are made one after the
    /// other cannot be mistaken for each other, as two looks at none could.
    async fn make(&mut self) {
        let now = self.clocks.read().wall;
        match self
            .calls
            .write(&vacant(self.calls.name(), &self.timings, now))
            .await
        {
            Ok(lease) => self.see(Some(&lease)),
            Err(error) => self.failed(&error, "cannot make the lease"),
        }
    }

    async fn take(&mut self, lease: Lease) -> Option<Term> {
        let before = self.clocks.read();
        let (lease, mark) = taken(lease, &self.identity, &self.timings, before.wall);
        match self.calls.write(&lease).await {
            Ok(lease) => {
                let deadline = self.timings.renew_deadline;
                let claim = Claim::since(before, self.clocks.clone(), deadline);
                let (calls, clocks) = (self.calls.clone(), self.clocks.clone());
                Some(Term::begin(calls, lease, mark, claim, self.timings, clocks))
            }
            Err(error) => {
                self.failed(&error, "cannot take the lease");
                None
            }
        }
    }

    /// Tells of a failure, and of the same one again only now and then: what a person has to mend may last.
    fn failed(&mut self, error: &CallError, what: &str) {
        let holder = self.observed.holder();
        if error.is_overtaken() {
            tracing::info!(holder, "somebody else was quicker");
            return;
        }
        if self.failed.is_due(&format!("{what}: {error}")) {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, holder, "{what}; it is tried again");
        }
    }
}

/// The Lease each time it changes; None where there is none.
fn changes(leases: Api<Lease>, name: &str) -> impl Stream<Item = Option<Lease>> + use<> {
    let name = name.to_owned();
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let events = watcher(leases, only).backoff(Pauses::default());
    let mut listed = None;
    events.flat_map(move |event| {
        // An API server that knows nothing of the field selector would tell of others.
        let of_it = |lease: Lease| (lease.name().as_deref() == Some(&*name)).then_some(lease);
        let change = match event {
            Ok(Event::Init) => {
                listed = None;
                None
            }
            Ok(Event::InitApply(lease)) => {
                listed = of_it(lease).or(listed.take());
                None
            }
            Ok(Event::InitDone) => Some(listed.take()),
            Ok(Event::Apply(lease)) => of_it(lease).map(Some),
            Ok(Event::Delete(lease)) => of_it(lease).map(|_| None),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "the watch of the lease was interrupted");
                None
            }
        };
        stream::iter(change)
    })
}
