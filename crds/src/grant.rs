//! `IdentityGrant`: what a platform team allows.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct, `pub` included, into the body of a function"
)]
#![allow(
    clippy::duplicated_attributes,
    reason = "the columns of one resource are of the same type and priority"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{
    DISTINCT_SCOPES_MESSAGE, DISTINCT_SCOPES_RULE, MAX_CREDENTIALS_PER_IDENTITY, MAX_SCOPES,
    NO_NAMESPACES_MESSAGE, NO_NAMESPACES_RULE, SCOPE_MESSAGE, SCOPE_NAMES_MESSAGE,
    SCOPE_NAMES_RULE, SCOPE_RULE,
};
use crate::status::{NOT_OBSERVED, not_observed};

/// The desired state of an IdentityGrant: which bindings may use which Azure identities.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "azwib.dev",
    version = "v1alpha1",
    kind = "IdentityGrant",
    status = "IdentityGrantStatus",
    shortname = "azgrant",
    category = "azure",
    derive = "PartialEq",
    doc = "Allows bindings in some namespaces to use some Azure identities. The platform team writes it; a binding that no grant covers gets nothing.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether the grant is in force and kept.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Bindings",
        type_ = "integer",
        description = "How many bindings the grant covers.",
        json_path = ".status.bindings"
    ),
    printcolumn(
        name = "Max",
        type_ = "integer",
        description = "How many credentials of one identity the bindings under the grant may use.",
        json_path = ".spec.maxCredentialsPerIdentity"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        description = "What is the case, and what to do about it.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct IdentityGrantSpec {
    /// The identities that bindings may use: each entry is one identity, or all those of a resource group or subscription.
    #[schemars(length(min = 1, max = MAX_SCOPES))]
    #[x_kube(validation = Rule::new(DISTINCT_SCOPES_RULE).message(DISTINCT_SCOPES_MESSAGE))]
    pub identities: Vec<GrantedIdentities>,

    /// The namespaces whose bindings may use them: those with one of the names, and those with the labels.
    pub namespaces: GrantedNamespaces,

    /// The ServiceAccounts of these namespaces that bindings may name; without it, all. It is no border against somebody who may
    /// make pods in the namespace: a pod can run as any ServiceAccount of its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<GrantedServiceAccounts>,

    /// How many federated identity credentials of one identity the bindings under this grant may use together; without it,
    /// as many as Azure allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_CREDENTIALS_PER_IDENTITY))]
    pub max_credentials_per_identity: Option<i32>,

    /// Whether a binding under this grant may leave its credential behind when it is deleted (`deletionPolicy: Retain`).
    #[serde(default)]
    pub allow_retain: bool,
}

/// Some identities of Azure.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GrantedIdentities {
    /// The Azure resource id of a subscription (`/subscriptions/<subscription>`), of a resource group
    /// (`/subscriptions/<subscription>/resourceGroups/<group>`) or of one user-assigned managed identity. Upper and lower case make
    /// no difference.
    #[schemars(length(max = 512))]
    #[x_kube(
        validation = Rule::new(SCOPE_RULE).message(SCOPE_MESSAGE),
        validation = Rule::new(SCOPE_NAMES_RULE).message(SCOPE_NAMES_MESSAGE)
    )]
    pub scope: String,
}

/// Some namespaces of the cluster.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(NO_NAMESPACES_RULE).message(NO_NAMESPACES_MESSAGE))]
pub struct GrantedNamespaces {
    /// Namespaces by their names. A namespace that is deleted and made again has the same name, and the grant covers it again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::namespace_names")]
    pub names: Vec<String>,

    /// Namespaces by their labels. Whoever may label a namespace decides with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<NamespaceSelector>,
}

/// Namespaces by their labels.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// The labels that a namespace must have, all of them.
    #[schemars(schema_with = "crate::schema::match_labels")]
    pub match_labels: BTreeMap<String, String>,

    /// Not supported: it is here to be refused. A field that the API server does not know would be dropped, and the
    /// grant would cover more namespaces than its author wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::no_match_expressions")]
    pub match_expressions: Vec<NoMatchExpression>,
}

/// There is none: `matchExpressions` is always empty.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum NoMatchExpression {}

/// Some ServiceAccounts of a namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GrantedServiceAccounts {
    /// Names of ServiceAccounts, or the beginning of names followed by `*`: `orders-*` stands for all that begin with `orders-`.
    #[schemars(schema_with = "crate::schema::service_account_names")]
    pub names: Vec<String>,
}

/// The observed state of an IdentityGrant, written by azwib alone.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IdentityGrantStatus {
    /// The generation of the object that this status speaks of; -1 as long as nothing has looked at it.
    #[serde(default = "not_observed")]
    pub observed_generation: i64,

    /// How many bindings the grant covers. It follows changes after up to half a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub bindings: Option<i32>,

    /// The state in conditions: `Ready` says whether the grant is in force and kept.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
}

impl Default for IdentityGrantStatus {
    fn default() -> Self {
        Self {
            observed_generation: NOT_OBSERVED,
            bindings: None,
            conditions: Vec::new(),
        }
    }
}
