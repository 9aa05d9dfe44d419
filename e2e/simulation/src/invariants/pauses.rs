//! After a pause of years, of which a quarter of an hour is believed, one request asks whether it is over.

use azure_simulator::core::http::{Request, Response};
use jiff::SignedDuration;

use super::books::{Judge, Pause};
use crate::caller::Caller;
use crate::requests::{identity_of, operation};

/// After a pause that is not believed one request asks, and the others wait for its answer.
pub const ONE_ASKS: &str = "one-asks-after-a-pause-of-years";

/// What is believed of any wait.
pub const BELIEVED: SignedDuration = SignedDuration::from_mins(15);

/// For so long the others wait at the least: a little less than the operator has them wait.
const ASKING: SignedDuration = SignedDuration::from_secs(25);

/// A request that was let go may have to wait for a token first.
const SIGN_IN: SignedDuration = SignedDuration::from_secs(120);

/// How long the answer asks for a pause; what is no number of seconds is none, and more than is believed is cut.
pub(super) fn retry_after(response: &Response) -> Option<(SignedDuration, bool)> {
    let header = response.headers.get("retry-after")?.to_str().ok()?;
    let seconds: u64 = header.parse().ok()?;
    let wait = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    Some((wait.min(BELIEVED), wait > BELIEVED))
}

fn place(process: &Caller, request: &Request) -> (u32, String, &'static str) {
    let identity = identity_of(request);
    let subscription = identity.split('/').nth(2).unwrap_or_default();
    (process.number, subscription.to_owned(), operation(request))
}

/// A process asks for a token.
pub(super) fn signs_in(judge: Judge<'_>, process: &Caller) {
    let now = judge.shared.time.now();
    let mut books = judge.books();
    books.pauses.signed_in.insert(process.number, now);
}

pub(super) fn sent(judge: Judge<'_>, process: &Caller, request: &Request) {
    let shared = judge.shared;
    let now = shared.time.now();
    let identity = identity_of(request);
    let together = {
        let mut books = judge.books();
        let signed_in = books.pauses.signed_in.get(&process.number).copied();
        let Some(pause) = books.pauses.pauses.get_mut(&place(process, request)) else {
            return;
        };
        if now < pause.over || signed_in.is_some_and(|at| now < at + SIGN_IN) {
            return;
        }
        let other = pause.asking.as_ref();
        let together = other.is_some_and(|(who, at)| *who != identity && now < *at + ASKING);
        pause.asking = Some((identity, now));
        together
    };
    if together {
        let what = format!("{} {} while another asks", operation(request), request.path);
        shared.violated(ONE_ASKS, what);
    }
}

pub(super) fn answered(judge: Judge<'_>, process: &Caller, request: &Request, response: &Response) {
    let place = place(process, request);
    let now = judge.shared.time.now();
    let says_all =
        String::from_utf8_lossy(&response.body).contains("SubscriptionRequestsThrottled");
    let mut books = judge.books();
    let pauses = &mut books.pauses.pauses;
    match (response.status.as_u16(), retry_after(response)) {
        (429, Some((wait, true))) if says_all => {
            let over = now + wait;
            judge.shared.count("pause of years");
            pauses.insert(place, Pause { over, asking: None });
        }
        (300..=399 | 408 | 500.., _) => {
            if let Some(pause) = pauses.get_mut(&place) {
                pause.asking = None;
            }
        }
        _ => drop(pauses.remove(&place)),
    }
}

/// A request has no answer: the next one asks.
pub(super) fn lost(judge: Judge<'_>, process: &Caller, request: &Request) {
    let mut books = judge.books();
    if let Some(pause) = books.pauses.pauses.get_mut(&place(process, request)) {
        pause.asking = None;
    }
}
