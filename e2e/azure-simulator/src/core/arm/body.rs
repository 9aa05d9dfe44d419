//! The body of a request, as Resource Manager reads it.

use serde::de::DeserializeOwned;

use super::error::{ArmError, ArmResult};
use crate::core::http::Request;

/// Reads a JSON body: an object, with an object as its properties. Serde alone would take arrays in their place, with the
/// fields in the order of the type.
pub(super) fn parse_body<T: DeserializeOwned>(request: &Request) -> ArmResult<T> {
    let invalid = |e: serde_json::Error| ArmError::invalid_content(&e.to_string());
    let body: serde_json::Value = serde_json::from_slice(&request.body).map_err(invalid)?;
    if !body.is_object() || body.get("properties").is_some_and(|it| it.is_array()) {
        return Err(ArmError::invalid_content("an object was expected"));
    }
    serde_json::from_slice(&request.body).map_err(invalid)
}
