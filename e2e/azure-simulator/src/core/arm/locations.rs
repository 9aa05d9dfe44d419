//! The regions that every subscription of the simulator can use.

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::{ArmError, ArmResult};
use super::ids::subscription_id;
use crate::core::http::Response;

/// As people see them; without spaces and in lower case they are the names that resources carry.
const DISPLAY_NAMES: [&str; 25] = [
    "East US",
    "East US 2",
    "East US 2 EUAP",
    "West US",
    "West US 2",
    "West US 3",
    "Central US",
    "West Central US",
    "North Central US",
    "South Central US",
    "North Europe",
    "West Europe",
    "UK South",
    "France Central",
    "Germany West Central",
    "Sweden Central",
    "Switzerland North",
    "Norway East",
    "Southeast Asia",
    "East Asia",
    "Japan East",
    "Australia East",
    "Canada Central",
    "Brazil South",
    "Central India",
];

/// All names, such as `westeurope`.
pub(crate) fn names() -> Vec<String> {
    DISPLAY_NAMES.iter().map(|name| normal(name)).collect()
}

/// `West Europe` and `westeurope` are one location.
pub(crate) fn normal(location: &str) -> String {
    location.to_ascii_lowercase().replace(' ', "")
}

/// Refuses a location (in its normal form) that there is not.
pub(crate) fn check(location: &str) -> ArmResult<()> {
    let names = names();
    if names.iter().any(|name| name == location) {
        return Ok(());
    }
    Err(ArmError::new(
        StatusCode::BAD_REQUEST,
        "LocationNotAvailableForResourceType",
        format!(
            "The provided location '{location}' is not available for this resource type. List of available regions for the resource type is '{}'.",
            names.join(",")
        ),
    ))
}

/// `GET /subscriptions/{id}/locations`: where `az` looks a display name up.
pub(crate) fn list(subscription: Uuid) -> Response {
    let value: Vec<Value> = DISPLAY_NAMES
        .iter()
        .map(|display_name| {
            let name = normal(display_name);
            json!({
                "id": format!("{}/locations/{name}", subscription_id(subscription)),
                "name": name,
                "type": "Region",
                "displayName": display_name,
                "regionalDisplayName": display_name,
                "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
            })
        })
        .collect();
    Response::json(StatusCode::OK, &json!({"value": value}))
}
