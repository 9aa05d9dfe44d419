//! When each request may go. Pure: the time comes in.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::limit::Limit;
use super::repeats::Repeats;
use super::state::PacingState;
use super::times::{after_one, for_all, kept_since};
use super::waits::Waits;
use crate::azure::{AzureError, AzureErrorKind};
use crate::ledger::fair_queue::{Asker, FairQueue};
use crate::ledger::target::{Operation, Scope, Target};
use crate::runtime::deliberate::Bug;

/// If two identities of a subscription are throttled within this time, the subscription itself is throttled.
const SAME_CAUSE: Duration = Duration::from_secs(10);

/// How long a throttled scope waits where Azure does not say.
const UNTOLD_WAIT: Duration = Duration::from_secs(5);

/// Azure's code for a subscription that is throttled as a whole.
/// Source: <https://github.com/MicrosoftDocs/azure-docs/issues/105248>
const SUBSCRIPTION_THROTTLED: &str = "SubscriptionRequestsThrottled";

/// The schedule of all requests.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Pacing {
    /// Only scopes that were throttled.
    limits: HashMap<(Scope, Operation), Limit>,
    /// How long Azure has told a scope to wait.
    waits: Waits,
    /// The last identity and subscription that were charged, by kind of request.
    charged: HashMap<Operation, Charged>,
    /// Who waits for a time, by subscription.
    lines: HashMap<(String, Operation), FairQueue>,
    /// When what is known to fail is tried again, by subscription, reads and writes.
    repeats: Repeats,
}

#[derive(Debug, Clone)]
struct Charged {
    target: String,
    shared: Scope,
    at: Instant,
}

impl Pacing {
    /// Lets a repeat of a known failure go as far as the other repeats of its subscription are concerned, or says when to
    /// ask again. It still has to be admitted.
    pub(in crate::ledger) fn admit_repeat(
        &mut self,
        target: &Target,
        operation: Operation,
        asker: Asker,
        now: Instant,
    ) -> Result<(), Instant> {
        let request = (target.key().to_owned(), operation);
        let line = self.lines.get(&(target.group().to_owned(), operation));
        let was_let_through = line.is_some_and(|line| line.not_before(&request).is_some());
        let is_free = was_let_through || Bug::RepeatsUnpaced.is_on();
        if is_free || self.waits.until(target, operation, now).is_some() {
            return Ok(());
        }
        self.repeats.admit(target, operation, asker, now)
    }

    /// Lets a request go now, or says when to ask again: it keeps its place until then. That can be put off once more for
    /// others that come first.
    pub(in crate::ledger) fn admit(
        &mut self,
        target: &Target,
        operation: Operation,
        asker: Asker,
        now: Instant,
    ) -> Result<(), Instant> {
        self.may_go(target, operation, asker, now)?;
        self.goes(target, operation, now);
        Ok(())
    }

    /// Lets several requests go now, or none of them and says when: one that could have gone keeps its place until then.
    pub(in crate::ledger) fn admit_together(
        &mut self,
        target: &Target,
        requests: &[(Operation, Asker)],
        now: Instant,
    ) -> Result<(), Instant> {
        let mut until = None;
        for (operation, asker) in requests {
            let may_go = self.may_go(target, *operation, *asker, now);
            until = until.max(may_go.err());
        }
        let key = target.group().to_owned();
        for (operation, _) in requests {
            let Some(until) = until else {
                self.goes(target, *operation, now);
                continue;
            };
            if let Some(line) = self.lines.get_mut(&(key.clone(), *operation)) {
                line.told(&(target.key().to_owned(), *operation), until);
            }
        }
        until.map_or(Ok(()), Err)
    }

