//! One kind of read of an identity, shared by all who ask for it.
//!
//! No pass waits for the request of another, which would hold up other bindings, also those of healthy identities:
//! a binding that finds a request under way is woken when that ends, and shares its answer.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::fair_queue::Look;
use super::freshness::{BETWEEN_REQUESTED, Freshness};
use super::not_now::NotNow;
use super::who::BindingRef;
use crate::azure::{AzureError, AzureErrorKind};
use crate::kubeutil::backoff::wait_for_arrival;
use crate::runtime::lock::lock;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    Azure {
        source: AzureError,
        /// When it is asked for again, where something has to change first.
        again: Option<Instant>,
    },
    NotNow(NotNow),
}

/// The last answer, and who waits for the request that is under way.
#[derive(Debug)]
pub(super) struct SharedRead<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    last: Option<Read<T>>,
    /// The last answer that was not a failure, where `last` is one or is forgotten.
    before: Option<T>,
    /// Who waits for the request that is under way, if one is.
    waiting: Option<BTreeSet<BindingRef>>,
    /// Since when every answer was the same kind of failure, and who has to know when it is over.
    failing: Option<Failing>,
    /// When the last read began that was made because somebody asked for it.
    requested: Option<Instant>,
}

#[derive(Debug)]
struct Failing {
    kind: AzureErrorKind,
    since: Instant,
    told: BTreeSet<BindingRef>,
}

#[derive(Debug)]
struct Read<T> {
    asked: Instant,
    answered: Instant,
    answer: Result<T, AzureError>,
    /// Until when a failure is everybody's answer: one read for each identity, however many bindings want it.
    again: Instant,
    /// Who waited for it and has not seen it yet.
    shared_with: BTreeSet<BindingRef>,
}

/// What is to be done for an answer.
pub(super) enum Lookup<'a, T> {
    /// What was answered, and when that was asked for.
    Answer(Result<T, AzureError>, Instant),
    /// Somebody is asking already.
    UnderWay,
    /// The same was asked for a moment ago because somebody wanted that: not again before this.
    PutOff(Instant),
    /// The caller is to ask, and to say what came.
    Ask(Asking<'a, T>),
}

/// A request that is under way. Dropping it without an answer leaves nothing behind that could be taken for one.
pub(super) struct Asking<'a, T> {
    read: &'a SharedRead<T>,
    who: BindingRef,
    asked: Instant,
    answered: bool,
    /// It is made because somebody asked for it.
    requested: bool,
    /// The last answer was a failure for which something has to change first.
    failed: bool,
}

impl<T> Default for SharedRead<T> {
    fn default() -> Self {
        Self(Mutex::new(State {
            last: None,
            before: None,
            waiting: None,
            failing: None,
            requested: None,
        }))
    }
}

impl<T> State<T> {
    /// Keeps an answer that is not the last any more, if it was not a failure.
    fn keep(&mut self, read: Option<Read<T>>) {
        if let Some(Ok(answer)) = read.map(|read| read.answer) {
            self.before = Some(answer);
        }
    }
}

impl<T> SharedRead<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.0)
    }
}

impl<T: Clone> SharedRead<T> {
    /// The last answer where it is fresh enough for `who`.
    pub(super) fn look(&self, who: &BindingRef, freshness: Freshness) -> Lookup<'_, T> {
        let mut state = self.state();
        let State {
            last,
            waiting,
            failing,
            requested,
            ..
        } = &mut *state;
        let serves = last
            .as_mut()
            .is_some_and(|read| read.serves(who, freshness));
        if let Some(read) = last
            && serves
            && read.answers_request(freshness, *requested)
        {
            if let (Err(_), Some(failing)) = (&read.answer, failing) {
                failing.told.insert(who.clone());
            }
            return Lookup::Answer(read.answer.clone(), read.asked);
        }
        if let Some(waiting) = waiting {
            waiting.insert(who.clone());
            return Lookup::UnderWay;
        }
        // Without the request it would not be asked for now.
        let is_requested = serves
            || last.as_ref().is_some_and(|read| {
                read.answer.is_err() && !freshness.answers_request(read.answered)
            });
        if let Some(until) = next_requested(*requested).filter(|_| is_requested) {
            return Lookup::PutOff(until);
        }
        *waiting = Some(BTreeSet::new());
        Lookup::Ask(Asking {
            read: self,
            who: who.clone(),
            asked: Instant::now(),
            answered: false,
            requested: is_requested,
            failed: last.as_ref().is_some_and(Read::waits_for_change),
        })
    }

    /// When it is asked for again, where it failed for something that has to change first.
    pub(super) fn again(&self) -> Option<Instant> {
        let state = self.state();
        let last = state.last.as_ref().filter(|read| read.waits_for_change());
        last.map(|read| read.again)
    }

    /// The last answer that was not a failure, however old.
    pub(super) fn last(&self) -> Option<T> {
        let state = self.state();
        let last = state.last.as_ref().map(|read| read.answer.as_ref());
        match last {
            Some(Ok(answer)) => Some(answer.clone()),
            _ => state.before.clone(),
        }
    }

    /// Looks at the last answer, if it was not a failure.
    pub(super) fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.peek_within(Duration::MAX, look)
    }

    /// Looks at the last answer, if it was not a failure and was asked for within this time.
    pub(super) fn peek_within<R>(
        &self,
        max_age: Duration,
        look: impl FnOnce(&T) -> R,
    ) -> Option<R> {
        let state = self.state();
        let last = state.last.as_ref();
        let answer = last.filter(|it| it.asked.elapsed() < max_age)?;
        answer.answer.as_ref().ok().map(look)
    }

    /// Forgets the last answer.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        let last = state.last.take();
        state.keep(last);
    }

    /// Changes the last answer, where it was asked for before this moment, by what is known to have happened.
    pub(super) fn amend(&self, asked_before: Instant, change: impl FnOnce(&mut T)) {
        if let Some(Read {
            answer: Ok(answer),
            asked,
            ..
        }) = &mut self.state().last
            && *asked < asked_before
        {
            change(answer);
        }
    }
}

