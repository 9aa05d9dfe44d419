//! Management locks on a subscription, a resource group or an identity.
//!
//! Source: Azure/azure-rest-api-specs, `Microsoft.Authorization`, `locks.json`.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::parse_body;
use super::error::{ArmError, ArmResult};
use super::paging;
use super::route::Target;
use crate::core::http::{Request, Response};
use crate::core::locks::{Lock, LockLevel};
use crate::core::state::State;

/// The body of a PUT.
#[derive(Debug, Deserialize)]
struct Body {
    properties: Properties,
}

#[derive(Debug, Deserialize)]
struct Properties {
    level: LockLevel,
    notes: Option<String>,
}

fn id(lock: &Lock) -> String {
    let scope = lock.scope.trim_end_matches('/');
    format!(
        "{scope}/providers/Microsoft.Authorization/locks/{}",
        lock.name
    )
}

fn body(lock: &Lock) -> Value {
    let mut properties = json!({"level": lock.level});
    if let Some(notes) = &lock.notes {
        properties["notes"] = json!(notes);
    }
    json!({
        "id": id(lock),
        "name": lock.name,
        "type": "Microsoft.Authorization/locks",
        "properties": properties,
    })
}

/// A lock can only be on what is there.
fn exists(state: &State, scope: &Target) -> ArmResult<()> {
    match scope {
        Target::ResourceGroup(path) => state.resource_group(path).map(drop),
        Target::Identity(path) => state.identity(path).map(drop),
        // Whether the subscription is there was looked at with the caller's role.
        _ => Ok(()),
    }
}

/// The locks on a scope and below it.
pub(crate) fn list(
    state: &State,
    scope: &Target,
    request: &Request,
    page_size: usize,
) -> ArmResult<Response> {
    exists(state, scope)?;
    let mut locks: Vec<(String, Value)> = state
        .locks
        .below(&scope.scope())
        .map(|lock| (id(lock).to_ascii_lowercase(), body(lock)))
        .collect();
    locks.sort_by(|(one, _), (other, _)| one.cmp(other));
    paging::page(request, page_size, locks)
}

pub(crate) fn get(state: &State, scope: &Target, name: &str) -> ArmResult<Response> {
    exists(state, scope)?;
    match state.locks.named(&scope.scope(), name) {
        Some(lock) => Ok(Response::json(StatusCode::OK, &body(lock))),
        None => Err(ArmError::new(
            StatusCode::NOT_FOUND,
            "LockNotFound",
            format!("The lock '{name}' could not be found."),
        )),
    }
}

/// PUT: 201 when it is new, 200 when it was there. `new_id` is the id of a new one in the control API.
pub(crate) fn put(
    state: &mut State,
    scope: &Target,
    name: &str,
    request: &Request,
    new_id: Uuid,
) -> ArmResult<Response> {
    let Body { properties } = parse_body(request)?;
    exists(state, scope)?;
    let existing = state.locks.named(&scope.scope(), name).cloned();
    let lock = Lock {
        id: existing.as_ref().map_or(new_id, |lock| lock.id),
        name: existing
            .as_ref()
            .map_or_else(|| name.to_owned(), |lock| lock.name.clone()),
        scope: scope.scope(),
        level: properties.level,
        notes: properties.notes,
    };
    let response = body(&lock);
    let status = match existing {
        Some(lock) => {
            state.locks.remove(lock.id);
            StatusCode::OK
        }
        None => StatusCode::CREATED,
    };
    state.locks.add(lock);
    Ok(Response::json(status, &response))
}

/// DELETE: 200 when it was there, 204 when not.
pub(crate) fn delete(state: &mut State, scope: &Target, name: &str) -> ArmResult<Response> {
    exists(state, scope)?;
    let id = state.locks.named(&scope.scope(), name).map(|lock| lock.id);
    Ok(Response::empty(match id {
        Some(id) => {
            state.locks.remove(id);
            StatusCode::OK
        }
        None => StatusCode::NO_CONTENT,
    }))
}