    /// Whether a request may go now; if not, when, and it has its place.
    fn may_go(
        &mut self,
        target: &Target,
        operation: Operation,
        asker: Asker,
        now: Instant,
    ) -> Result<(), Instant> {
        if let Some(earliest) = self.waits.until(target, operation, now) {
            return Err(earliest);
        }
        self.relax(target, operation, now);
        let request = (target.key().to_owned(), operation);
        let key = (target.group().to_owned(), operation);
        if !self.is_limited(target, operation) {
            return Ok(());
        }
        let line = self.lines.entry(key.clone()).or_default();
        line.forget_before(kept_since(now));
        let kept = line.not_before(&request);
        let not_before = kept.unwrap_or_else(|| self.reserve(target, operation, now));
        let line = self.lines.entry(key.clone()).or_default();
        let order = line.join(&request, asker, not_before);
        let in_subscription = line.ahead_of(order);
        let in_tenant = self
            .lines
            .iter()
            .filter(|((_, of), _)| *of == operation)
            .map(|(_, line)| line.ahead_of(order))
            .sum();
        let mut at = not_before;
        for (scope, ahead) in [
            (target.shared(), in_subscription),
            (Scope::Tenant, in_tenant),
        ] {
            let published = scope.published(operation);
            let is_idle = ahead == 0 && self.is_alone(&scope, &key);
            if let Some(limit) = self.limits.get_mut(&(scope, operation)) {
                if is_idle {
                    limit.next = limit.next.max(now);
                }
                at = at.max(limit.next + for_all(ahead, limit.interval(published)));
            }
        }
        if at > now {
            if let Some(line) = self.lines.get_mut(&key) {
                line.told(&request, at);
            }
            return Err(at);
        }
        Ok(())
    }

    /// Takes its place in the schedules for a request that goes now.
    fn goes(&mut self, target: &Target, operation: Operation, now: Instant) {
        for scope in [target.shared(), Scope::Tenant] {
            let published = scope.published(operation);
            if let Some(limit) = self.limits.get_mut(&(scope, operation)) {
                limit.next = after_one(limit.next, limit.interval(published), now);
            }
        }
        let key = (target.group().to_owned(), operation);
        if let Some(line) = self.lines.get_mut(&key) {
            line.goes(&(target.key().to_owned(), operation));
            if line.is_empty() {
                self.lines.remove(&key);
            }
        }
    }

    /// Whether nobody but the one that has just joined this line waits in this scope.
    fn is_alone(&self, scope: &Scope, key: &(String, Operation)) -> bool {
        let others = self.lines.iter().filter(|((subscription, of), _)| {
            *of == key.1 && (*scope == Scope::Tenant || *subscription == key.0)
        });
        others.map(|(_, line)| line.len()).sum::<usize>() <= 1
    }

    fn is_limited(&self, target: &Target, operation: Operation) -> bool {
        let mut scopes = target.scopes().into_iter();
        scopes.any(|scope| self.limits.contains_key(&(scope, operation)))
    }

    /// Doubles the rates that were kept for long enough; a limit that is none any more is forgotten.
    fn relax(&mut self, target: &Target, operation: Operation, now: Instant) {
        for scope in target.scopes() {
            let key = (scope, operation);
            let limit = self.limits.get_mut(&key);
            if limit.is_some_and(|limit| !limit.relax(now)) {
                self.limits.remove(&key);
            }
        }
    }

    /// Takes the next place in the schedule of the identity itself.
    fn reserve(&mut self, target: &Target, operation: Operation, now: Instant) -> Instant {
        let scope = target.own();
        let published = scope.published(operation);
        let Some(limit) = self.limits.get_mut(&(scope, operation)) else {
            return now;
        };
        let at = limit.next.max(now);
        limit.next = at + limit.interval(published);
        at
    }

    /// Lets a request that was admitted go now, unless Azure has said since when the next may. After a pause that was not
    /// believed to its end it may be the one that asks.
    pub(in crate::ledger) fn depart(
        &mut self,
        target: &Target,
        operation: Operation,
        now: Instant,
    ) -> Result<(), Instant> {
        if let Some(until) = self.waits.until(target, operation, now)
            && !Bug::AdmittedForGood.is_on()
        {
            // Azure said so while this one waited for others to come back.
            return Err(until);
        }
        self.sent(target, operation, now);
        self.waits.departs(target, operation, now);
        Ok(())
    }

    /// Notes that a request was answered as it was meant: whoever waited for that may go.
    pub(in crate::ledger) fn succeeded(
        &mut self,
        target: &Target,
        operation: Operation,
        now: Instant,
    ) {
        // Azure has counted it by now: on its way it may have taken longer than the next one will.
        self.sent(target, operation, now);
        self.waits.asked(target, operation, |_| false);
    }

    /// Notes that a request goes now, or was answered: what its identity may send next counts from here, however long ago
    /// it was admitted.
    fn sent(&mut self, target: &Target, operation: Operation, now: Instant) {
        let scope = (target.own(), operation);
        if let Some(limit) = self.limits.get_mut(&scope) {
            limit.earliest = now + limit.interval(scope.0.published(operation));
            limit.next = limit.next.max(limit.earliest);
        }
    }

