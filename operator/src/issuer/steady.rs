//! What is told of an issuer whose findings change: a flapping issuer must not cost a write to each binding each time. Pure.

use std::time::Duration;

use super::judge::Finding;

/// What is told on every binding is told until it was not seen for so long.
pub const CALM: Duration = Duration::from_secs(600);

/// What is told, and when that was last seen.
#[derive(Debug, Clone, Default)]
pub struct Steady {
    told: Finding,
    seen: Duration,
}

impl Steady {
    /// Takes in what is found at this moment, since some beginning, and gives what is told.
    ///
    /// What concerns all bindings is told at once, and stays told for [`CALM`] after it was last seen, unless something heavier comes.
    /// All else is told as it is: it reaches a binding only with what is written for it anyway.
    pub fn tell(&mut self, found: Finding, now: Duration) -> &Finding {
        let is_same = self.told.label() == found.label();
        let holds = self.told.concerns_all() && now.saturating_sub(self.seen) < CALM;
        if !is_same && holds && !is_heavier(&found, &self.told) {
            return &self.told;
        }
        self.seen = now;
        // The words of what is told on every binding stay as they were.
        if !(is_same && found.concerns_all()) || is_about_another(&found, &self.told) {
            self.told = found;
        }
        &self.told
    }
}

/// Only a mismatch is heavier than what else concerns all.
fn is_heavier(found: &Finding, told: &Finding) -> bool {
    matches!((found, told), (Finding::Mismatch(_), Finding::Refused(_)))
}

/// A mismatch names two values: other values are another mismatch.
fn is_about_another(found: &Finding, told: &Finding) -> bool {
    matches!((found, told), (Finding::Mismatch(found), Finding::Mismatch(told)) if found != told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mismatch() -> Finding {
        Finding::Mismatch("a and b".to_owned())
    }

    fn verified() -> Finding {
        Finding::Verified(String::new())
    }

    fn refused(words: &str) -> Finding {
        Finding::Refused(words.to_owned())
    }

    #[test]
    fn a_flapping_issuer_is_told_once() {
        let mut steady = Steady::default();
        let mut told = vec![];
        for minute in 0..60 {
            let found = if minute % 2 == 1 {
                mismatch()
            } else {
                verified()
            };
            let now = steady.tell(found, Duration::from_secs(60 * minute)).label();
            if told.last() != Some(&now) {
                told.push(now);
            }
        }
        assert_eq!(told, ["verified", "mismatch"]);
        let over = steady.tell(verified(), Duration::from_secs(60 * 59 + 599));
        assert_eq!(over.label(), "mismatch");
        let over = steady.tell(verified(), Duration::from_secs(60 * 59 + 600));
        assert_eq!(over.label(), "verified");
    }

    #[test]
    fn the_words_of_what_is_told_on_every_binding_stay() {
        let mut steady = Steady::default();
        let at = Duration::from_secs;
        assert_eq!(steady.tell(refused("one"), at(0)), &refused("one"));
        assert_eq!(steady.tell(refused("two"), at(60)), &refused("one"));
        assert_eq!(steady.tell(mismatch(), at(120)), &mismatch());
        assert_eq!(
            steady.tell(refused("two"), at(180)),
            &mismatch(),
            "that is heavier"
        );
        let other = Finding::Mismatch("a and c".to_owned());
        assert_eq!(steady.tell(other.clone(), at(240)), &other);
    }

    #[test]
    fn what_reaches_only_those_that_are_written_is_told_as_it_is() {
        let mut steady = Steady::default();
        let wrong = Finding::Wrong("why".to_owned());
        assert_eq!(steady.tell(wrong.clone(), Duration::ZERO), &wrong);
        assert_eq!(steady.tell(verified(), Duration::ZERO), &verified());
    }
}
