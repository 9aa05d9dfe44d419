//! The control API: plain http on a loopback listener of its own.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::pipeline::Shared;
use crate::control::api::{
    ControlRefusal, Created, CredentialFixture, DenyAssignment, Fault, Hold, HoldStatus,
    IdentityFixture, Latency, Lock, NewDenyAssignment, NewIdentity, NewIssuer, NewLock,
    NewPolicyDenial, NewRoleAssignment, NewServicePrincipal, PolicyDenial, PropagationDelay,
    RegisteredIssuer, RequestRecord, ResourceGroupFixture, RoleAssignment, RuleId, SeenSecret,
    ServicePrincipalFixture, SubscriptionFixture, Tunables,
};
use crate::core::interference::RuleError;
use crate::core::state::ServicePrincipal;
use crate::core::{DEFAULT_LOCATION, FixtureError};

/// How long a question about a hold waits for the request at most.
const LONGEST_POLL: Duration = Duration::from_secs(60);

type Core = State<Arc<Shared>>;

/// A control request that cannot be done.
enum Refusal {
    NotFound(String),
    Invalid(String),
}

impl From<FixtureError> for Refusal {
    fn from(error: FixtureError) -> Self {
        Self::NotFound(error.to_string())
    }
}

impl From<RuleError> for Refusal {
    fn from(error: RuleError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::NotFound(error) => (StatusCode::NOT_FOUND, error),
            Self::Invalid(error) => (StatusCode::BAD_REQUEST, error),
        };
        (status, Json(ControlRefusal { error })).into_response()
    }
}

/// All routes.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/subscriptions", post(create_subscription))
        .route("/resource-groups", post(create_resource_group))
        .route("/identities", post(create_identity))
        .route("/identities/recreate", post(recreate_identity))
        .route("/credentials", post(put_credential))
        .route("/service-principals", post(create_service_principal))
        .route("/issuers", post(register_issuer))
        .route("/role-assignments", get(role_assignments).post(assign_role))
        .route("/role-assignments/{id}", delete(delete_role_assignment))
        .route(
            "/deny-assignments",
            get(deny_assignments).post(assign_denial),
        )
        .route("/deny-assignments/{id}", delete(delete_denial))
        .route("/locks", get(locks).post(lock))
        .route("/locks/{id}", delete(unlock))
        .route("/policy-denials", get(policy_denials).post(deny))
        .route("/policy-denials/{id}", delete(allow))
        .route("/requests", get(requests).delete(clear_log))
        .route("/secrets", get(secrets))
        .route("/faults", post(add_fault))
        .route("/faults/{id}", delete(remove_fault))
        .route("/latencies", put(set_latencies))
        .route("/propagation-delay", put(set_propagation_delay))
        .route("/tunables", get(tunables).put(set_tunables))
        .route("/holds", post(add_hold))
        .route("/holds/{id}", get(hold_state).delete(remove_hold))
        .route("/holds/{id}/release", post(release_hold))
        .route("/reset", post(reset))
        .with_state(shared)
}

async fn create_subscription(
    State(shared): Core,
    Json(body): Json<SubscriptionFixture>,
) -> StatusCode {
    let name = body.display_name.as_deref().unwrap_or("Azure simulator");
    shared
        .azure()
        .create_subscription(body.subscription_id, name);
    StatusCode::NO_CONTENT
}

