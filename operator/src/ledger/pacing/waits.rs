//! Until when Azure wants to be left alone, by scope. Pure: the time comes in.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::ledger::target::{Operation, Scope, Target};
use crate::runtime::deliberate::Bug;

/// For so long nobody goes besides the one that asks whether a pause is over; then it is another's turn to ask.
pub(super) const ASKING: Duration = Duration::from_secs(30);

/// A pause that nobody has asked about for so long after its end is forgotten.
const DOUBT_KEPT: Duration = Duration::from_secs(3600);

/// How long Azure has told each scope to wait.
#[derive(Debug, Default)]
pub(super) struct Waits(HashMap<(Scope, Operation), Wait>);

#[derive(Debug, Clone)]
pub(super) struct Wait {
    until: Instant,
    /// Azure has asked for more than is believed: when it is over, one request goes to ask again.
    doubted: bool,
    /// Whose request is on its way to ask; the others wait for its answer.
    asking: Option<String>,
}

impl Wait {
    /// Lets others ask from now on.
    pub(super) fn end(&mut self, now: Instant) {
        (self.until, self.asking) = (now, None);
    }
}

impl Waits {
    /// Until when a 429 or another `Retry-After` forbids such a request, whatever was admitted before.
    pub(super) fn until(
        &self,
        target: &Target,
        operation: Operation,
        now: Instant,
    ) -> Option<Instant> {
        let waits = target
            .scopes()
            .into_iter()
            .filter_map(|scope| self.0.get(&(scope, operation)))
            .filter(|wait| wait.asking.as_deref() != Some(target.key()));
        let waits = waits.map(|wait| wait.until);
        waits.filter(|until| *until > now).max()
    }

    /// Notes that a request goes now. After a pause that was not believed to its end it is the one that asks.
    pub(super) fn departs(&mut self, target: &Target, operation: Operation, now: Instant) {
        for scope in target.scopes() {
            if let Some(wait) = self.0.get_mut(&(scope, operation))
                && wait.doubted
                && wait.until <= now
                && !Bug::ProbesTogether.is_on()
            {
                wait.until = now + ASKING;
                wait.asking = Some(target.key().to_owned());
            }
        }
    }

    /// What becomes of the waits that this identity was asking about: whether they stay.
    pub(super) fn asked(
        &mut self,
        target: &Target,
        operation: Operation,
        stays: impl Fn(&mut Wait) -> bool,
    ) {
        for scope in target.scopes() {
            let place = (scope, operation);
            if let Some(wait) = self.0.get_mut(&place)
                && wait.asking.as_deref() == Some(target.key())
                && !stays(wait)
            {
                self.0.remove(&place);
            }
        }
    }

    /// Notes how long Azure has told a scope to wait.
    pub(super) fn tell(
        &mut self,
        scope: Scope,
        operation: Operation,
        until: Instant,
        doubted: bool,
        now: Instant,
    ) {
        self.prune(now);
        let told = Wait {
            until,
            doubted,
            asking: None,
        };
        let known = self.0.entry((scope, operation)).or_insert(told.clone());
        if known.until <= until {
            *known = told;
        }
    }

    /// Forgets what is over.
    pub(super) fn prune(&mut self, now: Instant) {
        self.0
            .retain(|_, wait| wait.until > now || wait.doubted && now < wait.until + DOUBT_KEPT);
    }

    /// The scopes whose time is not over, and how long they still wait.
    pub(super) fn open(&self, now: Instant) -> impl Iterator<Item = (&Scope, Operation, Duration)> {
        let open = self.0.iter().filter(move |(_, wait)| wait.until > now);
        open.map(move |((scope, operation), wait)| {
            (scope, *operation, wait.until.duration_since(now))
        })
    }

    /// How much it remembers.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
