//! User-assigned managed identities.

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::api_version::ApiVersion;
use super::body::parse_body;
use super::error::{ArmError, ArmResult};
use super::ids::identity_id;
use super::route::{GroupPath, IdentityPath};
use super::{locations, paging};
use crate::core::http::{Request, Response};
use crate::core::random::Random;
use crate::core::state::{Identity, ResourceGroup, State, Tags};

/// The body of a PUT or a PATCH.
#[derive(Debug, Deserialize)]
struct Body {
    location: Option<String>,
    tags: Option<Tags>,
    properties: Option<Properties>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    isolation_scope: Option<String>,
}

/// An identity as the provider shows it.
fn body(
    tenant: Uuid,
    subscription: Uuid,
    group: &str,
    identity: &Identity,
    version: &ApiVersion,
) -> Value {
    let mut properties = json!({
        "tenantId": tenant,
        "principalId": identity.principal_id,
        "clientId": identity.client_id,
    });
    if version.has_isolation_scope() {
        let scope = identity.isolation_scope.as_deref();
        properties["isolationScope"] = json!(scope.unwrap_or("None"));
    }
    json!({
        "id": identity_id(subscription, group, &identity.name),
        "name": identity.name,
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
        "location": identity.location,
        "tags": identity.tags,
        "properties": properties,
    })
}

/// What every operation on identities needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) tenant: Uuid,
    pub(crate) request: &'a Request,
    pub(crate) version: &'a ApiVersion,
    pub(crate) page_size: usize,
    pub(crate) now: Timestamp,
}

impl Context<'_> {
    fn body(&self, subscription: Uuid, group: &ResourceGroup, identity: &Identity) -> Value {
        body(
            self.tenant,
            subscription,
            &group.name,
            identity,
            self.version,
        )
    }
}

pub(crate) fn get(state: &State, path: &IdentityPath, context: Context<'_>) -> ArmResult<Response> {
    let group = state.resource_group(&path.group)?;
    let identity = state.identity(path)?;
    Ok(Response::json(
        StatusCode::OK,
        &context.body(path.group.subscription, group, identity),
    ))
}

pub(crate) fn list_in_group(
    state: &State,
    path: &GroupPath,
    context: Context<'_>,
) -> ArmResult<Response> {
    let group = state.resource_group(path)?;
    let entries = group
        .identities
        .iter()
        .map(|(key, identity)| {
            (
                key.clone(),
                context.body(path.subscription, group, identity),
            )
        })
        .collect();
    paging::page(context.request, context.page_size, entries)
}

pub(crate) fn list_in_subscription(
    state: &State,
    subscription: Uuid,
    context: Context<'_>,
) -> ArmResult<Response> {
    let groups = &state.subscription(subscription)?.resource_groups;
    let mut entries: Vec<(String, Value)> = groups
        .iter()
        .flat_map(|(group_key, group)| {
            group.identities.iter().map(move |(key, identity)| {
                (
                    format!("{group_key}/{key}"),
                    context.body(subscription, group, identity),
                )
            })
        })
        .collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    paging::page(context.request, context.page_size, entries)
}

/// PUT: 201 with `Location` when it is new, 200 when it was there; the ids of one that was there stay.
pub(crate) fn put(
    state: &mut State,
    path: &IdentityPath,
    context: Context<'_>,
    random: &mut Random,
) -> ArmResult<Response> {
    if !is_valid_name(&path.name) {
        return Err(ArmError::bad_request(format!(
            "The identity name '{}' is invalid. It must have 3 to 128 letters, digits, '-' or '_' and start with a letter or digit.",
            path.name
        )));
    }
    let wanted: Body = parse_body(context.request)?;
    let location = wanted
        .location
        .map(|l| locations::normal(&l))
        .ok_or_else(|| {
            ArmError::new(
                StatusCode::BAD_REQUEST,
                "LocationRequired",
                "The location property is required for this definition.",
            )
        })?;
    locations::check(&location)?;
    let isolation_scope = wanted.properties.and_then(|p| p.isolation_scope);
    let group = state.resource_group_mut(&path.group)?;
    let (group_name, key) = (group.name.clone(), path.name.to_ascii_lowercase());
    let status = match group.identities.get_mut(&key) {
        Some(identity) if identity.location != location => {
            return Err(ArmError::new(
                StatusCode::CONFLICT,
                "InvalidResourceLocation",
                format!(
                    "The resource '{}' already exists in location '{}' in resource group '{group_name}'. A resource with the same name cannot be created in location '{location}'. Please select a new resource name.",
                    identity.name, identity.location
                ),
            ));
        }
        Some(identity) => {
            identity.tags = wanted.tags.unwrap_or_default();
            if isolation_scope.is_some() {
                identity.isolation_scope = isolation_scope;
            }
            StatusCode::OK
        }
        None => {
            let identity = Identity {
                name: path.name.clone(),
                location,
                tags: wanted.tags.unwrap_or_default(),
                client_id: random.guid(),
                principal_id: random.guid(),
                isolation_scope,
                credentials: BTreeMap::new(),
                created: Some(context.now),
            };
            group.identities.insert(key, identity);
            StatusCode::CREATED
        }
    };
    let response = get(state, path, context)?;
    let id = identity_id(path.group.subscription, &group_name, &path.name);
    Ok(if status == StatusCode::CREATED {
        Response { status, ..response }.with_header("location", &id)
    } else {
        response
    })
}

/// PATCH: replaces the tags if the body has any; nothing else of an identity can change.
pub(crate) fn patch(
    state: &mut State,
    path: &IdentityPath,
    context: Context<'_>,
) -> ArmResult<Response> {
    let wanted: Body = parse_body(context.request)?;
    let identity = state.identity_mut(path)?;
    if let Some(tags) = wanted.tags {
        identity.tags = tags;
    }
    if let Some(scope) = wanted.properties.and_then(|p| p.isolation_scope) {
        identity.isolation_scope = Some(scope);
    }
    get(state, path, context)
}

/// DELETE: 200 with its credentials gone, 204 if it was not there.
pub(crate) fn delete(state: &mut State, path: &IdentityPath) -> ArmResult<Response> {
    let group = state.resource_group_mut(&path.group)?;
    let removed = group.identities.remove(&path.name.to_ascii_lowercase());
    Ok(Response::empty(match removed {
        Some(_) => StatusCode::OK,
        None => StatusCode::NO_CONTENT,
    }))
}

/// 3 to 128 characters: letters, digits, `-`, `_`, first a letter or digit.
fn is_valid_name(name: &str) -> bool {
    (3..=128).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}
