//! What follows from a pass that did not reach its end: whether its status says so, and when the next try is. Pure.

use std::time::Duration;

use super::error::Error;
use crate::kubeutil::backoff::{Pace, Standing};
use crate::ledger::NotNow;

/// A binding that waits for a turn says so in its status only after this time. With thousands of new bindings most wait for some seconds,
/// and a write for each would hold them up.
const QUIET_TURN: Duration = Duration::from_secs(10);

/// A wait for Azure's pace that is shorter is not told.
const QUIET_WAIT: Duration = Duration::from_secs(2);

/// What is known at the end of such a pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    /// What stopped it.
    pub error: &'a Error,
    /// How long that has stood.
    pub stood: Duration,
    /// The binding was good when last seen, and could not be looked at.
    pub kept: bool,
    /// Its account stands again, of which the status says something else.
    pub account_stands: bool,
    /// The status says of this very spec that Azure has refused the credential.
    pub is_refused: bool,
    /// The same, and the try was put off for the sake of others.
    pub stays_refused: bool,
    /// The pass has recorded a write, and takes the record back.
    pub withdraws: bool,
    /// The status says of this very spec that the credential failed.
    pub is_failing: bool,
    /// The stored status is not all believed, and has to be put right.
    pub is_mistaken: bool,
}

/// Whether the status is left as it is. The first rule that has something to say decides.
pub(super) fn says_nothing(facts: &Facts<'_>) -> bool {
    let rules = [
        account_that_stands,
        answer_of_the_api_server,
        status_to_put_right,
        wait_of_a_good_binding,
        try_put_off_for_others,
        delay_of_a_refused_binding,
        wait_for_a_turn,
        wait_for_azures_pace,
    ];
    rules.iter().find_map(|rule| rule(facts)).unwrap_or(false)
}

/// An account that stands again is told, whatever is not said of the credential.
fn account_that_stands(facts: &Facts<'_>) -> Option<bool> {
    facts.account_stands.then_some(false)
}

/// What the API server has refused is told once it has stood for long enough: it may be restarting.
fn answer_of_the_api_server(facts: &Facts<'_>) -> Option<bool> {
    facts.error.answer()?;
    Some(!facts.error.is_refusal_told_after(facts.stood))
}

/// A status that somebody else has written is put right, whatever there is to say.
fn status_to_put_right(facts: &Facts<'_>) -> Option<bool> {
    facts.is_mistaken.then_some(false)
}

/// Nothing was looked at, so nothing is known to have changed.
fn wait_of_a_good_binding(facts: &Facts<'_>) -> Option<bool> {
    let waits = match facts.error.not_now()? {
        NotNow::PutOff { .. } => true,
        NotNow::UnderWay | NotNow::Unsettled { .. } | NotNow::Paced { .. } => facts.kept,
    };
    waits.then_some(true)
}

/// That others are served changes nothing about why the last try was refused.
fn try_put_off_for_others(facts: &Facts<'_>) -> Option<bool> {
    facts.stays_refused.then_some(true)
}

/// Neither does a delay.
fn delay_of_a_refused_binding(facts: &Facts<'_>) -> Option<bool> {
    (facts.error.is_delay() && facts.is_refused).then_some(true)
}

/// Waits for a turn are short.
fn wait_for_a_turn(facts: &Facts<'_>) -> Option<bool> {
    let waits = facts.error.not_now()? == NotNow::UnderWay;
    waits.then_some(facts.stood < QUIET_TURN)
}

/// A wait for Azure's pace does not say more than what went wrong before it: each try would be told as two failures.
fn wait_for_azures_pace(facts: &Facts<'_>) -> Option<bool> {
    let NotNow::Paced { .. } = facts.error.not_now()? else {
        return None;
    };
    let is_short = facts.error.pace().delay(Standing::FIRST) < QUIET_WAIT;
    Some(is_short || facts.is_failing && !facts.withdraws)
}

/// How a pass with this error is tried again; `stays_refused` as in [`Facts`].
pub(super) fn pace(error: &Error, stays_refused: bool) -> Pace {
    if stays_refused {
        Pace::WaitForArrival
    } else {
        error.pace()
    }
}

