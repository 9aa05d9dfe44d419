//! How fast requests may go to Azure. Pure: the time comes in.
//!
//! Requests go as fast as Azure takes them, until it says 429. Then the scope that was charged drops to the budget that
//! Microsoft publishes for it, waits as long as it was told to, and tries twice the rate after each quiet time.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::fair_queue::{Asker, FairQueue};
use super::target::{Operation, Scope, Target};
use crate::azure::{AzureError, AzureErrorKind};
use crate::runtime::deliberate::Bug;

/// How long a rate is kept without a 429 before twice as much is tried.
const QUIET_TIME: Duration = Duration::from_secs(300);

/// If two identities of a subscription are throttled within this time, the subscription itself is throttled.
const SAME_CAUSE: Duration = Duration::from_secs(10);

/// How long a throttled scope waits where Azure does not say.
const UNTOLD_WAIT: Duration = Duration::from_secs(5);

/// At this many times the published rate the limit is dropped: what Azure accepts then needs no limit of ours.
const UNLIMITED_FROM: f64 = 64.0;

/// A place in the line that is not used for so long after its time is lost.
const PLACE_KEPT: Duration = Duration::from_secs(10);

/// A binding may come later than the time it was told. At most this much of the unused schedule is made up for.
const MADE_UP_FOR: Duration = Duration::from_secs(1);

/// Between two looks at what is known to fail in one subscription, whatever Azure would take: less than one a second, a
/// tenth of the published GETs and a fifth of the LISTs, so that they use up nobody's budget.
const BETWEEN_REPEATED_READS: Duration = Duration::from_millis(1100);

/// Between two tries of writes that Azure has refused, in one subscription: a quarter of the published rate.
const BETWEEN_REPEATED_WRITES: Duration = Duration::from_secs(2);

/// For so long nobody goes besides the one that asks whether a pause is over; then it is another's turn to ask.
const ASKING: Duration = Duration::from_secs(30);

/// A pause that nobody has asked about for so long after its end is forgotten.
const DOUBT_KEPT: Duration = Duration::from_secs(3600);

/// Azure's code for a subscription that is throttled as a whole.
/// Source: <https://github.com/MicrosoftDocs/azure-docs/issues/105248>
const SUBSCRIPTION_THROTTLED: &str = "SubscriptionRequestsThrottled";

/// The schedule of all requests.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    /// Only scopes that were throttled.
    limits: HashMap<(Scope, Operation), Limit>,
    /// How long Azure has told a scope to wait.
    waits: HashMap<(Scope, Operation), Wait>,
    /// The last identity and subscription that were charged, by kind of request.
    charged: HashMap<Operation, Charged>,
    /// Who waits for a time, by subscription.
    lines: HashMap<(String, Operation), FairQueue>,
    /// When what is known to fail is tried again, by subscription, reads and writes.
    repeats: HashMap<(String, bool), Repeats>,
}

/// The schedule of repeats in a subscription. It holds also where Azure has throttled nothing.
#[derive(Debug)]
struct Repeats {
    line: FairQueue,
    next: Instant,
}

#[derive(Debug, Clone)]
struct Wait {
    until: Instant,
    /// Azure has asked for more than is believed: when it is over, one request goes to ask again.
    doubted: bool,
    /// Whose request is on its way to ask; the others wait for its answer.
    asking: Option<String>,
}

#[derive(Debug, Clone)]
struct Charged {
    target: String,
    shared: Scope,
    at: Instant,
}

#[derive(Debug)]
struct Limit {
    /// Times the published rate.
    factor: f64,
    /// When the rate was last changed or confirmed by a 429.
    since: Instant,
    /// When the next request that is not promised a time may go.
    next: Instant,
    /// When the next request may go, counted from the one that was sent last.
    earliest: Instant,
}

impl Limit {
    fn interval(&self, published: f64) -> Duration {
        Duration::from_secs_f64(1.0 / (published * self.factor))
    }

