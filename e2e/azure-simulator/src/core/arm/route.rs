//! From method and path to what is asked for. Path segments are compared without case, whatever the host.

use http::{Method, StatusCode};
use uuid::Uuid;

use super::error::{ArmError, ArmResult};
use super::ids::{self, NAMESPACE};
use crate::core::http::Request;

/// A resource group's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupPath {
    pub(crate) subscription: Uuid,
    pub(crate) group: String,
}

/// An identity's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentityPath {
    pub(crate) group: GroupPath,
    pub(crate) name: String,
}

/// A resource or a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    MetadataEndpoints,
    Tenants,
    Subscriptions,
    Subscription(Uuid),
    Locations(Uuid),
    ResourceGroups(Uuid),
    ResourceGroup(GroupPath),
    ProviderOperations,
    Provider(Uuid),
    IdentitiesInSubscription(Uuid),
    IdentitiesInGroup(GroupPath),
    Identity(IdentityPath),
    Credentials(IdentityPath),
    Credential(IdentityPath, String),
    /// The locks on a subscription, a resource group or an identity.
    Locks(Box<Target>),
    /// One of them.
    Lock(Box<Target>, String),
}

impl Target {
    /// Reads a request's path.
    pub(crate) fn of(request: &Request) -> ArmResult<Self> {
        let segments = request.segments();
        let lower: Vec<String> = segments.iter().map(|s| s.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let (above, name) = match lower.as_slice() {
            [above @ .., "providers", "microsoft.authorization", "locks"] => (above, None),
            [
                above @ ..,
                "providers",
                "microsoft.authorization",
                "locks",
                _,
            ] => (above, segments.last()),
            _ => return Self::of_segments(&lower, &segments, request),
        };
        let scope = Self::of_segments(above, &segments[..above.len()], request)?;
        if !matches!(
            scope,
            Self::Subscription(_) | Self::ResourceGroup(_) | Self::Identity(_)
        ) {
            return Err(unknown(request));
        }
        Ok(match name {
            None => Self::Locks(Box::new(scope)),
            Some(name) => Self::Lock(Box::new(scope), name.clone()),
        })
    }

    fn of_segments(lower: &[&str], segments: &[String], request: &Request) -> ArmResult<Self> {
        match lower {
            ["metadata", "endpoints"] => Ok(Self::MetadataEndpoints),
            ["tenants"] => Ok(Self::Tenants),
            ["subscriptions"] => Ok(Self::Subscriptions),
            ["providers", provider, "operations"] => {
                namespace(provider, &segments[1])?;
                Ok(Self::ProviderOperations)
            }
            ["subscriptions", _, rest @ ..] => {
                let subscription = Uuid::try_parse(&segments[1]).map_err(|_| {
                    ArmError::new(
                        StatusCode::BAD_REQUEST,
                        "InvalidSubscriptionId",
                        format!(
                            "The provided subscription identifier '{}' is malformed or invalid.",
                            segments[1]
                        ),
                    )
                })?;
                Self::in_subscription(subscription, rest, &segments[2..], request)
            }
            _ => Err(unknown(request)),
        }
    }

    fn in_subscription(
        subscription: Uuid,
        lower: &[&str],
        segments: &[String],
        request: &Request,
    ) -> ArmResult<Self> {
        match lower {
            [] => Ok(Self::Subscription(subscription)),
            ["locations"] => Ok(Self::Locations(subscription)),
            ["resourcegroups"] => Ok(Self::ResourceGroups(subscription)),
            ["providers", provider] => {
                namespace(provider, &segments[1])?;
                Ok(Self::Provider(subscription))
            }
            ["providers", provider, "userassignedidentities"] => {
                namespace(provider, &segments[1])?;
                Ok(Self::IdentitiesInSubscription(subscription))
            }
            ["resourcegroups", _, rest @ ..] => {
                let group = GroupPath {
                    subscription,
                    group: segments[1].clone(),
                };
                Self::in_group(group, rest, &segments[2..], request)
            }
            _ => Err(unknown(request)),
        }
    }

    fn in_group(
        group: GroupPath,
        lower: &[&str],
        segments: &[String],
        request: &Request,
    ) -> ArmResult<Self> {
        let ["providers", provider, rest @ ..] = lower else {
            return if lower.is_empty() {
                Ok(Self::ResourceGroup(group))
            } else {
                Err(unknown(request))
            };
        };
        namespace(provider, &segments[1])?;
        let identity = |name: &String| IdentityPath {
            group: group.clone(),
            name: name.clone(),
        };
        match rest {
            ["userassignedidentities"] => Ok(Self::IdentitiesInGroup(group)),
            ["userassignedidentities", _] => Ok(Self::Identity(identity(&segments[3]))),
            ["userassignedidentities", _, "federatedidentitycredentials"] => {
                Ok(Self::Credentials(identity(&segments[3])))
            }
            [
                "userassignedidentities",
                _,
                "federatedidentitycredentials",
                _,
            ] => Ok(Self::Credential(
                identity(&segments[3]),
                segments[5].clone(),
            )),
            [_, ..] => {
                // Types and names take turns.
                let kinds: Vec<&str> = segments[2..]
                    .iter()
                    .step_by(2)
                    .map(String::as_str)
                    .collect();
                Err(ArmError::not_found_by_gateway(
                    "InvalidResourceType",
                    format!(
                        "The resource type '{}' could not be found in the namespace '{NAMESPACE}' for api version '{}'.",
                        kinds.join("/"),
                        request.query_parameter("api-version").unwrap_or_default()
                    ),
                ))
            }
            [] => Err(unknown(request)),
        }
    }

    /// The subscription it is in.
    pub(crate) fn subscription(&self) -> Option<Uuid> {
        match self {
            Self::MetadataEndpoints
            | Self::Tenants
            | Self::Subscriptions
            | Self::ProviderOperations => None,
            Self::Subscription(id)
            | Self::Locations(id)
            | Self::ResourceGroups(id)
            | Self::Provider(id)
            | Self::IdentitiesInSubscription(id) => Some(*id),
            Self::ResourceGroup(group) | Self::IdentitiesInGroup(group) => Some(group.subscription),
            Self::Identity(identity)
            | Self::Credentials(identity)
            | Self::Credential(identity, _) => Some(identity.group.subscription),
            Self::Locks(scope) | Self::Lock(scope, _) => scope.subscription(),
        }
    }

    /// The scope that access is checked on, as Azure names it in a refusal.
    pub(crate) fn scope(&self) -> String {
        match self {
            Self::MetadataEndpoints
            | Self::Tenants
            | Self::Subscriptions
            | Self::ProviderOperations => "/".to_owned(),
            Self::Subscription(id)
            | Self::Locations(id)
            | Self::ResourceGroups(id)
            | Self::Provider(id)
            | Self::IdentitiesInSubscription(id) => ids::subscription_id(*id),
            Self::ResourceGroup(group) | Self::IdentitiesInGroup(group) => {
                ids::group_id(group.subscription, &group.group)
            }
            Self::Identity(identity) | Self::Credentials(identity) => identity.scope(),
            Self::Credential(identity, name) => {
                format!("{}/federatedIdentityCredentials/{name}", identity.scope())
            }
            Self::Locks(scope) => scope.scope(),
            Self::Lock(scope, name) => format!(
                "{}/providers/Microsoft.Authorization/locks/{name}",
                scope.scope()
            ),
        }
    }
}

impl IdentityPath {
    /// Reads an identity's id.
    pub(crate) fn parse(id: &str) -> Option<Self> {
        let segments: Vec<&str> = id.trim_matches('/').split('/').collect();
        let [
            subscriptions,
            subscription,
            groups,
            group,
            providers,
            provider,
            kind,
            name,
        ] = segments.as_slice()
        else {
            return None;
        };
        let is_identity = subscriptions.eq_ignore_ascii_case("subscriptions")
            && groups.eq_ignore_ascii_case("resourceGroups")
            && providers.eq_ignore_ascii_case("providers")
            && provider.eq_ignore_ascii_case(NAMESPACE)
            && kind.eq_ignore_ascii_case("userAssignedIdentities");
        is_identity.then_some(Self {
            group: GroupPath {
                subscription: Uuid::try_parse(subscription).ok()?,
                group: (*group).to_owned(),
            },
            name: (*name).to_owned(),
        })
    }

