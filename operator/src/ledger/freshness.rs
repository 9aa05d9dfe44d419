//! How new an answer of Azure has to be for whoever asks.

use std::time::Duration;

use tokio::time::Instant;

/// A read that somebody asked for is made at most once in so long, for all who ask.
pub(super) const BETWEEN_REQUESTED: Duration = Duration::from_secs(30);

/// Who waited for an answer takes it for so long, however new it is wanted to be: a pass may come late where many are due.
const FOR_WHO_WAITED: Duration = Duration::from_secs(30);

/// A binding that was never looked at does not take an older failure than this for its answer.
const FAILURE_FOR_NEWCOMERS: Duration = Duration::from_secs(5);

/// How new an answer of Azure has to be.
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    max_age: Duration,
    newer_than: Option<Instant>,
    pub(super) newcomer: bool,
    pub(super) requested: Option<Requested>,
    /// The asker's status says that this read has failed for something that has to change first.
    pub(super) failed: bool,
}

/// That somebody asks for fresh reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requested {
    pub since: Instant,
    /// Whether a success of the last [`BETWEEN_REQUESTED`] will do where no new read can be had yet: nobody says that it
    /// is wrong, as after a change of the spec.
    pub recent_will_do: bool,
}

impl Freshness {
    /// Asked for within this time.
    pub fn within(max_age: Duration) -> Self {
        Self {
            max_age,
            newer_than: None,
            newcomer: false,
            requested: None,
            failed: false,
        }
    }

    /// Asked for from now on.
    pub fn now() -> Self {
        Self::since(Instant::now())
    }

    /// Asked for at this moment or later.
    pub fn since(moment: Instant) -> Self {
        Self::within(Duration::MAX).and_since(Some(moment))
    }

    /// And asked for within this time.
    pub fn and_within(self, max_age: Duration) -> Self {
        Self {
            max_age: self.max_age.min(max_age),
            ..self
        }
    }

    /// And asked for at this moment or later, where there is one.
    pub fn and_since(self, moment: Option<Instant>) -> Self {
        self.and_newer_than(moment.and_then(|it| it.checked_sub(Duration::from_nanos(1))))
    }

    /// And asked for after this moment, where there is one.
    pub fn and_newer_than(self, moment: Option<Instant>) -> Self {
        Self {
            newer_than: self.newer_than.max(moment),
            ..self
        }
    }

    /// For a binding that is looked at for the first time.
    pub fn of_newcomer(self, newcomer: bool) -> Self {
        Self { newcomer, ..self }
    }

    /// And asked for since this request, where there is one: a read that is made for it alone is one of a few.
    pub fn as_requested(self, requested: Option<Requested>) -> Self {
        Self { requested, ..self }
    }

    /// For a binding whose status says that this read has failed for something that has to change first.
    pub fn of_known_failure(self, failed: bool) -> Self {
        Self { failed, ..self }
    }

    pub(super) fn allows(self, asked: Instant) -> bool {
        asked.elapsed() < self.max_age && self.newer_than.is_none_or(|moment| asked > moment)
    }

    pub(super) fn allows_to_who_waited(self, asked: Instant) -> bool {
        let max_age = self.max_age.max(FOR_WHO_WAITED);
        Self { max_age, ..self }.allows(asked)
    }

    pub(super) fn allows_failure(self, answered: Instant) -> bool {
        self.newer_than.is_none_or(|moment| answered > moment)
            && !(self.newcomer && answered.elapsed() > FAILURE_FOR_NEWCOMERS)
    }

    /// Whether what was asked for then answers the request, if there is one.
    pub(super) fn answers_request(self, asked: Instant) -> bool {
        self.requested.is_none_or(|it| asked >= it.since)
    }
}
