//! `WorkloadIdentityBinding`: what a developer declares.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct, `pub` included, into the body of a function"
)]
#![allow(
    clippy::duplicated_attributes,
    reason = "the columns of one resource are of the same type and priority"
)]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::DEFAULT_AUDIENCE;
use crate::schema::{
    ACCOUNT_IMMUTABLE_MESSAGE, ACCOUNT_IMMUTABLE_RULE, AUDIENCE_CHANGE_RULE, AUDIENCE_MESSAGE,
    AUDIENCE_PATTERN, AUDIENCE_RULE, GROUP_MESSAGE, GROUP_RULE, GUID_PATTERN,
    IDENTITY_IMMUTABLE_MESSAGE, IDENTITY_IMMUTABLE_RULE, IDENTITY_NAME_PATTERN,
    RESOURCE_GROUP_PATTERN, RESOURCE_ID_MESSAGE, RESOURCE_ID_NAMES_MESSAGE, RESOURCE_ID_NAMES_RULE,
    RESOURCE_ID_RULE, SERVICE_ACCOUNT_NAME_PATTERN,
};
use crate::status::WorkloadIdentityBindingStatus;

/// How long a projected ServiceAccount token lives where a binding does not say, in seconds. The same default as the
/// azure-workload-identity webhook has.
pub const DEFAULT_TOKEN_EXPIRATION_SECONDS: i32 = 3600;

/// The desired state of a WorkloadIdentityBinding: which ServiceAccount of this namespace may act as which Azure identity.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "azwib.dev",
    version = "v1alpha1",
    kind = "WorkloadIdentityBinding",
    namespaced,
    status = "WorkloadIdentityBindingStatus",
    shortname = "azwib",
    category = "azure",
    derive = "PartialEq",
    validation = Rule::new(ACCOUNT_IMMUTABLE_RULE)
        .message(ACCOUNT_IMMUTABLE_MESSAGE)
        .field_path(".spec.serviceAccount.name"),
    validation = Rule::new(RESOURCE_ID_NAMES_RULE)
        .message(RESOURCE_ID_NAMES_MESSAGE)
        .field_path(".spec.identity.resourceId"),
    validation = Rule::new(GROUP_RULE)
        .message(GROUP_MESSAGE)
        .field_path(".spec.identity.resourceGroup"),
    validation = Rule::new(AUDIENCE_RULE)
        .message(AUDIENCE_MESSAGE)
        .field_path(".spec.credential.audience"),
    doc = "Lets a ServiceAccount of this namespace act as an Azure managed identity: azwib annotates the ServiceAccount and keeps a federated identity credential for it on the identity.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether a pod of the ServiceAccount can get a token of the identity.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        description = "Why the binding is ready or not.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Identity",
        type_ = "string",
        description = "The client id of the managed identity, once it is resolved: what a pod finds in AZURE_CLIENT_ID.",
        json_path = ".status.identity.clientId"
    ),
    printcolumn(
        name = "ServiceAccount",
        type_ = "string",
        description = "The ServiceAccount that may act as the identity.",
        json_path = ".status.serviceAccount.name"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Credential",
        type_ = "string",
        description = "The name of the federated identity credential on the identity.",
        json_path = ".status.credentials[0].name",
        priority = 1
    ),
    printcolumn(
        name = "ResourceID",
        type_ = "string",
        description = "The resource id of the identity.",
        json_path = ".status.identity.resourceId",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        description = "What is missing, and what to do about it.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadIdentityBindingSpec {
    /// The user-assigned managed identity to act as, by its resource id or by its name. Immutable, but for upper and lower
    /// case: to move to another identity, create a new binding. azwib never creates the identity itself.
    pub identity: IdentityReference,

    /// The ServiceAccount that may act as the identity. It is created if it does not exist, and annotated for the
    /// azure-workload-identity webhook if it does.
    #[serde(default)]
    #[schemars(extend("default" = {}))]
    pub service_account: ServiceAccountSpec,

    /// The federated identity credential that azwib keeps on the identity. Its name is always derived and its issuer is
    /// the cluster's, so neither can be set here.
    #[serde(default)]
    #[schemars(extend("default" = {}))]
    pub credential: CredentialSpec,

    /// What becomes of the federated identity credential, of the annotations and of a ServiceAccount that azwib created
    /// when the binding is deleted. `Delete` removes them; `Retain` leaves them all in place, so that a new binding for
    /// the same ServiceAccount and identity takes over without a gap.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// While true, azwib writes nothing for this binding, neither to Azure nor to the ServiceAccount, and leaves both as
    /// they are. Deleting a suspended binding still cleans up.
    #[serde(default)]
    pub suspend: bool,
}