    /// The identity's id in lower case: what tells identities apart.
    pub(crate) fn lower_id(&self) -> String {
        ids::fold(&self.scope())
    }

    pub(crate) fn scope(&self) -> String {
        format!(
            "{}/providers/{NAMESPACE}/userAssignedIdentities/{}",
            ids::group_id(self.group.subscription, &self.group.group),
            self.name
        )
    }
}

fn namespace(lower: &str, as_sent: &str) -> ArmResult<()> {
    if lower == NAMESPACE.to_ascii_lowercase() {
        return Ok(());
    }
    Err(ArmError::not_found_by_gateway(
        "InvalidResourceNamespace",
        format!("The resource namespace '{as_sent}' is invalid."),
    ))
}

fn unknown(request: &Request) -> ArmError {
    ArmError::new(
        StatusCode::NOT_FOUND,
        "InvalidRequestUri",
        format!(
            "The request URI '{}' does not name a resource of this simulator.",
            request.path
        ),
    )
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Action {
    /// The operation's id in Azure's API description.
    pub(crate) name: &'static str,
    /// What role-based access control checks; empty where every signed-in caller is served.
    pub(crate) permission: &'static str,
}

const READ_LOCATION: &str = "Microsoft.Resources/subscriptions/locations/read";
const READ_GROUP: &str = "Microsoft.Resources/subscriptions/resourceGroups/read";
const WRITE_GROUP: &str = "Microsoft.Resources/subscriptions/resourceGroups/write";
const DELETE_GROUP: &str = "Microsoft.Resources/subscriptions/resourceGroups/delete";
const READ_IDENTITY: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/read";
const WRITE_IDENTITY: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/write";
const DELETE_IDENTITY: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/delete";
const READ_CREDENTIAL: &str =
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read";
const WRITE_CREDENTIAL: &str =
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write";
const DELETE_CREDENTIAL: &str =
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete";

const READ_LOCK: &str = "Microsoft.Authorization/locks/read";
const WRITE_LOCK: &str = "Microsoft.Authorization/locks/write";
const DELETE_LOCK: &str = "Microsoft.Authorization/locks/delete";

/// The operations of a target, by method.
#[rustfmt::skip] // a table: one row a line
pub(crate) fn action(target: &Target, method: &Method) -> ArmResult<Action> {
    use Target as T;
    let (name, permission) = match (target, method.as_str()) {
        (T::MetadataEndpoints, "GET") => ("Metadata_Endpoints", ""),
        (T::Tenants, "GET") => ("Tenants_List", ""),
        (T::Subscriptions, "GET") => ("Subscriptions_List", ""),
        (T::Subscription(_), "GET") => ("Subscriptions_Get", ""),
        (T::Locations(_), "GET") => ("Subscriptions_ListLocations", READ_LOCATION),
        (T::ProviderOperations, "GET") => ("Operations_List", ""),
        (T::Provider(_), "GET") => ("Providers_Get", ""),
        (T::ResourceGroups(_), "GET") => ("ResourceGroups_List", READ_GROUP),
        (T::ResourceGroup(_), "GET") => ("ResourceGroups_Get", READ_GROUP),
        (T::ResourceGroup(_), "HEAD") => ("ResourceGroups_CheckExistence", READ_GROUP),
        (T::ResourceGroup(_), "PUT") => ("ResourceGroups_CreateOrUpdate", WRITE_GROUP),
        (T::ResourceGroup(_), "DELETE") => ("ResourceGroups_Delete", DELETE_GROUP),
        (T::IdentitiesInSubscription(_), "GET") => ("UserAssignedIdentities_ListBySubscription", READ_IDENTITY),
        (T::IdentitiesInGroup(_), "GET") => ("UserAssignedIdentities_ListByResourceGroup", READ_IDENTITY),
        (T::Identity(_), "GET") => ("UserAssignedIdentities_Get", READ_IDENTITY),
        (T::Identity(_), "PUT") => ("UserAssignedIdentities_CreateOrUpdate", WRITE_IDENTITY),
        (T::Identity(_), "PATCH") => ("UserAssignedIdentities_Update", WRITE_IDENTITY),
        (T::Identity(_), "DELETE") => ("UserAssignedIdentities_Delete", DELETE_IDENTITY),
        (T::Credentials(_), "GET") => ("FederatedIdentityCredentials_List", READ_CREDENTIAL),
        (T::Credential(..), "GET") => ("FederatedIdentityCredentials_Get", READ_CREDENTIAL),
        (T::Credential(..), "PUT") => ("FederatedIdentityCredentials_CreateOrUpdate", WRITE_CREDENTIAL),
        (T::Credential(..), "DELETE") => ("FederatedIdentityCredentials_Delete", DELETE_CREDENTIAL),
        (T::Locks(_), "GET") => ("ManagementLocks_ListByScope", READ_LOCK),
        (T::Lock(..), "GET") => ("ManagementLocks_GetByScope", READ_LOCK),
        (T::Lock(..), "PUT") => ("ManagementLocks_CreateOrUpdateByScope", WRITE_LOCK),
        (T::Lock(..), "DELETE") => ("ManagementLocks_DeleteByScope", DELETE_LOCK),
        _ => return Err(ArmError::method_not_allowed(method)),
    };
    Ok(Action { name, permission })
}
