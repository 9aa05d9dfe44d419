//! A time that was not seen to the moment.

use std::fmt;
use std::time::Duration;

/// Something took longer than the one and at most the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// When the last request was sent that came too early.
    pub(super) more_than: Duration,
    /// When the first one was answered that did not.
    pub(super) at_most: Duration,
}

impl Span {
    /// The longest of several times. A request that was answered late says little about it: of those that fit, the closest one
    /// counts.
    pub(super) fn longest(spans: &[Self]) -> Option<Self> {
        let more_than = spans.iter().map(|span| span.more_than).max()?;
        let fitting = spans.iter().filter(|span| span.at_most > more_than);
        let at_most = fitting.map(|span| span.at_most).min()?;
        Some(Self { more_than, at_most })
    }

    /// Whole seconds, as the simulator has them: the most that fit, and otherwise the next ones. At least 1.
    pub(super) fn seconds(self) -> u64 {
        let fitting = self.at_most.as_secs();
        if Duration::from_secs(fitting) > self.more_than {
            fitting
        } else {
            fitting + 1
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.more_than.as_secs_f64(), self.at_most.as_secs_f64());
        write!(formatter, "{} ({from:.1} to {to:.1})", self.seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(more_than: u64, at_most: u64) -> Span {
        Span {
            more_than: Duration::from_millis(more_than),
            at_most: Duration::from_millis(at_most),
        }
    }

    #[test]
    fn whole_seconds_are_those_that_fit() {
        for (more_than, at_most, seconds) in [
            (0, 300, 1),
            (950, 1050, 1),
            (0, 2030, 2),
            (1900, 2400, 2),
            (2100, 2400, 3),
            (1000, 1200, 2),
        ] {
            let span = span(more_than, at_most);
            assert_eq!(span.seconds(), seconds, "{span}");
        }
    }

    #[test]
    fn a_late_answer_does_not_make_a_time_longer() {
        let spans = [span(960, 1040), span(970, 2500), span(200, 700)];
        assert_eq!(Span::longest(&spans), Some(span(970, 1040)));
        assert_eq!(Span::longest(&[]), None);
    }
}
