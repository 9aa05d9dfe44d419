//! The bodies of the control API.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

pub use crate::core::NewIdentity;
pub use crate::core::http::Service;
pub use crate::core::interference::{Fault, FaultAction, Hold, Latency, Matcher, RuleId, When};
pub use crate::core::locks::{Lock, LockLevel, PolicyDenial};
pub use crate::core::rbac::{DenyAssignment, Role, RoleAssignment};
pub use crate::core::request_log::{RequestRecord, SecretKind, SeenSecret};
pub use crate::core::state::{ClaimsMatchingExpression, FederatedCredential};
pub use crate::core::throttle::{
    OperationRates, ProviderRates, Rate, ResourceManagerRates, ScopeRates, ThrottleLevel,
    ThrottleScope, ThrottledResource, Throttling,
};
pub use crate::core::tunables::{ErrorAnswer, LatencyTail, Tunables};

/// A subscription to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubscriptionFixture {
    /// Its id.
    pub subscription_id: Uuid,
    /// The name that people see.
    #[serde(default)]
    pub display_name: Option<String>,
}

/// A resource group to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceGroupFixture {
    /// Its subscription; default: the first one.
    #[serde(default)]
    pub subscription_id: Option<Uuid>,
    /// Its name.
    pub name: String,
    /// Its region; default: `westeurope`.
    #[serde(default)]
    pub location: Option<String>,
}

/// A managed identity to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityFixture {
    /// Its subscription; default: the first one.
    #[serde(default)]
    pub subscription_id: Option<Uuid>,
    /// Its resource group, which must exist.
    pub resource_group: String,
    /// Its name.
    pub name: String,
}

/// A federated identity credential to put on a managed identity, past all validation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialFixture {
    /// The identity's subscription; default: the first one.
    #[serde(default)]
    pub subscription_id: Option<Uuid>,
    /// The identity's resource group.
    pub resource_group: String,
    /// The identity.
    pub identity: String,
    /// The credential.
    pub credential: FederatedCredential,
}

/// The service principal of an application.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServicePrincipalFixture {
    /// Application (client) id.
    pub client_id: Uuid,
    /// A client secret.
    #[serde(default)]
    pub secret: Option<String>,
    /// The application's federated identity credentials.
    #[serde(default)]
    pub federated_credentials: Vec<FederatedCredential>,
}

/// A service principal that was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewServicePrincipal {
    /// Object id: what role assignments name.
    pub object_id: Uuid,
}

/// A role assignment to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewRoleAssignment {
    /// ARM id of a subscription, a resource group or an identity.
    pub scope: String,
    /// The role.
    pub role: Role,
    /// Object id or client id of the principal.
    pub principal: Uuid,
}

/// A deny assignment to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewDenyAssignment {
    /// ARM id of a subscription, a resource group or an identity.
    pub scope: String,
    /// The actions that nobody may do; `*` stands for any text.
    pub actions: Vec<String>,
}

/// A lock to put on a scope.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewLock {
    /// ARM id of a subscription, a resource group or an identity.
    pub scope: String,
    /// What it forbids.
    pub level: LockLevel,
}

/// A policy to assign that denies writes of federated identity credentials.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewPolicyDenial {
    /// ARM id of a subscription, a resource group or an identity.
    pub scope: String,
}

/// A cluster's issuer to register.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewIssuer {
    /// Path below the issuer's host, a slash at its end included if tokens carry one; default: `{tenant}/{guid}/`.
    #[serde(default)]
    pub path: Option<String>,
    /// The JSON Web Key Set to publish.
    pub jwks: Value,
}

/// An issuer that was registered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisteredIssuer {
    /// Its URL, byte for byte as tokens must carry it.
    pub issuer: String,
}

/// The id of what was made.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Created<T> {
    /// The id.
    pub id: T,
}

/// How long the token endpoint takes to see a written credential.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PropagationDelay {
    /// Seconds.
    pub seconds: u64,
}

/// Where a hold stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HoldState {
    /// The request has not come yet.
    Waiting,
    /// The request is being held.
    Reached,
    /// The request was let go.
    Released,
    /// The caller left while its request was held.
    CallerGone,
}

/// The answer to a question about a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldStatus {
    /// Where it stands.
    pub state: HoldState,
}

/// What a refused control request gets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlRefusal {
    /// Why.
    pub error: String,
}
