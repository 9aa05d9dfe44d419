//! Where another write to the identity was in the way, a write is not sent again at once.

use azure_simulator::core::http::{Request, Response};
use jiff::SignedDuration;

use super::books::Judge;
use crate::caller::Caller;
use crate::names::short;
use crate::requests::{identity_of, operation};

/// After a refusal because of another write to the identity, the next write there leaves time.
pub const LEAVES_TIME: &str = "a-refused-write-leaves-time-to-others";

/// So much at the least.
const TIME: SignedDuration = SignedDuration::from_millis(200);

/// Of Azure's answer.
const CODE: &str = "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity";

fn is_write(request: &Request) -> bool {
    ["PUT", "DELETE"].contains(&operation(request))
}

pub(super) fn sent(judge: Judge<'_>, process: &Caller, request: &Request) {
    if !is_write(request) {
        return;
    }
    let (now, place) = (
        judge.shared.time.now(),
        (process.number, identity_of(request)),
    );
    let refused = judge.books().collided.get(&place).copied();
    if refused.is_some_and(|at| now < at + TIME) {
        let what = format!("{} of {}", operation(request), short(&place.1));
        judge.shared.violated(LEAVES_TIME, what);
    }
}

pub(super) fn answered(judge: Judge<'_>, process: &Caller, request: &Request, response: &Response) {
    let collided = is_write(request)
        && response.status.as_u16() == 409
        && String::from_utf8_lossy(&response.body).contains(CODE);
    if collided {
        judge.shared.count("collision");
        let now = judge.shared.time.now();
        let place = (process.number, identity_of(request));
        judge.books().collided.insert(place, now);
    }
}
