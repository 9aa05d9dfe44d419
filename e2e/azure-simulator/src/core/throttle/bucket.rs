//! A token bucket in whole numbers: the same everywhere, whatever the order of requests.

use jiff::{SignedDuration, Timestamp};

use super::Rate;

/// Parts of a token. A rate of n a minute brings n parts a millisecond.
const TOKEN: u64 = 60_000;

/// Nothing is told to wait longer, in seconds: a budget of nothing never refills.
const LONGEST_WAIT: u64 = 3600;

/// What a bucket says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is a token.
    Pass,
    /// There is none, or the caller was told to wait and did not.
    Wait { seconds: u64 },
}

/// A budget's tokens.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    parts: u64,
    refilled: Timestamp,
    /// The end of the wait that a caller was told.
    closed_until: Option<Timestamp>,
}

impl Bucket {
    pub(super) fn full(rate: Rate, now: Timestamp) -> Self {
        Self {
            parts: u64::from(rate.burst) * TOKEN,
            refilled: now,
            closed_until: None,
        }
    }

    /// Whole tokens.
    pub(super) fn tokens(&self) -> u64 {
        self.parts / TOKEN
    }

    /// Whether a request may pass. A request before the wait is over is refused and told what is left of it.
    pub(super) fn ask(
        &mut self,
        rate: Rate,
        retry_after_seconds: Option<u64>,
        now: Timestamp,
    ) -> Verdict {
        self.refill(rate, now);
        if let Some(until) = self.closed_until
            && now < until
        {
            return Verdict::Wait {
                seconds: seconds(until.duration_since(now)),
            };
        }
        self.closed_until = None;
        if self.parts >= TOKEN {
            return Verdict::Pass;
        }
        let wait = retry_after_seconds.unwrap_or_else(|| self.seconds_to_a_token(rate));
        let until = SignedDuration::from_secs(i64::try_from(wait).unwrap_or(i64::MAX));
        self.closed_until = now.checked_add(until).ok();
        Verdict::Wait { seconds: wait }
    }

    /// Takes a token.
    pub(super) fn take(&mut self) {
        self.parts = self.parts.saturating_sub(TOKEN);
    }

    fn refill(&mut self, rate: Rate, now: Timestamp) {
        let elapsed = u64::try_from(now.duration_since(self.refilled).as_millis()).unwrap_or(0);
        let come = elapsed.saturating_mul(u64::from(rate.per_minute));
        self.parts = (self.parts.saturating_add(come)).min(u64::from(rate.burst) * TOKEN);
        // Less than a millisecond has brought nothing: it is counted with the next one.
        if elapsed > 0 {
            self.refilled = now;
        }
    }

    fn seconds_to_a_token(&self, rate: Rate) -> u64 {
        let missing = TOKEN.saturating_sub(self.parts);
        match u64::from(rate.per_minute) {
            0 => LONGEST_WAIT,
            rate => missing.div_ceil(rate).div_ceil(1000).clamp(1, LONGEST_WAIT),
        }
    }
}

/// Whole seconds, and never none: `Retry-After: 0` would be no wait.
fn seconds(wait: SignedDuration) -> u64 {
    u64::try_from(wait.as_millis())
        .unwrap_or(0)
        .div_ceil(1000)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARTER_A_SECOND: Rate = Rate {
        per_minute: 15,
        burst: 1,
    };
    const TWO_A_SECOND: Rate = Rate {
        per_minute: 120,
        burst: 3,
    };
    const NOTHING: Rate = Rate {
        per_minute: 0,
        burst: 0,
    };

    /// When they come, in milliseconds, and the seconds that they are told to wait: 0 is a pass.
    type Requests = [(i64, u64)];

    #[test]
    fn a_bucket_gives_what_it_holds_and_then_one_token_at_a_time() {
        let cases: [(Rate, Option<u64>, &Requests); 7] = [
            (QUARTER_A_SECOND, None, &[(0, 0), (0, 4), (4000, 0)]),
            (QUARTER_A_SECOND, None, &[(0, 0), (3999, 1), (5000, 0)]),
            // Before the wait is over: refused with a new value, and the first one still holds.
            (
                QUARTER_A_SECOND,
                None,
                &[(0, 0), (0, 4), (1500, 3), (3999, 1), (4000, 0), (4000, 4)],
            ),
            // A token that has come does not end a wait that was told.
            (
                QUARTER_A_SECOND,
                Some(20),
                &[(0, 0), (0, 20), (19_000, 1), (20_000, 0), (20_000, 20)],
            ),
            (
                TWO_A_SECOND,
                None,
                &[
                    (0, 0),
                    (0, 0),
                    (0, 0),
                    (0, 1),
                    (1000, 0),
                    (1000, 0),
                    (1000, 1),
                ],
            ),
            // No more than the burst gathers.
            (
                TWO_A_SECOND,
                None,
                &[(0, 0), (60_000, 0), (60_000, 0), (60_000, 0), (60_000, 1)],
            ),
            (NOTHING, None, &[(0, 3600), (3_600_000, 3600)]),
        ];
        for (number, (rate, retry_after, requests)) in cases.into_iter().enumerate() {
            let start = Timestamp::UNIX_EPOCH;
            let mut bucket = Bucket::full(rate, start);
            for (at, expected) in requests {
                let now = start + SignedDuration::from_millis(*at);
                let wait = match bucket.ask(rate, retry_after, now) {
                    Verdict::Pass => {
                        bucket.take();
                        0
                    }
                    Verdict::Wait { seconds } => seconds,
                };
                assert_eq!(wait, *expected, "case {number} at {at} ms");
            }
        }
    }
}
