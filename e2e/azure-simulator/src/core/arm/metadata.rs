//! `/metadata/endpoints`: where a client that knows only Resource Manager's URL finds the rest of a cloud.

use http::StatusCode;
use serde_json::{Value, json};

use super::api_version::ApiVersion;
use crate::core::Settings;
use crate::core::http::Response;

/// The document in the shape of its version: an object with other names in 2015, a list of clouds from 2018 on,
/// one cloud from 2022-09-01 on (the shape that `az cloud register` and Terraform read).
pub(crate) fn endpoints(settings: &Settings, version: &ApiVersion) -> Response {
    let body = match version.as_str() {
        version if version < "2018-01-01" => object_of_2015(settings),
        version if version < "2022-09-01" => json!([cloud(settings)]),
        _ => cloud(settings),
    };
    Response::json(StatusCode::OK, &body)
}

fn object_of_2015(settings: &Settings) -> Value {
    json!({
        "galleryEndpoint": settings.endpoints.arm(),
        "graphEndpoint": settings.endpoints.entra(),
        "portalEndpoint": settings.endpoints.arm(),
        "authentication": {
            "loginEndpoint": format!("{}/", settings.endpoints.entra()),
            "audiences": [format!("{}/", settings.endpoints.arm())],
        },
    })
}

fn cloud(settings: &Settings) -> Value {
    let (arm, entra) = (settings.endpoints.arm(), settings.endpoints.entra());
    json!({
        "name": "AzureSimulator",
        "portal": arm,
        "authentication": {
            "loginEndpoint": entra,
            "audiences": [format!("{arm}/"), arm],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "resourceManager": arm,
        "media": arm,
        "graph": entra,
        "graphAudience": format!("{entra}/"),
        "microsoftGraphResourceId": format!("{entra}/"),
        "batch": arm,
        "sqlManagement": arm,
        "gallery": arm,
        "vmImageAliasDoc": arm,
        "activeDirectoryDataLake": arm,
        "suffixes": {
            "storage": "core.simulator.invalid",
            "keyVaultDns": "vault.simulator.invalid",
            "sqlServerHostname": "database.simulator.invalid",
            "acrLoginServer": "azurecr.simulator.invalid",
        },
    })
}
