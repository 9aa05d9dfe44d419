//! How fast what is known to fail is tried again. It holds also where Azure has throttled nothing. Pure: the time comes in.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::times::{after_one, for_all, kept_since};
use crate::ledger::fair_queue::{Asker, FairQueue};
use crate::ledger::target::{Operation, Target};

/// Between two looks at what is known to fail in one subscription, whatever Azure would take: less than one a second, a
/// tenth of the published GETs and a fifth of the LISTs, so that they use up nobody's budget.
const BETWEEN_REPEATED_READS: Duration = Duration::from_millis(1100);

/// Between two tries of writes that Azure has refused, in one subscription: a quarter of the published rate.
const BETWEEN_REPEATED_WRITES: Duration = Duration::from_secs(2);

/// When what is known to fail is tried again, by subscription, reads and writes.
#[derive(Debug, Default)]
pub(super) struct Repeats(HashMap<(String, bool), Schedule>);

/// The schedule of repeats in a subscription.
#[derive(Debug)]
struct Schedule {
    line: FairQueue,
    next: Instant,
}

impl Schedule {
    fn is_needed(&self, now: Instant) -> bool {
        !self.line.is_empty() || self.next > now
    }
}

impl Repeats {
    /// Lets a repeat go as far as the other repeats of its subscription are concerned, or says when to ask again.
    pub(super) fn admit(
        &mut self,
        target: &Target,
        operation: Operation,
        asker: Asker,
        now: Instant,
    ) -> Result<(), Instant> {
        let request = (target.key().to_owned(), operation);
        let is_write = matches!(operation, Operation::Put | Operation::Delete);
        let key = (target.group().to_owned(), is_write);
        if !self.0.contains_key(&key) {
            self.0.retain(|_, it| it.is_needed(now));
        }
        let repeats = self.0.entry(key).or_insert_with(|| Schedule {
            line: FairQueue::default(),
            next: now,
        });
        let interval = if is_write {
            BETWEEN_REPEATED_WRITES
        } else {
            BETWEEN_REPEATED_READS
        };
        repeats.line.forget_before(kept_since(now));
        if repeats.line.is_empty() {
            repeats.next = repeats.next.max(now);
        }
        let order = repeats.line.join(&request, asker, now);
        let at = repeats.next + for_all(repeats.line.ahead_of(order), interval);
        if at > now {
            repeats.line.told(&request, at);
            return Err(at);
        }
        repeats.line.goes(&request);
        repeats.next = after_one(repeats.next, interval, now);
        Ok(())
    }

    /// Forgets what is over.
    pub(super) fn prune(&mut self, now: Instant) {
        self.0.retain(|_, repeats| {
            repeats.line.forget_before(kept_since(now));
            repeats.is_needed(now)
        });
    }

    /// How much it remembers.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
