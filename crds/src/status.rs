//! The observed state of a `WorkloadIdentityBinding`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ManagedIdentityId;

/// The `observedGeneration` of a status that no controller has written yet. kstatus takes a missing status for a finished
/// one, so the schema starts with a generation that no object has.
pub(crate) const NOT_OBSERVED: i64 = -1;

/// So many credentials a status records.
pub const MAX_CREDENTIALS: usize = 4;

/// The observed state of a WorkloadIdentityBinding, written by azwib alone.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadIdentityBindingStatus {
    /// The generation of the object that this status speaks of; -1 as long as nothing has looked at it.
    #[serde(default = "not_observed")]
    pub observed_generation: i64,

    /// The managed identity as Azure gave it when the binding was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<ResolvedIdentity>,

    /// The ServiceAccount that the binding annotates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccountStatus>,

    /// The federated identity credentials that azwib wrote, or is about to write, for this binding: what cleanup has to
    /// look at.
    #[serde(default)]
    #[schemars(
        length(max = MAX_CREDENTIALS),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub credentials: Vec<RecordedCredential>,

    /// The state in conditions: `Ready` sums up; `Reconciling` and `Stalled` are present only while true; the others are
    /// one for each step.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
}

impl Default for WorkloadIdentityBindingStatus {
    fn default() -> Self {
        Self {
            observed_generation: NOT_OBSERVED,
            identity: None,
            service_account: None,
            credentials: Vec::new(),
            conditions: Vec::new(),
        }
    }
}

pub(crate) fn not_observed() -> i64 {
    NOT_OBSERVED
}

/// A managed identity as Azure gave it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedIdentity {
    /// The Azure resource id of the identity; every managed identity has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub resource_id: Option<String>,
    /// The client id (application id) that workloads sign in with.
    #[schemars(length(max = 36))]
    pub client_id: String,
    /// The object id of the identity's service principal: what role assignments name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub principal_id: Option<String>,
    /// The id of the tenant that the identity belongs to.
    #[schemars(length(max = 36))]
    pub tenant_id: String,
}

impl ResolvedIdentity {
    /// The managed identity that was resolved; `None` where its resource id is missing or cannot be read.
    pub fn managed_identity(&self) -> Option<ManagedIdentityId> {
        parsed(self.resource_id.as_deref())
    }
}

fn parsed(resource_id: Option<&str>) -> Option<ManagedIdentityId> {
    ManagedIdentityId::parse(resource_id?).ok()
}

/// The ServiceAccount of a binding as it is.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountStatus {
    /// The name of the ServiceAccount.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Whether azwib created the ServiceAccount, or annotates one that somebody else keeps.
    pub origin: ServiceAccountOrigin,
}

/// Where a ServiceAccount comes from.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceAccountOrigin {
    /// azwib made it, and removes it with its last binding.
    Created,
    /// Somebody else keeps it: azwib adds its annotations, and takes only those away.
    Adopted,
}

/// A federated identity credential that azwib wrote, or is about to write.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RecordedCredential {
    /// The name of the credential on the identity.
    #[schemars(length(max = 120))]
    pub name: String,
    /// The Azure resource id of the managed identity that carries the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub resource_id: Option<String>,
    /// The id that the service gave the credential, where it has one of its own besides its name. Managed identities have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 120))]
    pub id: Option<String>,
    /// The issuer that tokens must come from.
    #[schemars(length(max = 600))]
    pub issuer: String,
    /// The subject that tokens must carry.
    #[schemars(length(max = 600))]
    pub subject: String,
    /// The audience that tokens must carry.
    #[schemars(length(max = 600))]
    pub audience: String,
    /// How far azwib is with this credential.
    pub origin: CredentialOrigin,
}

impl RecordedCredential {
    /// The managed identity that carries the credential; `None` where its resource id is missing or cannot be read.
    pub fn managed_identity(&self) -> Option<ManagedIdentityId> {
        parsed(self.resource_id.as_deref())
    }
}

/// Where a recorded credential comes from.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialOrigin {
    /// A write was about to be sent; whether Azure has it is not known yet.
    Pending,
    /// Azure acknowledged azwib's write, or showed exactly its content.
    Created,
    /// It was there before, under a name of somebody else's choice: azwib never changes or deletes it.
    Adopted,
}
