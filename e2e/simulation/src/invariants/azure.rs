//! What the operator asks of Azure, as it is noted and judged.

use azure_simulator::core::http::{Request, Response, Service};

use super::books::Judge;
use super::one_writer::ONE_WRITER;
use super::ours::OURS;
use super::{contention, grants, looks, neighbours, newcomers, ours, pauses, slots};
use crate::caller::Caller;
use crate::names::short;
use crate::requests::{Effect, credential_in, identity_of, operation};
use crate::trace::lock;

/// No two writes of one process execute on one identity at once.
pub const ONE_WRITE: &str = "one-write-at-a-time";
/// Nothing is asked before the time that Azure has set.
pub const RETRY_AFTER: &str = "no-request-before-its-time";

/// So late a request can have its effect that nobody waits for any more.
const LATE: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// A request of a process is about to leave it.
pub(super) fn sent(judge: Judge<'_>, process: &Caller, request: &Request) {
    if request.service != Service::ResourceManager {
        return pauses::signs_in(judge, process);
    }
    let shared = judge.shared;
    pauses::sent(judge, process, request);
    contention::sent(judge, process, request);
    neighbours::sent(judge, process, request);
    newcomers::asked(judge, request);
    looks::reads(judge, process, request);
    let place = (process.number, identity_of(request), operation(request));
    let until = {
        let mut books = judge.books();
        // Sent again with another token, it is the request that was sent before, whatever another has been told meanwhile.
        let is_sent_again = books.token_refused.remove(&place);
        let until = books.told_to_wait.get(&place).copied();
        until.filter(|_| !is_sent_again)
    };
    if until.is_some_and(|until| shared.time.now() < until) {
        let what = format!(
            "{} of {} before the time that Azure set",
            place.2,
            short(&place.1)
        );
        shared.violated(RETRY_AFTER, what);
    }
}

/// A process has an answer.
pub(super) fn answered(judge: Judge<'_>, process: &Caller, request: &Request, response: &Response) {
    let shared = judge.shared;
    shared.trace.note(format!(
        "azure {} {}: {}",
        request.method,
        short(&request.path),
        response.status
    ));
    shared.count(format!(
        "answer {} {}",
        operation(request),
        response.status.as_u16()
    ));
    if response.status.as_u16() == 401 {
        let place = (process.number, identity_of(request), operation(request));
        judge.books().token_refused.insert(place);
    }
    if request.service != Service::ResourceManager {
        return;
    }
    if response.status.is_success() {
        // It may have left a moment before what it has seen.
        newcomers::asked(judge, request);
    }
    pauses::answered(judge, process, request, response);
    contention::answered(judge, process, request, response);
    neighbours::answered(judge, process, request, response);
    let wait = pauses::retry_after(response).filter(|_| !response.status.is_success());
    let Some((wait, _)) = wait else {
        return;
    };
    let place = (process.number, identity_of(request), operation(request));
    let until = shared.time.now() + wait;
    judge.books().told_to_wait.insert(place, until);
}

/// A request has arrived at Azure.
pub(super) fn arrived(judge: Judge<'_>, process: &Caller, id: u64, request: &Request) {
    let shared = judge.shared;
    let (other, name, has_effect) = {
        let azure = lock(&shared.azure);
        let other = azure.request(id).and_then(|record| record.overlaps);
        let record = other.and_then(|it| azure.request(it));
        let effect = record.and_then(|it| it.effect);
        let name = record.and_then(|it| credential_in(&it.path));
        let has_effect = effect.is_some_and(|at| at <= shared.time.now());
        (other, name, has_effect)
    };
    let mut books = judge.books();
    books.sent_by.insert(id, process.number);
    let before = other.and_then(|other| books.sent_by.get(&other).copied());
    // What somebody else does to the same credential meanwhile looks as if our own write were over.
    let touched = books.credential_touched(&identity_of(request), name.as_deref());
    let before = before.filter(|_| touched.is_none_or(|at| at + LATE < shared.time.now()));
    drop(books);
    if other.is_some() {
        shared.count("overlapping write");
    }
    let invariant = match before {
        Some(before) if before == process.number => ONE_WRITE,
        // One that has had its effect can be seen to be over.
        Some(_) if shared.replicas > 1 && !has_effect => ONE_WRITER,
        _ => return,
    };
    let what = format!(
        "{} {} of {} while another write, of {before:?}, executes",
        request.method,
        short(&request.path),
        process.number
    );
    shared.violated(invariant, what);
}

/// A request has had its effect, or has been refused.
pub(super) fn had_effect(judge: Judge<'_>, process: &Caller, effect: &Effect<'_>) {
    let Effect {
        azure,
        id,
        request,
        before,
    } = *effect;
    let shared = judge.shared;
    if request.service != Service::ResourceManager {
        return;
    }
    slots::within_the_limit(shared, azure);
    slots::look(judge, azure);
    let (Some(name), Some(record)) = (&before.name, azure.request(id)) else {
        return;
    };
    if *request.method.as_str() == *"GET" {
        let lag = jiff::SignedDuration::from_secs(
            i64::try_from(azure.settings().tunables.read_lag_seconds).unwrap_or_default(),
        );
        let seen = (process.number, name.clone());
        judge.books().seen.insert(seen, shared.time.now() - lag);
    }
    if record.effect.is_none() {
        return;
    }
    let after = azure
        .identity(&before.identity)
        .and_then(|it| it.credentials.get(name));
    if after == before.credential.as_ref() {
        return;
    }
    shared.trace.note(format!(
        "effect of {} {}",
        request.method,
        short(&request.path)
    ));
    shared.count(format!("effect {}", request.method));
    let account = shared.accounts.get(name).cloned();
    let Some((namespace, account)) = account else {
        return shared.violated(
            OURS,
            format!("{} of {name}, which is no binding's", request.method),
        );
    };
    match after {
        None => ours::deleted(judge, process, before, &namespace, &account),
        Some(after) => {
            let used = azure
                .identity(&before.identity)
                .map_or(0, |it| it.credentials.len());
            if before.credential.is_none() {
                slots::created(judge, process, &before.identity, used);
                let owner = (&*namespace, &*account);
                grants::created(judge, process, azure, &before.identity, owner);
            }
            let free = shared.limit.saturating_sub(used);
            ours::written(judge, process, before, after, free, &namespace, &account);
        }
    }
}

/// A process has lost the answer to a request.
pub(super) fn lost(judge: Judge<'_>, process: &Caller, request: &Request) {
    if request.service == Service::ResourceManager {
        pauses::lost(judge, process, request);
        neighbours::lost(judge, process, request);
    }
}
