//! What the API server checks beyond the shape of the types, so that a mistake shows when an object is applied. A new binding
//! passes exactly where the newtypes in [`crate::names`] take its texts: what cannot be corrected later must not get in.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Subscriptions are GUIDs.
pub(crate) const GUID_PATTERN: &str =
    "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";

/// 3 to 128 letters, digits, `-` and `_`. Source: Microsoft, "Naming rules and restrictions for Azure resources".
pub(crate) const IDENTITY_NAME_PATTERN: &str = "^[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}$";

/// What keeps a resource group's name from leading to another path. What a name may be besides is [`GROUP_RULE`].
pub(crate) const RESOURCE_GROUP_PATTERN: &str = r"^[^/\\?#%\s]{0,89}[^/\\?#%\s.]$";

/// A DNS-1123 subdomain, as Kubernetes wants the names of ServiceAccounts.
pub(crate) const SERVICE_ACCOUNT_NAME_PATTERN: &str =
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// Something that is no white space at either end. What an audience may be besides is [`AUDIENCE_RULE`].
pub(crate) const AUDIENCE_PATTERN: &str = r"^\S(.*\S)?$";

/// The form of a managed identity's resource id, in any case: Azure itself spells such ids in several ways. What its names
/// may be is [`RESOURCE_ID_NAMES_RULE`].
pub(crate) const RESOURCE_ID_RULE: &str = "self.lowerAscii().matches('^/subscriptions/[^/]+/resourcegroups/[^/]+/providers/microsoft[.]managedidentity/userassignedidentities/[^/]+$')";

/// What the API server says to a text of another form.
pub(crate) const RESOURCE_ID_MESSAGE: &str = "must be the resource id of a user-assigned managed identity: /subscriptions/<subscription>/resourceGroups/<group>/providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>";

/// The condition of a rule that a binding has to meet when it is made, and that one which was stored before there was the rule
/// need not. The API server checks every rule at every write, and before Kubernetes 1.30 those of unchanged fields too: what
/// it would not take any more could not even lose its finalizer.
macro_rules! of_new_bindings {
    ($($rule:tt)*) => {
        concat!(
            "(has(self.status) && has(self.status.observedGeneration) && self.status.observedGeneration >= 0) || ",
            $($rule)*
        )
    };
}

/// The letters and digits of any alphabet, as the newtype knows them; see [`crate::ManagedIdentityId`].
macro_rules! group_letters {
    () => {
        r"\\p{L}\\p{Nd}_()"
    };
}

/// The names in a resource id are ones that Azure admits.
pub(crate) const RESOURCE_ID_NAMES_RULE: &str = of_new_bindings!(
    "!has(self.spec.identity.resourceId) || self.spec.identity.resourceId.lowerAscii().matches('^/subscriptions/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/resourcegroups/[",
    group_letters!(),
    ".-]{0,89}[",
    group_letters!(),
    "-]/providers/microsoft[.]managedidentity/userassignedidentities/[a-z0-9][a-z0-9_-]{2,127}$')"
);

/// What the API server says to other names.
pub(crate) const RESOURCE_ID_NAMES_MESSAGE: &str = "the subscription must be a GUID, the resource group 1 to 90 letters, digits, '_', '-', '.', '(' or ')' without a '.' at its end, and the name of the identity 3 to 128 letters (a-z, A-Z), digits, '-' or '_' that begin with a letter or digit";

/// A resource group's name is one that Azure admits: letters and digits of any alphabet. Source: Microsoft, "Naming rules and
/// restrictions for Azure resources".
pub(crate) const GROUP_RULE: &str = of_new_bindings!(
    "!has(self.spec.identity.resourceGroup) || self.spec.identity.resourceGroup.matches('^[",
    group_letters!(),
    ".-]{0,89}[",
    group_letters!(),
    "-]$')"
);

/// What the API server says to another one.
pub(crate) const GROUP_MESSAGE: &str =
    "must be 1 to 90 letters, digits, '_', '-', '.', '(' or ')', without a '.' at its end";

macro_rules! audience {
    () => {
        r"^[^\\p{Z}\\p{Cc}]([^\\p{Cc}]*[^\\p{Z}\\p{Cc}])?$"
    };
}

/// One line without white space at either end, that of other alphabets included: tokens are compared exactly, so these are always
/// mistakes.
pub(crate) const AUDIENCE_RULE: &str =
    of_new_bindings!("self.spec.credential.audience.matches('", audience!(), "')");

/// The same of an audience that is changed.
pub(crate) const AUDIENCE_CHANGE_RULE: &str =
    concat!("self == oldSelf || self.matches('", audience!(), "')");

/// What the API server says to another audience.
pub(crate) const AUDIENCE_MESSAGE: &str = "must have no white space at either end and no control character, such as a tab or a line break";

/// Azure compares the parts of a resource id without case. So does this for ASCII, which is all that CEL can fold.
pub(crate) const IDENTITY_IMMUTABLE_RULE: &str = "\
    has(self.resourceId) == has(oldSelf.resourceId) && has(self.name) == has(oldSelf.name) \
    && has(self.resourceGroup) == has(oldSelf.resourceGroup) && has(self.subscriptionId) == has(oldSelf.subscriptionId) \
    && (!has(self.resourceId) || self.resourceId.lowerAscii() == oldSelf.resourceId.lowerAscii()) \
    && (!has(self.name) || self.name.lowerAscii() == oldSelf.name.lowerAscii()) \
    && (!has(self.resourceGroup) || self.resourceGroup.lowerAscii() == oldSelf.resourceGroup.lowerAscii()) \
    && (!has(self.subscriptionId) || self.subscriptionId.lowerAscii() == oldSelf.subscriptionId.lowerAscii())";

