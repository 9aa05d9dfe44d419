//! Conditions with the clock passed in, so that status stays a plain function of its inputs.
//!
//! `k8s_controller::conditions` reads the clock itself; the rest follows the same conventions (KEP-1623).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// Status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl ConditionStatus {
    /// The status of this name; None where there is none.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = [Self::True, Self::False, Self::Unknown].into_iter();
        all.find(|known| known.as_str() == name)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// The condition of that type, if there is one.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of that type is True.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_)
        .is_some_and(|condition| condition.status == ConditionStatus::True.as_str())
}

/// The transition time of a condition whose status has not moved; one in the future, from another clock or another
/// writer, becomes now, once and for all.
pub fn kept_time(previous: &Condition, now: Timestamp) -> Time {
    if previous.last_transition_time.0 > now {
        whole_second(now)
    } else {
        previous.last_transition_time.clone()
    }
}

/// Times are cut to whole seconds, as the API server stores them.
fn whole_second(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// A condition that keeps the transition time of `previous` unless the status moved.
pub fn transition(
    previous: Option<&Condition>,
    type_: &str,
    status: ConditionStatus,
    reason: &str,
    message: String,
    generation: i64,
    now: Timestamp,
) -> Condition {
    let last_transition_time = match previous {
        Some(previous) if previous.status == status.as_str() => kept_time(previous, now),
        _ => whole_second(now),
    };
    Condition {
        type_: type_.to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: Some(generation),
        last_transition_time,
    }
}