/// When the next try is: at this pace, or as soon as one of these times is over.
pub(super) fn retry_in(
    pace: Pace,
    standing: Standing,
    resync: Duration,
    sooner: &[Option<Duration>],
) -> Duration {
    let delay = pace.delay(standing);
    let delay = match pace {
        // However far back it stands, what is known of Azure grows old.
        Pace::WaitForSlot { .. } => delay.min(resync),
        _ => delay,
    };
    let sooner = sooner.iter().flatten().filter(|left| !left.is_zero());
    sooner.copied().fold(delay, Duration::min)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use tokio::time::Instant;

    use super::*;
    use crate::binding::error::Wait;
    use crate::binding::status::reason::ConditionType;
    use crate::ledger::decide::Refusal;

    fn waits(why: NotNow, reading: bool) -> Error {
        let step = ConditionType::CredentialReady;
        Error::from(Wait::Ledger { step, reading, why })
    }

    fn paced(seconds: u64) -> Error {
        let until = Instant::now() + Duration::from_secs(seconds);
        waits(NotNow::Paced { until }, false)
    }

    fn answered(code: u16) -> Error {
        kube::Error::Api(Status::failure("no", "").with_code(code).boxed()).into()
    }

    fn full() -> Error {
        Error::from(Refusal::LimitReached {
            used: 20,
            limit: 20,
            before: false,
            promised: false,
            ahead: 0,
            of_platform: vec![],
        })
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_rule_that_has_something_to_say_decides_whether_a_status_is_left_as_it_is() {
        let (turn, full) = (waits(NotNow::UnderWay, false), full());
        let (refused, undecided) = (answered(403), answered(500));
        let put_off = waits(
            NotNow::PutOff {
                until: Instant::now(),
            },
            true,
        );
        let (soon, late) = (paced(1), paced(60));
        let facts = |error| Facts {
            error,
            stood: Duration::from_secs(60),
            kept: false,
            account_stands: false,
            is_refused: false,
            stays_refused: false,
            withdraws: false,
            is_failing: false,
            is_mistaken: false,
        };
        let at_once = |error| Facts {
            stood: Duration::ZERO,
            ..facts(error)
        };
        for (case, facts, expected) in [
            ("what Azure says is told", facts(&full), false),
            ("a refusal of the API server", at_once(&refused), false),
            ("its being away for long", facts(&undecided), false),
            ("its being away for a moment", at_once(&undecided), true),
            (
                "which puts no status right either",
                Facts {
                    is_mistaken: true,
                    ..at_once(&undecided)
                },
                true,
            ),
            ("a short wait", at_once(&turn), true),
            ("a long one", facts(&turn), false),
            (
                "a short one over a status to put right",
                Facts {
                    is_mistaken: true,
                    ..at_once(&turn)
                },
                false,
            ),
            (
                "a good binding waits",
                Facts {
                    kept: true,
                    ..facts(&turn)
                },
                true,
            ),
            ("it was not looked", facts(&put_off), true),
            (
                "put off for others",
                Facts {
                    stays_refused: true,
                    is_refused: true,
                    ..facts(&full)
                },
                true,
            ),
            (
                "a refused one waits",
                Facts {
                    is_refused: true,
                    ..facts(&turn)
                },
                true,
            ),
            (
                "but its account stands again",
                Facts {
                    is_refused: true,
                    account_stands: true,
                    ..facts(&turn)
                },
                false,
            ),
            ("a short pace", facts(&soon), true),
            ("a long pace", facts(&late), false),
            (
                "a long pace after a failure",
                Facts {
                    is_failing: true,
                    ..facts(&late)
                },
                true,
            ),
            (
                "which takes a record back",
                Facts {
                    is_failing: true,
                    withdraws: true,
                    ..facts(&late)
                },
                false,
            ),
        ] {
            assert_eq!(says_nothing(&facts), expected, "{case}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_try_is_no_later_than_what_comes_before_it() {
        let minute = Duration::from_secs(60);
        let resync = 15 * minute;
        let slot = || pace(&full(), false);
        let retry =
            |pace, sooner: &[Option<Duration>]| retry_in(pace, Standing::FIRST, resync, sooner);
        let usual = retry(slot(), &[]);
        assert_eq!(
            retry(slot(), &[None, Some(Duration::ZERO)]),
            usual,
            "that is over"
        );
        let second = Duration::from_secs(1);
        assert_eq!(retry(slot(), &[Some(second), Some(minute)]), second);
        let far_back = Pace::WaitForSlot { ahead: 1_000_000 };
        assert!(retry(far_back, &[]) <= resync);
        assert!(matches!(pace(&full(), true), Pace::WaitForArrival));
    }
}
