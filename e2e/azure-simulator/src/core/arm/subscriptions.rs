//! Tenants, subscriptions and the managed identity provider's own descriptions.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::api_version::{CREDENTIAL_VERSIONS, IDENTITY_VERSIONS};
use super::authentication::Caller;
use super::error::{ArmError, ArmResult};
use super::ids::{NAMESPACE, subscription_id};
use super::locations;
use crate::core::Settings;
use crate::core::http::Response;
use crate::core::state::{State, Subscription};

/// `GET /tenants`: the one tenant of the simulator.
pub(crate) fn tenants(settings: &Settings) -> Response {
    let tenant = settings.tenant;
    Response::json(
        StatusCode::OK,
        &json!({"value": [{
            "id": format!("/tenants/{tenant}"),
            "tenantId": tenant,
            "displayName": "Azure simulator",
            "defaultDomain": "simulator.invalid",
            "countryCode": "NO",
            "tenantCategory": "Home",
            "tenantType": "AAD",
            "domains": ["simulator.invalid"],
        }]}),
    )
}

/// `GET /subscriptions`: those in which the caller has a role.
pub(crate) fn list(state: &State, settings: &Settings, caller: Caller, now: Timestamp) -> Response {
    let value: Vec<Value> = state
        .subscriptions
        .iter()
        .filter(|(id, _)| {
            state
                .role_grants
                .show_subscription(caller.object_id, **id, now)
        })
        .map(|(id, subscription)| body(settings, *id, subscription))
        .collect();
    let count = json!({"type": "Total", "value": value.len()});
    Response::json(StatusCode::OK, &json!({"value": value, "count": count}))
}

/// `GET /subscriptions/{id}`.
pub(crate) fn get(
    state: &State,
    settings: &Settings,
    id: Uuid,
    caller: Caller,
    now: Timestamp,
) -> ArmResult<Response> {
    let subscription = state
        .subscriptions
        .get(&id)
        .ok_or_else(|| ArmError::subscription_not_found(id))?;
    if !state
        .role_grants
        .show_subscription(caller.object_id, id, now)
    {
        return Err(ArmError::authorization_failed(
            caller.client_id,
            caller.object_id,
            "Microsoft.Resources/subscriptions/read",
            &subscription_id(id),
        ));
    }
    Ok(Response::json(
        StatusCode::OK,
        &body(settings, id, subscription),
    ))
}

fn body(settings: &Settings, id: Uuid, subscription: &Subscription) -> Value {
    json!({
        "id": subscription_id(id),
        "subscriptionId": id,
        "tenantId": settings.tenant,
        "displayName": subscription.display_name,
        "state": "Enabled",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    })
}

/// `GET /subscriptions/{id}/providers/Microsoft.ManagedIdentity`.
pub(crate) fn provider(subscription: Uuid) -> Response {
    let locations = locations::names();
    let kind = |name: &str, versions: &[&str], locations: &[String], capabilities: &str| {
        json!({
            "resourceType": name,
            "apiVersions": versions.iter().rev().collect::<Vec<_>>(),
            "locations": locations,
            "capabilities": capabilities,
        })
    };
    Response::json(
        StatusCode::OK,
        &json!({
            "id": format!("{}/providers/{NAMESPACE}", subscription_id(subscription)),
            "namespace": NAMESPACE,
            "registrationState": "Registered",
            "registrationPolicy": "RegistrationRequired",
            "resourceTypes": [
                kind("userAssignedIdentities", IDENTITY_VERSIONS, &locations, "SupportsTags, SupportsLocation"),
                kind("userAssignedIdentities/federatedIdentityCredentials", CREDENTIAL_VERSIONS, &locations, "None"),
                kind("operations", IDENTITY_VERSIONS, &[], "None"),
            ],
        }),
    )
}

/// `GET /providers/Microsoft.ManagedIdentity/operations`.
pub(crate) fn provider_operations() -> Response {
    let operation = |kind: &str, resource: &str, verb: &str, description: &str| {
        json!({
            "name": format!("{NAMESPACE}/{kind}/{verb}"),
            "display": {
                "provider": "Microsoft Managed Identity",
                "resource": resource,
                "operation": description,
                "description": description,
            },
        })
    };
    let mut value = Vec::new();
    for (kind, resource) in [
        ("userAssignedIdentities", "User Assigned Identity"),
        (
            "userAssignedIdentities/federatedIdentityCredentials",
            "Federated Identity Credential",
        ),
    ] {
        for (verb, what) in [
            ("read", "Get"),
            ("write", "Create or update"),
            ("delete", "Delete"),
        ] {
            value.push(operation(
                kind,
                resource,
                verb,
                &format!("{what} {resource}"),
            ));
        }
    }
    Response::json(StatusCode::OK, &json!({"value": value}))
}
