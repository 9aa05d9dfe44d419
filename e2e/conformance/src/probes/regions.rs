//! Which regions have no federated identity credentials.

use std::time::Instant;

use serde_json::json;

use super::context::{Context, put};
use crate::error::Error;
use crate::facts::{Fact, Verdict};

pub(super) async fn probe(context: &Context<'_>) -> Result<Vec<Fact>, Error> {
    let mut without = Vec::new();
    for (index, region) in context.regions.iter().enumerate() {
        let name = format!("region-{}", index + 1);
        let (identity, created) = context.create_identity(&name, region).await?;
        if is_without(context, &put(&identity, "first"), created).await? {
            without.push(region.clone());
        }
    }
    let assumed = &context.assumed.regions_without_credentials;
    let words = |regions: &[String]| match regions {
        [] => "none".to_owned(),
        regions => regions.join(", "),
    };
    let is_same = &without == assumed;
    Ok(vec![
        Fact {
            fact: format!("of {} regions, without credentials", context.regions.len()),
            assumed: words(assumed),
            seen: words(&without),
            verdict: if is_same {
                Verdict::Same
            } else {
                Verdict::Differs
            },
            detail: None,
            tunables: Vec::new(),
        }
        .with_tunable("regionsWithoutCredentials", json!(without)),
    ])
}

/// Whether a write is refused with 405. Other refusals pass: the identity is new.
async fn is_without(
    context: &Context<'_>,
    request: &crate::arm::Request,
    created: Instant,
) -> Result<bool, Error> {
    loop {
        let answer = context.arm.send(request).await?;
        if answer.status == 405 || answer.is_success() {
            return Ok(answer.status == 405);
        }
        if answer.is_about_rights() || answer.status >= 500 {
            return context.arm.refused("write a credential", answer);
        }
        let what = || format!("a new identity takes no credential ({answer})");
        context.waiting.pause(created, what).await?;
    }
}