    /// Doubles the rate where it was kept for long enough. Whether a limit is left.
    fn relax(&mut self, now: Instant) -> bool {
        while self.since + QUIET_TIME <= now {
            self.factor *= 2.0;
            self.since += QUIET_TIME;
        }
        self.factor < UNLIMITED_FROM
    }
}

impl Pacing {
    /// Lets a repeat of a known failure go as far as the other repeats of its subscription are concerned, or says when to
    /// ask again. It still has to be admitted.
    pub(super) fn admit_repeat(
        &mut self,
        target: &Target,
        operation: Operation,
        asker: Asker,
        now: Instant,
    ) -> Result<(), Instant> {
        let group = target.group().to_owned();
        let request = (target.key().to_owned(), operation);
        let line = self.lines.get(&(group.clone(), operation));
        let was_let_through = line.is_some_and(|line| line.not_before(&request).is_some());
        let is_free = was_let_through || Bug::RepeatsUnpaced.is_on();
        if is_free || self.told_to_wait(target, operation, now).is_some() {
            return Ok(());
        }
        let is_write = matches!(operation, Operation::Put | Operation::Delete);
        let key = (group, is_write);
        if !self.repeats.contains_key(&key) {
            self.repeats
                .retain(|_, it| !it.line.is_empty() || it.next > now);
        }
        let repeats = self.repeats.entry(key).or_insert_with(|| Repeats {
            line: FairQueue::default(),
            next: now,
        });
        let interval = if is_write {
            BETWEEN_REPEATED_WRITES
        } else {
            BETWEEN_REPEATED_READS
        };
        repeats.line.forget_before(back(now, PLACE_KEPT));
        if repeats.line.is_empty() {
            repeats.next = repeats.next.max(now);
        }
        let order = repeats.line.join(&request, asker, now);
        let at = repeats.next + interval * count(repeats.line.ahead_of(order));
        if at > now {
            repeats.line.told(&request, at);
            return Err(at);
        }
        repeats.line.goes(&request);
        repeats.next = repeats.next.max(back(now, MADE_UP_FOR)) + interval;
        Ok(())
    }