/// When a read that somebody asks for may be made, if not now.
fn next_requested(last: Option<Instant>) -> Option<Instant> {
    let next = last? + BETWEEN_REQUESTED;
    (next > Instant::now()).then_some(next)
}

impl<T> Read<T> {
    /// Whether it serves `who`, apart from what somebody has asked for. A failure serves who waited for it, and for a while
    /// everybody. A success serves who waited for it also where that one comes late: otherwise many bindings of one identity
    /// would each ask anew and find each other asking, for ever.
    fn serves(&mut self, who: &BindingRef, freshness: Freshness) -> bool {
        let waited = self.shared_with.remove(who);
        let age = self.answered.elapsed();
        match &self.answer {
            Ok(_) => {
                freshness.allows(self.asked) || waited && freshness.allows_to_who_waited(self.asked)
            }
            Err(error) if error.retry_after().is_some_and(|delay| age < delay) => true,
            Err(_) => {
                waited || (Instant::now() < self.again && freshness.allows_failure(self.answered))
            }
        }
    }

    /// Whether it is new enough for what somebody has asked for, `last` being when that was last done.
    fn answers_request(&self, freshness: Freshness, last: Option<Instant>) -> bool {
        let recent_will_do = freshness.requested.is_some_and(|it| it.recent_will_do);
        match &self.answer {
            Ok(_) => {
                freshness.answers_request(self.asked)
                    || recent_will_do
                        && self.asked.elapsed() < BETWEEN_REQUESTED
                        && next_requested(last).is_some()
            }
            // That time is Azure's.
            Err(error) if error.retry_after().is_some() => true,
            Err(_) => freshness.answers_request(self.answered),
        }
    }

    fn waits_for_change(&self) -> bool {
        matches!(&self.answer, Err(error) if is_repeated(error))
    }
}

/// Whether another try is a repeat of a known failure. Where the sign-in fails nothing is asked of the identity.
fn is_repeated(error: &AzureError) -> bool {
    error.kind().waits_for_change() && error.kind() != AzureErrorKind::SignInFailed
}

impl<T: Clone> Asking<'_, T> {
    /// When the request began.
    pub(super) fn asked(&self) -> Instant {
        self.asked
    }

    /// What kind of request it is.
    pub(super) fn look(&self, freshness: Freshness) -> Look {
        if (self.failed || freshness.failed) && !freshness.newcomer {
            Look::Repeat
        } else {
            Look::First
        }
    }

    /// Ends it without a request. What is known to fail stays the answer until then, unless somebody asked for a new one.
    pub(super) fn put_off(self, freshness: Freshness, not_now: NotNow) -> ReadError {
        let until = match not_now {
            NotNow::Paced { until } | NotNow::PutOff { until } => until,
            NotNow::UnderWay | NotNow::Unsettled { .. } => return ReadError::NotNow(not_now),
        };
        if self.look(freshness) == Look::First {
            return ReadError::NotNow(not_now);
        }
        let mut state = self.read.state();
        if freshness.requested.is_none()
            && let Some(Read {
                answer: Err(source),
                again,
                ..
            }) = &mut state.last
        {
            *again = until.max(*again);
            return ReadError::Azure {
                source: source.clone(),
                again: Some(until),
            };
        }
        ReadError::NotNow(NotNow::PutOff { until })
    }

    /// Notes the answer. Whom it concerns besides who asked is returned, to be woken.
    pub(super) fn answer(mut self, answer: &Result<T, AzureError>) -> BTreeSet<BindingRef> {
        self.answered = true;
        let answered = Instant::now();
        let mut state = self.read.state();
        let mut concerned = state.waiting.take().unwrap_or_default();
        let shared_with = concerned.clone();
        let mut again = answered;
        match answer {
            Ok(_) => concerned.extend(state.failing.take().into_iter().flat_map(|it| it.told)),
            Err(error) => {
                let kind = error.kind();
                let mut failing = state.failing.take().unwrap_or(Failing {
                    kind,
                    since: answered,
                    told: BTreeSet::new(),
                });
                if failing.kind != kind {
                    (failing.kind, failing.since) = (kind, answered);
                }
                failing.told.insert(self.who.clone());
                if kind.waits_for_change() {
                    again += wait_for_arrival(answered.duration_since(failing.since));
                }
                state.failing = Some(failing);
            }
        }
        if self.requested {
            state.requested = Some(self.asked);
        }
        let last = state.last.replace(Read {
            asked: self.asked,
            answered,
            answer: answer.clone(),
            again,
            shared_with,
        });
        state.keep(last);
        if answer.is_ok() {
            state.before = None;
        }
        concerned.remove(&self.who);
        concerned
    }
}

impl<T> Drop for Asking<'_, T> {
    fn drop(&mut self) {
        if !self.answered {
            // Who waited comes back by itself.
            self.read.state().waiting = None;
        }
    }
}

#[cfg(test)]
mod tests;
