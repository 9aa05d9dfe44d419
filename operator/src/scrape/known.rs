//! What the API server has said of tokens, for a short time. No token is kept, only its digest.

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// How long an answer counts. Whoever loses the right scrapes for as long at the most.
const ALLOWED_FOR: Duration = Duration::from_secs(60);
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// Who had the right so lately does not stand in the line of those who never had it.
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);

/// Answers that are kept. Those who may scrape are a few; anybody may send tokens without end.
const KEPT: usize = 256;

/// What the API server says of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    /// It is of this user, who may not scrape.
    Forbidden(String),
    /// It is nobody's.
    Unauthenticated,
}

type Token = [u8; 32];

/// The answers.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// When those who may scrape were last said to.
    allowed: HashMap<Token, Instant>,
    refused: HashMap<Token, (Instant, Verdict)>,
}

impl Known {
    /// What was said of this token, as long as it counts.
    pub(super) fn verdict(&self, token: &str, now: Instant) -> Option<Verdict> {
        let token = digest(token);
        if let Some((at, verdict)) = self.refused.get(&token)
            && now < *at + REFUSED_FOR
        {
            return Some(verdict.clone());
        }
        let at = self.allowed.get(&token)?;
        (now < *at + ALLOWED_FOR).then_some(Verdict::Allowed)
    }

    /// Whether it could scrape before.
    pub(super) fn is_remembered(&self, token: &str, now: Instant) -> bool {
        let at = self.allowed.get(&digest(token));
        at.is_some_and(|at| now < *at + REMEMBERED_FOR)
    }

    /// Keeps an answer.
    pub(super) fn keep(&mut self, token: &str, verdict: Verdict, now: Instant) {
        let token = digest(token);
        self.refused.remove(&token);
        if verdict == Verdict::Allowed {
            if self.allowed.len() >= KEPT {
                self.allowed.retain(|_, at| now < *at + ALLOWED_FOR);
            }
            if self.allowed.len() < KEPT {
                self.allowed.insert(token, now);
            }
            return;
        }
        self.allowed.remove(&token);
        if self.refused.len() >= KEPT {
            self.refused.retain(|_, (at, _)| now < *at + REFUSED_FOR);
        }
        if self.refused.len() < KEPT {
            self.refused.insert(token, (now, verdict));
        }
    }
}

fn digest(token: &str) -> Token {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_a_short_time() {
        let (mut known, now) = (Known::default(), Instant::now());
        assert_eq!(known.verdict("a", now), None);
        known.keep("a", Verdict::Allowed, now);
        let forbidden = Verdict::Forbidden("shop".to_owned());
        known.keep("b", forbidden.clone(), now);
        let after = |time: Duration| now + time - Duration::from_millis(1);
        assert_eq!(
            known.verdict("a", after(ALLOWED_FOR)),
            Some(Verdict::Allowed)
        );
        assert_eq!(known.verdict("b", after(REFUSED_FOR)), Some(forbidden));
        assert_eq!(known.verdict("a", now + ALLOWED_FOR), None);
        assert_eq!(known.verdict("b", now + REFUSED_FOR), None);
        assert!(known.is_remembered("a", now + ALLOWED_FOR));
        assert!(!known.is_remembered("b", now));
        // Who has lost the right.
        known.keep("a", Verdict::Unauthenticated, now);
        assert_eq!(known.verdict("a", now), Some(Verdict::Unauthenticated));
        assert!(!known.is_remembered("a", now));
    }

    #[test]
    fn tokens_without_end_take_no_memory_and_nobody_elses_place() {
        let (mut known, now) = (Known::default(), Instant::now());
        known.keep("prometheus", Verdict::Allowed, now);
        for token in 0..10 * KEPT {
            known.keep(&token.to_string(), Verdict::Unauthenticated, now);
        }
        assert_eq!(known.refused.len(), KEPT);
        assert_eq!(known.verdict("prometheus", now), Some(Verdict::Allowed));
        known.keep("later", Verdict::Unauthenticated, now + REFUSED_FOR);
        assert_eq!(known.refused.len(), 1);
    }
}