    /// Lets a request go now, or says when to ask again: it keeps its place until then. That can be put off once more for
    /// others that come first.
    pub(super) fn admit(
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
    pub(super) fn admit_together(
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
        if let Some(earliest) = self.told_to_wait(target, operation, now) {
            return Err(earliest);
        }
        self.relax(target, operation, now);
        let request = (target.key().to_owned(), operation);
        let key = (target.group().to_owned(), operation);
        if !self.is_limited(target, operation) {
            return Ok(());
        }
        let line = self.lines.entry(key.clone()).or_default();
        line.forget_before(back(now, PLACE_KEPT));
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
                at = at.max(limit.next + limit.interval(published) * count(ahead));
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
                limit.next = limit.next.max(back(now, MADE_UP_FOR)) + limit.interval(published);
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

    /// Until when a 429 or another `Retry-After` forbids such a request, whatever was admitted before.
    pub(super) fn told_to_wait(
        &self,
        target: &Target,
        operation: Operation,
        now: Instant,
    ) -> Option<Instant> {
        let waits = target
            .scopes()
            .into_iter()
            .filter_map(|scope| self.waits.get(&(scope, operation)))
            .filter(|wait| wait.asking.as_deref() != Some(target.key()));
        let waits = waits.map(|wait| wait.until);
        waits.filter(|until| *until > now).max()
    }

    /// Lets a request that was admitted go now, unless Azure has said since when the next may. After a pause that was not
    /// believed to its end it may be the one that asks.
    pub(super) fn depart(
        &mut self,
        target: &Target,
        operation: Operation,
        now: Instant,
    ) -> Result<(), Instant> {
        if let Some(until) = self.told_to_wait(target, operation, now)
            && !Bug::AdmittedForGood.is_on()
        {
            // Azure said so while this one waited for others to come back.
            return Err(until);
        }
        self.sent(target, operation, now);
        for scope in target.scopes() {
            if let Some(wait) = self.waits.get_mut(&(scope, operation))
                && wait.doubted
                && wait.until <= now
                && !Bug::ProbesTogether.is_on()
            {
                wait.until = now + ASKING;
                wait.asking = Some(target.key().to_owned());
            }
        }
        Ok(())
    }

    /// Notes that a request was answered as it was meant: whoever waited for that may go.
    pub(super) fn succeeded(&mut self, target: &Target, operation: Operation, now: Instant) {
        // Azure has counted it by now: on its way it may have taken longer than the next one will.
        self.sent(target, operation, now);
        self.asked(target, operation, |_| false);
    }

    /// What becomes of the waits that this identity was asking about: whether they stay.
    fn asked(&mut self, target: &Target, operation: Operation, stays: impl Fn(&mut Wait) -> bool) {
        for scope in target.scopes() {
            let place = (scope, operation);
            if let Some(wait) = self.waits.get_mut(&place)
                && wait.asking.as_deref() == Some(target.key())
                && !stays(wait)
            {
                self.waits.remove(&place);
            }
        }
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

    /// When the identity may send its next request, counted from the last one that it sent.
    pub(super) fn earliest(&self, target: &Target, operation: Operation) -> Option<Instant> {
        let scope = (target.own(), operation);
        self.limits.get(&scope).map(|limit| limit.earliest)
    }

    /// Learns from a failed request.
    pub(super) fn failed(
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
        self.asked(target, operation, |wait| {
            (wait.until, wait.asking) = (now, None);
            unanswered
        });
        let doubted = error.asks_for_too_long();
        let wait = match error.retry_after() {
            Some(wait) => wait,
            None if throttled => UNTOLD_WAIT,
            None => return,
        };
        let own = target.own();
        self.wait(own.clone(), operation, now + wait, doubted, now);
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
            self.wait(shared.clone(), operation, now + wait, doubted, now);
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
    pub(super) fn prune(&mut self, now: Instant) {
        self.forget_waits(now);
        self.limits.retain(|_, limit| limit.relax(now));
        self.lines.retain(|_, line| {
            line.forget_before(back(now, PLACE_KEPT));
            !line.is_empty()
        });
        self.repeats.retain(|_, repeats| {
            repeats.line.forget_before(back(now, PLACE_KEPT));
            !repeats.line.is_empty() || repeats.next > now
        });
        self.charged
            .retain(|_, charged| now.duration_since(charged.at) < SAME_CAUSE);
    }

    /// How much it remembers.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
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

    fn forget_waits(&mut self, now: Instant) {
        self.waits
            .retain(|_, wait| wait.until > now || wait.doubted && now < wait.until + DOUBT_KEPT);
    }

    fn wait(
        &mut self,
        scope: Scope,
        operation: Operation,
        until: Instant,
        doubted: bool,
        now: Instant,
    ) {
        self.forget_waits(now);
        let told = Wait {
            until,
            doubted,
            asking: None,
        };
        let known = self.waits.entry((scope, operation)).or_insert(told.clone());
        if known.until <= until {
            *known = told;
        }
    }

    /// Drops a scope to its published budget, from the end of the wait on.
    fn limit(&mut self, scope: Scope, operation: Operation, now: Instant, wait: Duration) {
        let limit = self.limits.entry((scope, operation)).or_insert(Limit {
            factor: 1.0,
            since: now,
            next: now,
            earliest: now,
        });
        limit.factor = 1.0;
        limit.since = now;
        limit.next = limit.next.max(now + wait);
    }
}

fn back(now: Instant, time: Duration) -> Instant {
    now.checked_sub(time).unwrap_or(now)
}

fn count(ahead: usize) -> u32 {
    u32::try_from(ahead).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