async fn create_resource_group(
    State(shared): Core,
    Json(body): Json<ResourceGroupFixture>,
) -> Result<StatusCode, Refusal> {
    let mut azure = shared.azure();
    let subscription = body
        .subscription_id
        .unwrap_or(azure.settings().subscription);
    let location = body.location.as_deref().unwrap_or(DEFAULT_LOCATION);
    azure.create_resource_group(subscription, &body.name, location)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn create_identity(
    State(shared): Core,
    Json(body): Json<IdentityFixture>,
) -> Result<Json<NewIdentity>, Refusal> {
    let mut azure = shared.azure();
    let subscription = body
        .subscription_id
        .unwrap_or(azure.settings().subscription);
    Ok(Json(azure.create_identity(
        subscription,
        &body.resource_group,
        &body.name,
    )?))
}

async fn recreate_identity(
    State(shared): Core,
    Json(body): Json<IdentityFixture>,
) -> Result<Json<NewIdentity>, Refusal> {
    let mut azure = shared.azure();
    let subscription = body
        .subscription_id
        .unwrap_or(azure.settings().subscription);
    Ok(Json(azure.recreate_identity(
        subscription,
        &body.resource_group,
        &body.name,
        Timestamp::now(),
    )?))
}

async fn put_credential(
    State(shared): Core,
    Json(body): Json<CredentialFixture>,
) -> Result<StatusCode, Refusal> {
    let mut azure = shared.azure();
    let subscription = body
        .subscription_id
        .unwrap_or(azure.settings().subscription);
    azure.put_credential(
        subscription,
        &body.resource_group,
        &body.identity,
        body.credential,
        Timestamp::now(),
    )?;
    Ok(StatusCode::NO_CONTENT)
}

async fn create_service_principal(
    State(shared): Core,
    Json(body): Json<ServicePrincipalFixture>,
) -> Json<NewServicePrincipal> {
    let principal = ServicePrincipal {
        client_id: body.client_id,
        secret: body.secret,
    };
    let object_id = shared
        .azure()
        .create_service_principal(principal, body.federated_credentials);
    Json(NewServicePrincipal { object_id })
}

async fn register_issuer(
    State(shared): Core,
    Json(body): Json<NewIssuer>,
) -> Json<RegisteredIssuer> {
    let issuer = shared
        .azure()
        .register_issuer(body.path.as_deref(), body.jwks);
    Json(RegisteredIssuer { issuer })
}

async fn assign_role(
    State(shared): Core,
    Json(body): Json<NewRoleAssignment>,
) -> Json<Created<Uuid>> {
    let id =
        shared
            .azure()
            .assign_role_at(&body.scope, body.role, body.principal, Timestamp::now());
    Json(Created { id })
}

async fn role_assignments(State(shared): Core) -> Json<Vec<RoleAssignment>> {
    Json(shared.azure().role_assignments())
}

async fn delete_role_assignment(
    State(shared): Core,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Refusal> {
    let was_there = shared
        .azure()
        .delete_role_assignment_at(id, Timestamp::now());
    found(was_there, || format!("no role assignment {id}"))
}

async fn locks(State(shared): Core) -> Json<Vec<Lock>> {
    Json(shared.azure().locks().to_vec())
}

async fn deny_assignments(State(shared): Core) -> Json<Vec<DenyAssignment>> {
    Json(shared.azure().deny_assignments().to_vec())
}

async fn assign_denial(
    State(shared): Core,
    Json(body): Json<NewDenyAssignment>,
) -> Json<Created<Uuid>> {
    let actions: Vec<_> = body.actions.iter().map(String::as_str).collect();
    let id = shared.azure().assign_denial(&body.scope, &actions);
    Json(Created { id })
}

async fn delete_denial(State(shared): Core, Path(id): Path<Uuid>) -> Result<StatusCode, Refusal> {
    found(shared.azure().delete_denial(id), || {
        format!("no deny assignment {id}")
    })
}

async fn lock(State(shared): Core, Json(body): Json<NewLock>) -> Json<Created<Uuid>> {
    let id = shared.azure().lock(&body.scope, body.level);
    Json(Created { id })
}

async fn unlock(State(shared): Core, Path(id): Path<Uuid>) -> Result<StatusCode, Refusal> {
    found(shared.azure().unlock(id), || format!("no lock {id}"))
}

async fn policy_denials(State(shared): Core) -> Json<Vec<PolicyDenial>> {
    Json(shared.azure().policy_denials().to_vec())
}

async fn deny(State(shared): Core, Json(body): Json<NewPolicyDenial>) -> Json<Created<Uuid>> {
    let id = shared.azure().deny_by_policy(&body.scope);
    Json(Created { id })
}

async fn allow(State(shared): Core, Path(id): Path<Uuid>) -> Result<StatusCode, Refusal> {
    found(shared.azure().allow_by_policy(id), || {
        format!("no policy denial {id}")
    })
}

fn found(was_there: bool, otherwise: impl FnOnce() -> String) -> Result<StatusCode, Refusal> {
    if was_there {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refusal::NotFound(otherwise()))
    }
}

async fn requests(State(shared): Core) -> Json<Vec<RequestRecord>> {
    Json(shared.azure().requests().to_vec())
}

async fn clear_log(State(shared): Core) -> StatusCode {
    shared.azure().clear_log();
    StatusCode::NO_CONTENT
}

async fn secrets(State(shared): Core) -> Json<Vec<SeenSecret>> {
    Json(shared.azure().secrets().to_vec())
}

async fn add_fault(
    State(shared): Core,
    Json(fault): Json<Fault>,
) -> Result<Json<Created<RuleId>>, Refusal> {
    let id = shared.azure().add_fault(fault)?;
    Ok(Json(Created { id }))
}

async fn remove_fault(State(shared): Core, Path(id): Path<RuleId>) -> StatusCode {
    shared.azure().remove_fault(id);
    StatusCode::NO_CONTENT
}

async fn set_latencies(
    State(shared): Core,
    Json(latencies): Json<Vec<Latency>>,
) -> Result<StatusCode, Refusal> {
    shared.azure().set_latencies(latencies)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_propagation_delay(
    State(shared): Core,
    Json(delay): Json<PropagationDelay>,
) -> StatusCode {
    let mut azure = shared.azure();
    let tunables = Tunables {
        propagation_delay_seconds: delay.seconds,
        ..azure.settings().tunables.clone()
    };
    azure.set_tunables(tunables);
    StatusCode::NO_CONTENT
}

async fn tunables(State(shared): Core) -> Json<Tunables> {
    Json(shared.azure().settings().tunables.clone())
}

async fn set_tunables(State(shared): Core, Json(tunables): Json<Tunables>) -> StatusCode {
    shared.azure().set_tunables(tunables);
    StatusCode::NO_CONTENT
}

async fn add_hold(
    State(shared): Core,
    Json(hold): Json<Hold>,
) -> Result<Json<Created<RuleId>>, Refusal> {
    let mut azure = shared.azure();
    let id = azure.add_hold(hold)?;
    // Under the core's lock: no request can be chosen before the hold can hold it.
    shared.holds.add(id);
    Ok(Json(Created { id }))
}

/// How long to wait for a held request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wait {
    #[serde(default)]
    wait_seconds: u64,
}

async fn hold_state(
    State(shared): Core,
    Path(id): Path<RuleId>,
    Query(wait): Query<Wait>,
) -> Result<Json<HoldStatus>, Refusal> {
    let timeout = Duration::from_secs(wait.wait_seconds).min(LONGEST_POLL);
    shared
        .holds
        .reached(id, timeout)
        .await
        .map(|state| Json(HoldStatus { state }))
        .ok_or_else(|| no_hold(id))
}

async fn release_hold(
    State(shared): Core,
    Path(id): Path<RuleId>,
) -> Result<Json<HoldStatus>, Refusal> {
    shared.azure().remove_hold(id);
    shared
        .holds
        .release(id)
        .map(|state| Json(HoldStatus { state }))
        .ok_or_else(|| no_hold(id))
}

async fn remove_hold(State(shared): Core, Path(id): Path<RuleId>) -> StatusCode {
    shared.azure().remove_hold(id);
    let _ = shared.holds.release(id);
    StatusCode::NO_CONTENT
}

fn no_hold(id: RuleId) -> Refusal {
    Refusal::NotFound(format!("no hold {id}"))
}

async fn reset(State(shared): Core) -> StatusCode {
    shared.azure().reset();
    shared.holds.clear();
    StatusCode::NO_CONTENT
}
