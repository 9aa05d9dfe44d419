//! Resource ids.

use uuid::Uuid;

/// The API version of resource groups.
pub const RESOURCES: &str = "2022-09-01";
/// The API version of management locks.
pub const LOCKS: &str = "2016-09-01";

/// A resource group's address.
#[derive(Debug, Clone)]
pub struct GroupId {
    /// The subscription.
    pub subscription: Uuid,
    /// Its name.
    pub name: String,
}

impl GroupId {
    /// Its resource id.
    pub fn id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}",
            self.subscription, self.name
        )
    }

    /// The locks on it and below it.
    pub fn locks(&self) -> String {
        format!("{}/providers/Microsoft.Authorization/locks", self.id())
    }

    /// An identity in it.
    pub fn identity(&self, name: &str) -> IdentityId {
        IdentityId(format!(
            "{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}",
            self.id()
        ))
    }
}

/// An identity's address.
#[derive(Debug, Clone)]
pub struct IdentityId(String);

impl IdentityId {
    /// Its resource id.
    pub fn id(&self) -> &str {
        &self.0
    }

    /// Its credentials.
    pub fn credentials(&self) -> String {
        format!("{}/federatedIdentityCredentials", self.0)
    }

    /// One of its credentials.
    pub fn credential(&self, name: &str) -> String {
        format!("{}/{name}", self.credentials())
    }

    /// A lock on it.
    pub fn lock(&self, name: &str) -> String {
        format!("{}/providers/Microsoft.Authorization/locks/{name}", self.0)
    }
}
