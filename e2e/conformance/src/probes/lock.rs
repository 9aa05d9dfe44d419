//! A deletion below a lock.

use std::time::Instant;

use serde_json::json;

use super::context::Context;
use crate::arm::{Answer, IdentityId, LOCKS, Request};
use crate::assumed::LOCKED_CODE;
use crate::error::Error;
use crate::facts::Fact;

const NAME: &str = "azwib-conformance";

pub(super) async fn probe(context: &Context<'_>) -> Result<Vec<Fact>, Error> {
    let identity = context.identity("lock").await?;
    let body = json!({"properties": {"level": "CanNotDelete", "notes": "a probe of azwib"}});
    let lock = Request::put(identity.lock(NAME), body).version(LOCKS);
    context.arm.succeed(&lock).await?;
    let answer = refusal(context, &identity).await;
    let unlock = Request::delete(identity.lock(NAME)).version(LOCKS);
    context.arm.succeed(&unlock).await?;
    let answer = answer?;
    Ok(vec![
        Fact::value(
            "deletion below a lock: status",
            "scopeLockedStatus",
            &context.assumed.scope_locked_status,
            &answer.status,
        ),
        Fact::fixed("deletion below a lock: code", LOCKED_CODE, answer.code()),
    ])
}

/// Deletes a credential until that is refused: a new lock does not count at once.
async fn refusal(context: &Context<'_>, identity: &IdentityId) -> Result<Answer, Error> {
    let started = Instant::now();
    let delete = Request::delete(identity.credential("first"));
    loop {
        let answer = context.write(&delete).await?;
        if answer.is_about_rights() || answer.status >= 500 {
            return context.arm.refused("delete a credential", answer);
        }
        if !answer.is_success() {
            return Ok(answer);
        }
        let what = || "deletions are still served below a lock".to_owned();
        context.waiting.pause(started, what).await?;
    }
}