/// What the API server says to a change of the identity.
pub(crate) const IDENTITY_IMMUTABLE_MESSAGE: &str = "identity is immutable; create a new binding (upper and lower case of a-z make no difference; a resourceId and a name are different specs, and so are a group or subscription that is given and one that is left to the operator's default, also where they mean the same identity)";

/// The account is the same before and after, given or left to the binding's own name.
pub(crate) const ACCOUNT_IMMUTABLE_RULE: &str = "\
    (has(self.spec.serviceAccount.name) ? self.spec.serviceAccount.name : self.metadata.name) \
    == (has(oldSelf.spec.serviceAccount.name) ? oldSelf.spec.serviceAccount.name : oldSelf.metadata.name)";

/// What the API server says to a change of the account.
pub(crate) const ACCOUNT_IMMUTABLE_MESSAGE: &str = "serviceAccount.name is immutable; create a new binding (left out, it is the name of the binding)";

/// The form of a grant's scope, in any case. What its names may be is [`SCOPE_NAMES_RULE`].
pub(crate) const SCOPE_RULE: &str = "self.lowerAscii().matches('^/subscriptions/[^/]*(/resourcegroups/[^/]*(/providers/microsoft[.]managedidentity/userassignedidentities/[^/]*)?)?$')";

/// What the API server says to a text of another form.
pub(crate) const SCOPE_MESSAGE: &str = "must be the id of a subscription (/subscriptions/<subscription>), of a resource group (/subscriptions/<subscription>/resourceGroups/<group>) or of a user-assigned managed identity (/subscriptions/<subscription>/resourceGroups/<group>/providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>), without a slash at its end; nothing above a subscription can be a scope";

/// The names in a scope are ones that Azure admits.
pub(crate) const SCOPE_NAMES_RULE: &str = concat!(
    "self.lowerAscii().matches('^/subscriptions/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(/resourcegroups/[",
    group_letters!(),
    ".-]{0,89}[",
    group_letters!(),
    "-](/providers/microsoft[.]managedidentity/userassignedidentities/[a-z0-9][a-z0-9_-]{2,127})?)?$')"
);

/// What the API server says to other names.
pub(crate) const SCOPE_NAMES_MESSAGE: &str = RESOURCE_ID_NAMES_MESSAGE;

/// No scope is there twice, whatever the case of its letters; CEL folds ASCII.
pub(crate) const DISTINCT_SCOPES_RULE: &str =
    "self.all(one, self.exists_one(other, one.scope.lowerAscii() == other.scope.lowerAscii()))";

/// What the API server says to a scope that is there twice.
pub(crate) const DISTINCT_SCOPES_MESSAGE: &str =
    "the same scope is there twice (upper and lower case make no difference)";

/// A grant is for some namespaces.
pub(crate) const NO_NAMESPACES_RULE: &str = "has(self.names) || has(self.selector)";

/// What the API server says to a grant for none.
pub(crate) const NO_NAMESPACES_MESSAGE: &str = "must have names, a selector or both";

/// So many identities, groups and subscriptions a grant names.
pub const MAX_SCOPES: usize = 64;

/// So many namespaces a grant names.
pub const MAX_NAMESPACES: usize = 256;

/// So many labels a grant asks of a namespace.
pub const MAX_MATCH_LABELS: usize = 16;

/// So many names of ServiceAccounts, or prefixes of names, a grant has.
pub const MAX_SERVICE_ACCOUNTS: usize = 64;

/// The most that `maxCredentialsPerIdentity` can be: Azure holds no more federated identity credentials on an identity. Source:
/// Microsoft, "Important considerations and restrictions for federated identity credentials".
pub const MAX_CREDENTIALS_PER_IDENTITY: i32 = 20;

/// A list of texts, each of them once.
fn set_of(most: usize, of: Schema) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": most,
        "x-kubernetes-list-type": "set",
        "items": of,
    })
}

/// The names of namespaces: DNS-1123 labels, as Kubernetes wants them.
pub(crate) fn namespace_names(_: &mut SchemaGenerator) -> Schema {
    let name = json_schema!({
        "type": "string",
        "maxLength": 63,
        "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    });
    set_of(MAX_NAMESPACES, name)
}

/// The names of ServiceAccounts, or beginnings of such names and a `*`.
pub(crate) fn service_account_names(_: &mut SchemaGenerator) -> Schema {
    let name = json_schema!({
        "type": "string",
        "maxLength": 253,
        "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*((-*|\.)\*)?$",
    });
    set_of(MAX_SERVICE_ACCOUNTS, name)
}

/// At least one label. A key that is no label's is carried by no namespace.
pub(crate) fn match_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": MAX_MATCH_LABELS,
        "additionalProperties": {
            "type": "string",
            "maxLength": 63,
            "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$",
        },
    })
}

/// A list that must be empty.
pub(crate) fn no_match_expressions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 0,
        "x-kubernetes-list-type": "atomic",
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    })
}

/// So many conditions a status holds, of all who write there.
pub const MAX_CONDITIONS: usize = 32;

/// The schema of a condition list: the bounds of Kubernetes' own `metav1.Condition`, which the generated type leaves out.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MAX_CONDITIONS,
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