    /// Until when a 429 or another `Retry-After` forbids such a request, whatever was admitted before.
    pub(in crate::ledger) fn told_to_wait(
        &self,
        target: &Target,
        operation: Operation,
        now: Instant,
    ) -> Option<Instant> {
        self.waits.until(target, operation, now)
    }

    /// When the identity may send its next request, counted from the last one that it sent.
    pub(in crate::ledger) fn earliest(
        &self,
        target: &Target,
        operation: Operation,
    ) -> Option<Instant> {
        let scope = (target.own(), operation);
        self.limits.get(&scope).map(|limit| limit.earliest)
    }

    /// Learns from a failed request.
    pub(in crate::ledger) fn failed(
        &mut self,
        target: &Target,
        operation: Operation,
        error: &AzureError,
        now: Instant,
    ) {
        if Bug::RetryAfterIgnored.is_on() {
            return;
        }
        let throttled = matches!(error.kind(), AzureErrorKind::Throttled);
        // Without an answer the next one asks. Any other refusal means that Azure answers again.
        let unanswered = error.kind() == AzureErrorKind::Unavailable;
        self.waits.asked(target, operation, |wait| {
            wait.end(now);
            unanswered
        });
        let doubted = error.asks_for_too_long();
        let wait = match error.retry_after() {
            Some(wait) => wait,
            None if throttled => UNTOLD_WAIT,
            None => return,
        };
        let own = target.own();
        self.waits
            .tell(own.clone(), operation, now + wait, doubted, now);
        if !throttled {
            return;
        }
        let shared = target.shared();
        let whole_subscription = error.code() == Some(SUBSCRIPTION_THROTTLED);
        let before = self.charged.insert(
            operation,
            Charged {
                target: target.key().to_owned(),
                shared: shared.clone(),
                at: now,
            },
        );
        let before = before.filter(|before| now.duration_since(before.at) < SAME_CAUSE);
        self.limit(own, operation, now, wait);
        if whole_subscription {
            self.waits
                .tell(shared.clone(), operation, now + wait, doubted, now);
        }
        match before {
            Some(before) if before.shared != shared => {
                self.limit(shared, operation, now, Duration::ZERO);
                self.limit(Scope::Tenant, operation, now, Duration::ZERO);
            }
            Some(before) if before.target != target.key() => {
                self.limit(shared, operation, now, Duration::ZERO);
            }
            _ if whole_subscription => self.limit(shared, operation, now, wait),
            _ => {}
        }
    }

    /// Forgets what is over: waits, times that were not used, and limits that have grown to none.
    pub(in crate::ledger) fn prune(&mut self, now: Instant) {
        self.waits.prune(now);
        self.limits.retain(|_, limit| limit.relax(now));
        self.lines.retain(|_, line| {
            line.forget_before(kept_since(now));
            !line.is_empty()
        });
        self.repeats.prune(now);
        self.charged
            .retain(|_, charged| now.duration_since(charged.at) < SAME_CAUSE);
    }

    /// What is held back now, for the metrics.
    pub(in crate::ledger) fn state(&self, now: Instant) -> PacingState {
        let mut state = PacingState::default();
        for (scope, operation, left) in self.waits.open(now) {
            state.of(scope, operation).paused += 1;
            state.longest_pause = state.longest_pause.max(left);
        }
        for (scope, operation) in self.limits.keys() {
            state.of(scope, *operation).limited += 1;
        }
        state.waiting = self.lines.values().map(FairQueue::len).sum();
        state
    }

    /// How much it remembers.
    #[cfg(test)]
    pub(in crate::ledger) fn remembered(&self) -> usize {
        [
            self.waits.len(),
            self.limits.len(),
            self.lines.len(),
            self.repeats.len(),
            self.charged.len(),
        ]
        .iter()
        .sum()
    }

    /// Drops a scope to its published budget, from the end of the wait on.
    fn limit(&mut self, scope: Scope, operation: Operation, now: Instant, wait: Duration) {
        let limit = self.limits.entry((scope, operation));
        let limit = limit.or_insert_with(|| Limit::published(now));
        limit.throttled(now, wait);
    }
}

#[cfg(test)]
mod tests;
