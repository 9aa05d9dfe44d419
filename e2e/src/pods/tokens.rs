//! When a projected token is renewed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How often a kubelet looks at a pod's volumes: about once a minute.
pub(super) const SYNC_PERIOD: Duration = Duration::from_secs(60);

/// A token older than this is renewed, however long it lives
/// (<https://kubernetes.io/docs/concepts/storage/projected-volumes/#serviceaccounttoken>).
const OLDEST: SignedDuration = SignedDuration::from_hours(24);

/// A token in a volume.
#[derive(Debug, Clone)]
pub(super) struct VolumeToken {
    pub(super) token: String,
    pub(super) issued: Timestamp,
    pub(super) expires: Timestamp,
}

impl VolumeToken {
    /// Whether it is renewed now: 80 % of its life would be over before the next look, or it is older than a day. With `after`,
    /// when it is that old.
    pub(super) fn is_due(&self, now: Timestamp, after: Option<Duration>) -> bool {
        let age = now.duration_since(self.issued);
        let next_look = SignedDuration::try_from(SYNC_PERIOD).unwrap_or_default();
        let last = self.expires.duration_since(self.issued) * 4 / 5;
        match after.map(SignedDuration::try_from) {
            Some(Ok(after)) => age >= after,
            _ => age + next_look >= last || age > OLDEST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_four_fifths_of_its_life_are_over_or_after_a_day() {
        let due = |lives: i64, age: i64, after: Option<Duration>| {
            let issued = Timestamp::UNIX_EPOCH;
            let token = VolumeToken {
                token: String::new(),
                issued,
                expires: issued + SignedDuration::from_secs(lives),
            };
            token.is_due(issued + SignedDuration::from_secs(age), after)
        };
        let minute = i64::try_from(SYNC_PERIOD.as_secs()).unwrap();
        for (lives, last) in [(600, 480), (3600, 2880), (86400, 69120)] {
            assert!(!due(lives, last - minute - 1, None), "{lives}");
            assert!(due(lives, last - minute, None), "{lives}");
        }
        let week = 7 * 86400;
        assert!(!due(week, 86400, None));
        assert!(due(week, 86401, None));
        let after = Some(Duration::from_secs(5));
        assert!(!due(3600, 4, after));
        assert!(due(3600, 5, after));
    }
}
