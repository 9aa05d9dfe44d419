//! Resource groups.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::parse_body;
use super::error::{ArmError, ArmResult};
use super::ids::{fold, group_id};
use super::route::GroupPath;
use super::{locations, paging};
use crate::core::http::{Request, Response};
use crate::core::state::{ResourceGroup, State, Tags};

/// The body of a PUT.
#[derive(Debug, Deserialize)]
struct Body {
    location: Option<String>,
    tags: Option<Tags>,
}

fn body(subscription: Uuid, group: &ResourceGroup) -> Value {
    json!({
        "id": group_id(subscription, &group.name),
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "tags": group.tags,
        "properties": {"provisioningState": "Succeeded"},
    })
}

pub(crate) fn get(state: &State, path: &GroupPath) -> ArmResult<Response> {
    let group = state.resource_group(path)?;
    Ok(Response::json(
        StatusCode::OK,
        &body(path.subscription, group),
    ))
}

/// HEAD: 204 if it is there, 404 without a body if not.
pub(crate) fn check_existence(state: &State, path: &GroupPath) -> Response {
    Response::empty(match state.resource_group(path) {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::NOT_FOUND,
    })
}

pub(crate) fn list(
    state: &State,
    subscription: Uuid,
    request: &Request,
    page_size: usize,
) -> ArmResult<Response> {
    let groups = state
        .subscription(subscription)?
        .resource_groups
        .iter()
        .map(|(key, group)| (key.clone(), body(subscription, group)))
        .collect();
    paging::page(request, page_size, groups)
}

pub(crate) fn put(state: &mut State, path: &GroupPath, request: &Request) -> ArmResult<Response> {
    if !is_valid_name(&path.group) {
        return Err(ArmError::new(
            StatusCode::BAD_REQUEST,
            "InvalidResourceGroup",
            format!(
                "The provided resource group name '{}' has these invalid characters or ends with a period. The name can only be a letter, digit, '-', '.', '(', ')' or '_' and has at most 90 characters.",
                path.group
            ),
        ));
    }
    let Body { location, tags } = parse_body(request)?;
    let location = location.map(|l| locations::normal(&l));
    let groups = &mut state.subscription_mut(path.subscription)?.resource_groups;
    let key = fold(&path.group);
    let (status, group) = match groups.get_mut(&key) {
        Some(group) => {
            if location.is_some_and(|wanted| wanted != group.location) {
                return Err(ArmError::new(
                    StatusCode::CONFLICT,
                    "InvalidResourceGroupLocation",
                    format!(
                        "Invalid resource group location. The Resource group already exists in location '{}'.",
                        group.location
                    ),
                ));
            }
            group.tags = tags.unwrap_or_default();
            (StatusCode::OK, group)
        }
        None => {
            let location = location.ok_or_else(|| {
                ArmError::new(
                    StatusCode::BAD_REQUEST,
                    "LocationRequired",
                    "The location property is required for this definition.",
                )
            })?;
            locations::check(&location)?;
            let group = groups.entry(key).or_insert(ResourceGroup {
                name: path.group.clone(),
                location,
                tags: tags.unwrap_or_default(),
                identities: BTreeMap::new(),
            });
            (StatusCode::CREATED, group)
        }
    };
    Ok(Response::json(status, &body(path.subscription, group)))
}

/// Removes the group with all that is in it. Azure takes its time (202); the simulator is done at once (200, published too).
pub(crate) fn delete(state: &mut State, path: &GroupPath) -> ArmResult<Response> {
    state
        .subscription_mut(path.subscription)?
        .resource_groups
        .remove(&fold(&path.group))
        .map(|_| Response::empty(StatusCode::OK))
        .ok_or_else(|| ArmError::group_not_found(&path.group))
}

/// 1 to 90 letters, digits, `_-.()`, not ending in a period.
fn is_valid_name(name: &str) -> bool {
    (1..=90).contains(&name.chars().count())
        && !name.ends_with('.')
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "_-.()".contains(c))
}
