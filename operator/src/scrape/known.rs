//! What the API server has said of tokens and rights, for a short time. No token is kept, only its digest.

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::right::Right;

/// How long an answer counts. Whoever loses the right has it for as long at the most.
const ALLOWED_FOR: Duration = Duration::from_secs(60);
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// Who had the right so lately does not stand in the line of those who never had it.
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);

/// Answers that are kept. Those who have a right are a few; anybody may send tokens without end.
const KEPT: usize = 256;

/// What the API server says of a token and a right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is of this user, who has the right.
    Allowed(String),
    /// It is of this user, who has it not.
    Forbidden(String),
    /// It is nobody's.
    Unauthenticated,
}

/// A token and a right, as a digest.
type Asked = [u8; 32];

/// The answers.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Who has a right, and when that was last said.
    allowed: HashMap<Asked, (Instant, String)>,
    refused: HashMap<Asked, (Instant, Verdict)>,
}

impl Known {
    /// What was said of this token and this right, as long as it counts.
    pub(super) fn verdict(&self, token: &str, right: &Right, now: Instant) -> Option<Verdict> {
        let asked = digest(token, right);
        if let Some((at, verdict)) = self.refused.get(&asked)
            && now < *at + REFUSED_FOR
        {
            return Some(verdict.clone());
        }
        let (at, user) = self.allowed.get(&asked)?;
        (now < *at + ALLOWED_FOR).then(|| Verdict::Allowed(user.clone()))
    }

    /// Whether it had the right before.
    pub(super) fn is_remembered(&self, token: &str, right: &Right, now: Instant) -> bool {
        let allowed = self.allowed.get(&digest(token, right));
        allowed.is_some_and(|(at, _)| now < *at + REMEMBERED_FOR)
    }

    /// Keeps an answer.
    pub(super) fn keep(&mut self, token: &str, right: &Right, verdict: Verdict, now: Instant) {
        let asked = digest(token, right);
        self.refused.remove(&asked);
        if let Verdict::Allowed(user) = verdict {
            if self.allowed.len() >= KEPT {
                self.allowed.retain(|_, (at, _)| now < *at + ALLOWED_FOR);
            }
            if self.allowed.len() < KEPT {
                self.allowed.insert(asked, (now, user));
            }
            return;
        }
        self.allowed.remove(&asked);
        if self.refused.len() >= KEPT {
            self.refused.retain(|_, (at, _)| now < *at + REFUSED_FOR);
        }
        if self.refused.len() < KEPT {
            self.refused.insert(asked, (now, verdict));
        }
    }
}

fn digest(token: &str, right: &Right) -> Asked {
    // Neither a verb nor a path has a line break.
    let digest = Sha256::new().chain_update(format!("{}\n{}\n", right.verb, right.path));
    digest.chain_update(token).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    static READ: Right = Right {
        verb: "get",
        path: "/metrics",
        role: "reader",
    };
    static WRITE: Right = Right {
        verb: "put",
        ..READ
    };

    fn allowed() -> Verdict {
        Verdict::Allowed("prometheus".to_owned())
    }

    #[test]
    fn an_answer_counts_for_a_short_time() {
        let (mut known, now) = (Known::default(), Instant::now());
        assert_eq!(known.verdict("a", &READ, now), None);
        known.keep("a", &READ, allowed(), now);
        let forbidden = Verdict::Forbidden("shop".to_owned());
        known.keep("b", &READ, forbidden.clone(), now);
        let after = |time: Duration| now + time - Duration::from_millis(1);
        let said = |known: &Known, token, at| known.verdict(token, &READ, at);
        assert_eq!(said(&known, "a", after(ALLOWED_FOR)), Some(allowed()));
        assert_eq!(said(&known, "b", after(REFUSED_FOR)), Some(forbidden));
        assert_eq!(said(&known, "a", now + ALLOWED_FOR), None);
        assert_eq!(said(&known, "b", now + REFUSED_FOR), None);
        assert!(known.is_remembered("a", &READ, now + ALLOWED_FOR));
        assert!(!known.is_remembered("b", &READ, now));
        // Who has lost the right.
        known.keep("a", &READ, Verdict::Unauthenticated, now);
        assert_eq!(said(&known, "a", now), Some(Verdict::Unauthenticated));
        assert!(!known.is_remembered("a", &READ, now));
    }

    #[test]
    fn one_right_says_nothing_about_another() {
        let (mut known, now) = (Known::default(), Instant::now());
        known.keep("a", &READ, allowed(), now);
        assert_eq!(known.verdict("a", &WRITE, now), None);
        assert!(!known.is_remembered("a", &WRITE, now));
        known.keep("a", &WRITE, Verdict::Forbidden("shop".to_owned()), now);
        assert_eq!(known.verdict("a", &READ, now), Some(allowed()));
    }

    #[test]
    fn tokens_without_end_take_no_memory_and_nobody_elses_place() {
        let (mut known, now) = (Known::default(), Instant::now());
        known.keep("prometheus", &READ, allowed(), now);
        for token in 0..10 * KEPT {
            known.keep(&token.to_string(), &READ, Verdict::Unauthenticated, now);
        }
        assert_eq!(known.refused.len(), KEPT);
        assert_eq!(known.verdict("prometheus", &READ, now), Some(allowed()));
        let later = now + REFUSED_FOR;
        known.keep("later", &READ, Verdict::Unauthenticated, later);
        assert_eq!(known.refused.len(), 1);
    }
}
