//! Two writes of credentials on one identity that overlap.

use std::time::Duration;

use futures::future::join;

use super::context::{Context, put};
use crate::assumed::CONCURRENT_CODE;
use crate::error::Error;
use crate::facts::Fact;

/// So many pairs of writes are sent at least.
const ROUNDS: usize = 4;
/// And so many at most, while none of them is refused: two requests need not overlap.
const ROUNDS_AT_MOST: usize = 12;
const FACT: &str = "overlapping writes: one is refused";

pub(super) async fn probe(context: &Context<'_>) -> Result<Vec<Fact>, Error> {
    let assumed = context.assumed.single_writer;
    let identity = context.identity("single-writer").await?;
    let (one, other) = (put(&identity, "one"), put(&identity, "other"));
    let (mut rounds, mut refused, mut throttled) = (0, 0, 0);
    let mut codes: Vec<String> = Vec::new();
    while rounds < ROUNDS || (refused == 0 && rounds < ROUNDS_AT_MOST) {
        rounds += 1;
        let (first, second) =
            join(context.arm.send_once(&one), context.arm.send_once(&other)).await;
        let answers = [first?, second?];
        if let Some(answer) = answers.iter().find(|it| it.is_about_rights()) {
            return context.arm.refused("write a credential", answer.clone());
        }
        throttled += usize::from(answers.iter().any(|it| it.status == 429));
        if let Some(answer) = answers.iter().find(|it| it.status == 409) {
            refused += 1;
            codes.push(answer.brief());
        }
        let asked = answers
            .iter()
            .filter_map(|it| it.retry_after.as_ref()?.parse().ok());
        let wait = asked.map(Duration::from_secs).max().unwrap_or_default();
        tokio::time::sleep(wait.min(context.waiting.patience)).await;
    }
    if refused == 0 && throttled == rounds {
        let why = "one of two was always throttled";
        return Ok(vec![Fact::not_seen(FACT, assumed, why)]);
    }
    let seen = refused > 0;
    let mut facts = vec![
        Fact::value(FACT, "singleWriter", &assumed, &seen)
            .seen_as(format!("{seen}, {refused} of {rounds} pairs")),
    ];
    codes.dedup();
    if let Some(code) = codes.first() {
        let expected = format!("409 {CONCURRENT_CODE}");
        facts.push(Fact::fixed("overlapping writes: answer", &expected, code));
    }
    Ok(facts)
}
