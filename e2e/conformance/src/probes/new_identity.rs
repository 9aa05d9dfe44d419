//! Writes of credentials right after their identity was made.

use super::context::{Attempt, Context};
use super::span::Span;
use crate::assumed::{Assumed, PARENT_CODE};
use crate::error::Error;
use crate::facts::Fact;

/// So many identities are made.
const ROUNDS: usize = 2;
/// So many writes in a row have to succeed until an identity counts as known.
const SUCCESSES: usize = 3;

pub(super) async fn probe(context: &Context<'_>) -> Result<Vec<Fact>, Error> {
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        let name = format!("new-identity-{round}");
        let (identity, created) = context.create_identity(&name, context.location).await?;
        rounds.push(context.settle(&identity, created, SUCCESSES).await?);
    }
    let mut facts = parent(&rounds, &context.assumed);
    facts.extend(directory(&rounds, &context.assumed));
    Ok(facts)
}

fn is_parent(attempt: &Attempt) -> bool {
    attempt.answer.code() == PARENT_CODE
}

fn is_directory(attempt: &Attempt) -> bool {
    !attempt.answer.is_success() && !is_parent(attempt)
}

/// For how long writes are refused in this way; `None`: they were not.
fn delay(rounds: &[Vec<Attempt>], is_refused: fn(&Attempt) -> bool) -> Option<Span> {
    let span = |round: &Vec<Attempt>| {
        let last = round.iter().rposition(is_refused)?;
        Some(Span {
            more_than: round[last].sent,
            // The last attempt of a round is a success.
            at_most: round.get(last + 1)?.answered,
        })
    };
    Span::longest(&rounds.iter().filter_map(span).collect::<Vec<_>>())
}

/// It as a fact.
fn delay_fact(fact: &str, tunable: &'static str, assumed: u64, delay: Option<Span>) -> Fact {
    let this = Fact::value(fact, tunable, &assumed, &delay.map_or(0, Span::seconds));
    match delay {
        Some(delay) => this.seen_as(delay.to_string()),
        None => this,
    }
}

fn parent(rounds: &[Vec<Attempt>], assumed: &Assumed) -> Vec<Fact> {
    let delay = delay(rounds, is_parent);
    let mut facts = vec![delay_fact(
        "new identity: seconds in which it is no parent",
        "parentDelaySeconds",
        assumed.parent_delay_seconds,
        delay,
    )];
    if delay.is_some() {
        let (mut tries, mut refusals) = (0, 0);
        for round in rounds {
            let last = round.iter().rposition(is_parent).map_or(0, |at| at + 1);
            tries += last;
            refusals += round[..last].iter().filter(|it| is_parent(it)).count();
        }
        let per_mille = u16::try_from(refusals * 1000 / tries.max(1)).unwrap_or(1000);
        facts.push(Fact::value(
            "new identity: of a thousand writes meanwhile",
            "parentNotFoundPerMille",
            &assumed.parent_not_found_per_mille,
            &per_mille,
        ));
    } else {
        facts.push(Fact::not_seen(
            "new identity: of a thousand writes meanwhile",
            assumed.parent_not_found_per_mille,
            "no such answer",
        ));
    }
    facts
}

fn directory(rounds: &[Vec<Attempt>], assumed: &Assumed) -> Vec<Fact> {
    let delay = delay_fact(
        "new identity: seconds unknown to the directory",
        "directoryDelaySeconds",
        assumed.directory_delay_seconds,
        delay(rounds, is_directory),
    );
    let fact = "new identity: answer meanwhile";
    let answer = match rounds.iter().flatten().find(|it| is_directory(it)) {
        Some(attempt) => Fact::answer(
            fact,
            "directoryAnswer",
            &assumed.directory_answer,
            &attempt.answer.error(),
        ),
        None => Fact::not_seen(fact, &assumed.directory_answer, "no such answer"),
    };
    vec![delay, answer]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::arm::Answer;

    fn attempt(milliseconds: u64, status: u16, code: &str) -> Attempt {
        Attempt {
            sent: Duration::from_millis(milliseconds),
            answered: Duration::from_millis(milliseconds + 10),
            answer: Answer {
                status,
                retry_after: None,
                body: json!({"error": {"code": code, "message": "m"}}),
            },
        }
    }

    #[test]
    fn the_last_refusal_tells_how_long_an_identity_is_no_parent() {
        let rounds = [
            vec![
                attempt(0, 404, PARENT_CODE),
                attempt(500, 201, ""),
                attempt(1100, 404, PARENT_CODE),
                attempt(1600, 404, "NotFound"),
                attempt(2100, 200, ""),
            ],
            vec![attempt(0, 404, PARENT_CODE), attempt(500, 201, "")],
        ];
        let facts = parent(&rounds, &Assumed::default());
        assert_eq!(facts[0].tunables, [("parentDelaySeconds", json!(2))]);
        assert_eq!(facts[0].seen, "2 (1.1 to 1.6)");
        assert_eq!(facts[1].tunables, [("parentNotFoundPerMille", json!(750))]);
        let facts = directory(&rounds, &Assumed::default());
        assert_eq!(facts[0].tunables, [("directoryDelaySeconds", json!(2))]);
        assert_eq!(facts[1].tunables[0].0, "directoryAnswer");
    }
}
