//! The provider's limits of requests. The simulator has none unless they are set; what is published is 0.5 GET, 0.25 LIST and
//! 0.25 PUT a second for a resource.

use std::time::Instant;

use serde_json::json;

use super::context::Context;
use crate::arm::{Answer, IdentityId, Request};
use crate::assumed::{SENDS_RETRY_AFTER, THROTTLED_CODE};
use crate::error::Error;
use crate::facts::{Fact, Verdict};

/// So many requests of a kind are sent, one after the other, until one is refused.
const REQUESTS: usize = 60;

/// The first refusal.
#[derive(Debug)]
struct Refusal {
    served: usize,
    seconds: f64,
    answer: Answer,
}

pub(super) async fn probe(context: &Context<'_>) -> Result<Vec<Fact>, Error> {
    let (identity, _) = context
        .create_identity("throttling", context.location)
        .await?;
    let mut facts = Vec::new();
    let mut refusals = Vec::new();
    for (kind, request) in kinds(&identity, context.location) {
        let refusal = first_refusal(context, &request).await?;
        facts.push(limit(kind, refusal.as_ref()));
        refusals.extend(refusal);
    }
    facts.extend(refusals.first().map(answer).unwrap_or_default());
    Ok(facts)
}

fn kinds(identity: &IdentityId, location: &str) -> [(&'static str, Request); 3] {
    [
        ("GET", Request::get(identity.id())),
        ("LIST", Request::get(identity.credentials())),
        (
            "PUT",
            Request::put(identity.id(), json!({"location": location})),
        ),
    ]
}

async fn first_refusal(context: &Context<'_>, request: &Request) -> Result<Option<Refusal>, Error> {
    let started = Instant::now();
    for served in 0..REQUESTS {
        let answer = context.arm.send_once(request).await?;
        if answer.status == 429 {
            return Ok(Some(Refusal {
                served,
                seconds: started.elapsed().as_secs_f64(),
                answer,
            }));
        }
        if !answer.is_success() {
            return context.arm.refused("ask for the limits", answer);
        }
    }
    Ok(None)
}

fn limit(kind: &str, refusal: Option<&Refusal>) -> Fact {
    let seen = match refusal {
        Some(Refusal {
            served, seconds, ..
        }) => format!("429 after {served} in {seconds:.1} s"),
        None => format!("{REQUESTS} are served"),
    };
    Fact {
        fact: format!("many {kind} on an identity"),
        assumed: "all are served".to_owned(),
        seen,
        verdict: if refusal.is_some() {
            Verdict::Differs
        } else {
            Verdict::Same
        },
        detail: None,
        tunables: Vec::new(),
    }
    .with_tunable("throttling", json!({}))
}

fn answer(refusal: &Refusal) -> Vec<Fact> {
    let answer = &refusal.answer;
    let code = Fact::value(
        "429: code",
        "throttling",
        &THROTTLED_CODE.to_owned(),
        &answer.code().to_owned(),
    );
    let sends = answer.retry_after.is_some();
    let header = match &answer.retry_after {
        Some(seconds) => format!("true, {seconds} s"),
        None => "false".to_owned(),
    };
    let sends = Fact::value(
        "429: has Retry-After",
        "throttling",
        &SENDS_RETRY_AFTER,
        &sends,
    );
    vec![
        in_throttling(code, "providerCode"),
        in_throttling(sends, "sendsRetryAfter").seen_as(header),
    ]
}

/// The settings of `throttling` are in an object of their own.
fn in_throttling(mut fact: Fact, name: &str) -> Fact {
    for (_, value) in &mut fact.tunables {
        *value = json!({name: value.clone()});
    }
    fact
}
