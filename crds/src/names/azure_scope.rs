use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use thiserror::Error;

use super::client_id::parse_guid;
use super::managed_identity_id::{check_resource_group, fold};
use super::text::impl_name;
use super::{InvalidManagedIdentityId, ManagedIdentityId};

/// A part of Azure that holds managed identities: a subscription, a resource group or a single identity.
///
/// Two scopes are equal as two [`ManagedIdentityId`]s are: where they differ only in pairs of one small and one capital letter.
#[derive(Clone, Debug)]
pub struct AzureScope {
    id: Arc<str>,
    key: Arc<str>,
}

/// Why a text is no scope.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidAzureScope {
    /// The text does not have the segments of a scope.
    #[error(
        "the scope is not the id of a subscription (/subscriptions/<subscription>), of a resource group (…/resourceGroups/<group>) or of a user-assigned managed identity (…/providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>); it has no slash at its end, and nothing above a subscription can be a scope"
    )]
    Form,
    /// One of its names is none that Azure admits.
    #[error(transparent)]
    Name(InvalidManagedIdentityId),
}

impl AzureScope {
    /// Reads a scope, its fixed parts in any case.
    ///
    /// # Errors
    /// For ids of anything else, and for names that Azure does not admit.
    pub fn parse(text: &str) -> Result<Self, InvalidAzureScope> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(InvalidAzureScope::Form);
        };
        let segments: Vec<&str> = path.split('/').collect();
        let is = |at: usize, form: &str| {
            let segment = segments.get(at);
            segment.is_some_and(|it| it.eq_ignore_ascii_case(form))
        };
        match segments.as_slice() {
            [_, subscription] if is(0, "subscriptions") => Self::subscription(subscription),
            [_, subscription, _, group] if is(0, "subscriptions") && is(2, "resourceGroups") => {
                Self::resource_group(subscription, group)
            }
            _ => match ManagedIdentityId::parse(text) {
                Ok(id) => Ok(Self::identity(&id)),
                Err(InvalidManagedIdentityId::Form) => Err(InvalidAzureScope::Form),
                Err(name) => Err(InvalidAzureScope::Name(name)),
            },
        }
    }

    /// The scopes that an identity is in, from the widest to the narrowest: its subscription, its resource group and itself.
    pub fn of(identity: &ManagedIdentityId) -> [Self; 3] {
        let (subscription, group) = (identity.subscription_id(), identity.resource_group());
        [
            Self::new(format!("/subscriptions/{subscription}")),
            Self::new(format!(
                "/subscriptions/{subscription}/resourceGroups/{group}"
            )),
            Self::identity(identity),
        ]
    }

    fn subscription(subscription: &str) -> Result<Self, InvalidAzureScope> {
        check_subscription(subscription)?;
        Ok(Self::new(format!("/subscriptions/{subscription}")))
    }

    fn resource_group(subscription: &str, group: &str) -> Result<Self, InvalidAzureScope> {
        check_subscription(subscription)?;
        check_resource_group(group).map_err(InvalidAzureScope::Name)?;
        Ok(Self::new(format!(
            "/subscriptions/{subscription}/resourceGroups/{group}"
        )))
    }

    fn identity(id: &ManagedIdentityId) -> Self {
        Self::new(id.as_str().to_owned())
    }

    fn new(id: String) -> Self {
        Self {
            key: fold(&id).into(),
            id: id.into(),
        }
    }

    /// The scope in its canonical spelling, with the names as they were given.
    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// Whether the identity is in the scope. Whole names are compared: `rg-shop` does not hold what is in `rg-shop-eu`.
    pub fn holds(&self, identity: &ManagedIdentityId) -> bool {
        Self::of(identity).contains(self)
    }
}

impl_name!(AzureScope, InvalidAzureScope);

impl PartialEq for AzureScope {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for AzureScope {}

impl PartialOrd for AzureScope {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for AzureScope {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl Hash for AzureScope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

fn check_subscription(subscription: &str) -> Result<(), InvalidAzureScope> {
    match parse_guid(subscription) {
        Some(_) => Ok(()),
        None => Err(InvalidAzureScope::Name(
            InvalidManagedIdentityId::Subscription,
        )),
    }
}