/// Names a user-assigned managed identity, by exactly one of `resourceId` and `name`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.resourceId) != has(self.name)")
        .message("exactly one of resourceId and name must be set"),
    validation = Rule::new("!has(self.resourceGroup) || has(self.name)")
        .message("resourceGroup can only be set together with name; a resourceId contains the group"),
    validation = Rule::new("!has(self.subscriptionId) || has(self.name)")
        .message("subscriptionId can only be set together with name; a resourceId contains the subscription"),
    validation = Rule::new(IDENTITY_IMMUTABLE_RULE).message(IDENTITY_IMMUTABLE_MESSAGE)
)]
pub struct IdentityReference {
    /// The Azure resource id of the identity, as `az identity show --query id` prints it:
    /// `/subscriptions/<subscription>/resourceGroups/<group>/providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>`.
    /// Upper and lower case make no difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(RESOURCE_ID_RULE).message(RESOURCE_ID_MESSAGE))]
    pub resource_id: Option<String>,

    /// The name of the identity, in place of its resource id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = IDENTITY_NAME_PATTERN))]
    pub name: Option<String>,

    /// The resource group of the identity, only with `name`; letters of any alphabet are letters. Without it, the operator's
    /// default applies (`--default-resource-group`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 90), regex(pattern = RESOURCE_GROUP_PATTERN))]
    pub resource_group: Option<String>,

    /// The id (a GUID) of the subscription of the identity, only with `name`. Without it, the operator's default applies
    /// (`--default-subscription`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36), regex(pattern = GUID_PATTERN))]
    pub subscription_id: Option<String>,
}

/// The ServiceAccount of a binding.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountSpec {
    /// The name of the ServiceAccount in the binding's namespace; without it, the binding's own name. Which account that is
    /// cannot be changed: to move to another ServiceAccount, create a new binding.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = SERVICE_ACCOUNT_NAME_PATTERN))]
    pub name: Option<String>,

    /// What the binding means to the ServiceAccount. With `Default` its annotations name this identity, so that pods get it
    /// without asking; an account has one such identity. `Additional` adds a credential only: the workload names the
    /// client id itself, and an account can have many.
    #[serde(default)]
    pub role: ServiceAccountRole,

    /// When a ServiceAccount that does not exist is made: `Immediate`ly, or only `WhenCredentialReady`, so that no pod can
    /// start before its tokens can be exchanged. An account that exists is annotated at once either way.
    #[serde(default)]
    pub creation: ServiceAccountCreation,

    /// How long a token projected into a pod lives, in seconds, from an hour to a day. The kubelet renews it in time;
    /// pods that are running keep the value they started with.
    #[serde(default = "default_token_expiration_seconds")]
    #[schemars(range(min = 3600, max = 86400))]
    pub token_expiration_seconds: i32,
}

impl Default for ServiceAccountSpec {
    fn default() -> Self {
        Self {
            name: None,
            role: ServiceAccountRole::default(),
            creation: ServiceAccountCreation::default(),
            token_expiration_seconds: DEFAULT_TOKEN_EXPIRATION_SECONDS,
        }
    }
}

/// What a binding means to its ServiceAccount.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceAccountRole {
    /// The annotations of the account name this identity.
    #[default]
    Default,
    /// A credential only.
    Additional,
}

/// When a ServiceAccount that does not exist is made.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceAccountCreation {
    /// As soon as the identity is resolved.
    #[default]
    Immediate,
    /// Once the credential is in place and had its propagation time.
    WhenCredentialReady,
}

fn default_token_expiration_seconds() -> i32 {
    DEFAULT_TOKEN_EXPIRATION_SECONDS
}

/// The federated identity credential of a binding.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CredentialSpec {
    /// The audience that tokens must carry to be exchanged. The default is what the webhook and the Azure SDKs use in
    /// every Azure cloud; only workloads that ask for their own audience need another. A change is made in place.
    #[serde(default = "default_audience")]
    #[schemars(length(max = 600), regex(pattern = AUDIENCE_PATTERN))]
    #[x_kube(validation = Rule::new(AUDIENCE_CHANGE_RULE).message(AUDIENCE_MESSAGE))]
    pub audience: String,

    /// What becomes of a federated identity credential that is on the identity already, under another name and made by
    /// somebody else, and trusts exactly the same issuer, subject and audience. Azure allows the combination only once.
    /// With `IfIdentical` the binding is content with it, and never changes or deletes it; with `Never` it waits until
    /// that credential is gone.
    #[serde(default)]
    pub adoption: CredentialAdoption,
}

impl Default for CredentialSpec {
    fn default() -> Self {
        Self {
            audience: default_audience(),
            adoption: CredentialAdoption::default(),
        }
    }
}

fn default_audience() -> String {
    DEFAULT_AUDIENCE.to_owned()
}

/// Whether a credential that somebody else made is taken as it is.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CredentialAdoption {
    /// One with the same issuer, subject and audience is.
    #[default]
    IfIdentical,
    /// None is.
    Never,
}

/// What becomes of what a binding made when the binding is deleted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// The credential goes, and so do the annotations; so does a ServiceAccount that azwib created.
    #[default]
    Delete,
    /// Everything stays.
    Retain,
}
