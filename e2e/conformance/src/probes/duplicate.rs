//! A second credential with the same issuer and subject.

use super::context::{Context, credential};
use crate::arm::Request;
use crate::error::Error;
use crate::facts::Fact;

const FACT: &str = "second credential of an issuer and subject";

pub(super) async fn probe(context: &Context<'_>) -> Result<Vec<Fact>, Error> {
    let identity = context.identity("duplicate").await?;
    let second = Request::put(identity.credential("second"), credential("first"));
    let answer = context.write(&second).await?;
    if answer.is_about_rights() {
        return context.arm.refused("write a credential", answer);
    }
    let assumed = &context.assumed.duplicate_credential_answer;
    Ok(vec![if answer.is_success() {
        Fact::fixed(
            FACT,
            &assumed.to_string(),
            &format!("{} taken", answer.status),
        )
    } else {
        Fact::answer(FACT, "duplicateCredentialAnswer", assumed, &answer.error())
    }])
}
