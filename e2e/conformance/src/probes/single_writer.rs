//! Two writes of credentials on one identity that overlap.

use futures::future::join;

use super::context::{Context, put};
use crate::arm::{Answer, Request};
use crate::assumed::CONCURRENT_CODE;
use crate::error::Error;
use crate::facts::Fact;

/// So many pairs of writes are sent at least.
const ROUNDS: usize = 4;
/// And so many at most, while none of them is refused: two requests need not overlap.
const ROUNDS_AT_MOST: usize = 12;
/// So many pairs without a refusal show that there is none.
const ENOUGH: usize = 3;
const FACT: &str = "overlapping writes: one is refused";

pub(super) async fn probe(context: &Context<'_>) -> Result<Vec<Fact>, Error> {
    let assumed = context.assumed.single_writer;
    let identity = context.identity("single-writer").await?;
    let (one, other) = (put(&identity, "one"), put(&identity, "other"));
    // The limits of requests count PUT and DELETE apart: where two PUT are too many, these may pass.
    let deletion = Request::delete(identity.credential("other"));
    let (mut rounds, mut refused, mut passed) = (0, 0, 0);
    let mut codes: Vec<String> = Vec::new();
    while rounds < ROUNDS || (refused == 0 && rounds < ROUNDS_AT_MOST) {
        rounds += 1;
        let second = if rounds % 2 == 1 { &other } else { &deletion };
        let (first, second) =
            join(context.arm.send_once(&one), context.arm.send_once(second)).await;
        let answers = [first?, second?];
        if let Some(answer) = answers.iter().find(|it| it.is_about_rights()) {
            return context.arm.refused("write a credential", answer.clone());
        }
        if let Some(answer) = answers.iter().find(|it| it.status == 409) {
            refused += 1;
            codes.push(answer.brief());
        }
        passed += usize::from(answers.iter().all(Answer::is_success));
        let waits = answers.iter().filter(|it| it.status == 429);
        let wait = waits.map(Answer::wait).max().unwrap_or_default();
        tokio::time::sleep(wait.min(context.waiting.patience)).await;
    }
    if refused == 0 && passed < ENOUGH {
        let why = format!("{passed} of {rounds} pairs were served, too few to tell");
        return Ok(vec![Fact::not_seen(FACT, assumed, &why)]);
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
