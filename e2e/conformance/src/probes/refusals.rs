//! Requests that are refused for how they are written. Each is about a row of the simulator's model, which its fact names.

use serde_json::json;

use super::context::{Context, credential};
use crate::arm::{GroupId, IdentityId, Request};
use crate::error::Error;
use crate::facts::Fact;

/// More characters than an issuer may have.
const TOO_MANY: usize = 601;

/// Versions of an API: of identities without credentials, and one that never was.
const WITHOUT_CREDENTIALS: &str = "2018-11-30";
const NEVER: &str = "2001-01-01";

pub(super) async fn probe(context: &Context<'_>) -> Result<Vec<Fact>, Error> {
    let identity = context.identity("refusals").await?;
    let mut facts = Vec::new();
    for (fact, assumed, request) in wrong(context.group, &identity) {
        let answer = context.write(&request).await?;
        if answer.is_about_rights() {
            return context.arm.refused(fact, answer);
        }
        facts.push(Fact::fixed(fact, assumed, &answer.brief()));
    }
    Ok(facts)
}

/// What each is about, the answer that is assumed, and the request.
fn wrong(group: &GroupId, identity: &IdentityId) -> Vec<(&'static str, &'static str, Request)> {
    let mut too_long = credential("long");
    too_long["properties"]["issuer"] = json!(format!("https://{}/", "x".repeat(TOO_MANY)));
    let mut incomplete = credential("incomplete");
    incomplete["properties"]["audiences"] = json!([]);
    vec![
        (
            "R3: a version that never was",
            "400 NoRegisteredProviderFound",
            Request::get(identity.id()).version(NEVER),
        ),
        (
            "R5: credentials in a version without them",
            "404 InvalidResourceType",
            Request::get(identity.credentials()).version(WITHOUT_CREDENTIALS),
        ),
        (
            "C5: a credential that is not there",
            "404 NotFound",
            Request::get(identity.credential("missing")),
        ),
        (
            "C7: a name that a credential cannot have",
            "400 BadRequest",
            Request::put(identity.credential("-x"), credential("named")),
        ),
        (
            "C8: a credential without audiences",
            "400 BadRequest",
            Request::put(identity.credential("incomplete"), incomplete),
        ),
        (
            "C10: an issuer of more than 600 characters",
            "400 BadRequest",
            Request::put(identity.credential("long"), too_long),
        ),
        (
            "I8: an identity without a location",
            "400 LocationRequired",
            Request::put(group.identity("nowhere").id(), json!({})),
        ),
        (
            "G6: the group with a long s (ſ) for an s",
            "404 ResourceGroupNotFound",
            Request::get(look_alike(group).identity("refusals").id()),
        ),
    ]
}

/// A group whose name differs by a letter that Unicode, but not .NET, takes for the same without case.
fn look_alike(group: &GroupId) -> GroupId {
    GroupId {
        subscription: group.subscription,
        name: group.name.replacen('s', "\u{17f}", 1),
    }
}
