//! What the API server checks beyond the shape of the types, so that a mistake shows when an object is applied. Nothing here
//! is stricter than Azure or Kubernetes; the newtypes in [`crate::names`] have the last word.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Subscriptions are GUIDs.
pub(crate) const GUID_PATTERN: &str =
    "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";

/// 3 to 128 letters, digits, `-` and `_`. Source: Microsoft, "Naming rules and restrictions for Azure resources".
pub(crate) const IDENTITY_NAME_PATTERN: &str = "^[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}$";

/// Azure admits every letter and digit of Unicode in a resource group's name, so this only keeps out what would lead to
/// another path (also by percent-encoding), whitespace, and the dot at the end that Azure refuses.
pub(crate) const RESOURCE_GROUP_PATTERN: &str = r"^[^/\\?#%\s]{0,89}[^/\\?#%\s.]$";

/// A DNS-1123 subdomain, as Kubernetes wants the names of ServiceAccounts.
pub(crate) const SERVICE_ACCOUNT_NAME_PATTERN: &str =
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// One line without whitespace at either end: tokens are compared exactly, so these are always mistakes.
pub(crate) const AUDIENCE_PATTERN: &str = r"^\S(.*\S)?$";

/// The form of a managed identity's resource id, in any case: Azure itself spells such ids in several ways.
pub(crate) const RESOURCE_ID_RULE: &str = "self.lowerAscii().matches('^/subscriptions/[^/]+/resourcegroups/[^/]+/providers/microsoft[.]managedidentity/userassignedidentities/[^/]+$')";

/// What the API server says to a text of another form.
pub(crate) const RESOURCE_ID_MESSAGE: &str = "must be the resource id of a user-assigned managed identity: /subscriptions/<subscription>/resourceGroups/<group>/providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>";

/// The schema of a condition list: the bounds of Kubernetes' own `metav1.Condition`, which the generated type leaves out.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {
                    "description": "When the condition last changed from one status to another.",
                    "type": "string",
                    "format": "date-time",
                },
                "message": {
                    "description": "What is the case and what to do about it, for people to read.",
                    "type": "string",
                    "maxLength": 32768,
                },
                "observedGeneration": {
                    "description": "The generation of the object that the condition speaks of.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                },
                "reason": {
                    "description": "Why the condition has its status: one word out of a closed set, for programs to read.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "status": {
                    "description": "The status of the condition.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "type": {
                    "description": "What the condition is about.",
                    "type": "string",
                    "maxLength": 316,
                    "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                },
            },
        },
    })
}
