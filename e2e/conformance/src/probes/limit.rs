//! How many credentials an identity takes, and the answer to one more.

use super::context::Context;
use crate::error::Error;
use crate::facts::Fact;

pub(super) async fn probe(context: &Context<'_>) -> Result<Vec<Fact>, Error> {
    let full = context.full_identity().await?;
    let assumed = &context.assumed;
    let limit = Fact::value(
        "credentials of an identity, at most",
        "credentialLimit",
        &assumed.credential_limit,
        &full.credentials,
    );
    let fact = "answer to one more";
    let expected = &assumed.credential_limit_answer;
    Ok(match &full.refusal {
        Some(answer) => vec![
            limit,
            Fact::answer(fact, "credentialLimitAnswer", expected, &answer.error()),
        ],
        None => vec![
            limit.seen_as(format!("{} or more", full.credentials)),
            Fact::not_seen(fact, expected, "no credential was refused"),
        ],
    })
}
