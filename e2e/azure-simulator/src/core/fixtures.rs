//! What a test sets up and looks at directly, past Resource Manager and Entra.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::arm::ids::{fold, identity_id, subscription_id};
use super::arm::route::{GroupPath, IdentityPath};
use super::interference::{Fault, Hold, Latency, RuleError, RuleId};
use super::rbac::Role;
use super::state::{
    ApplicationPrincipal, FederatedCredential, Identity, ResourceGroup, ServicePrincipal,
    Subscription,
};
use super::{Azure, DEFAULT_LOCATION};

/// A fixture that cannot be made.
#[derive(Debug, Error)]
pub enum FixtureError {
    /// What it belongs to does not exist.
    #[error("{0}")]
    Missing(String),
}

/// A managed identity that a fixture made or that was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewIdentity {
    /// ARM id, as Azure spells it.
    pub id: String,
    /// Application (client) id.
    pub client_id: Uuid,
    /// Object id.
    pub principal_id: Uuid,
    /// The tenant.
    pub tenant_id: Uuid,
}

impl Azure {
    pub(crate) fn make_initial_fixtures(&mut self) {
        let settings = self.settings.clone();
        // Only a latency's path can be wrong, and those of the settings are made by this crate.
        let _ = self.interference.set_latencies(settings.latencies);
        self.create_subscription(settings.subscription, "Azure simulator");
        for group in &settings.resource_groups {
            // The subscription was made a line above.
            let _ = self.create_resource_group(settings.subscription, group, DEFAULT_LOCATION);
        }
        for principal in &settings.service_principals {
            self.create_service_principal(principal.clone(), Vec::new());
            self.assign_role(
                &subscription_id(settings.subscription),
                Role::Owner,
                principal.client_id,
            );
        }
    }

    /// Makes a subscription; one that exists keeps what it has.
    pub fn create_subscription(&mut self, id: Uuid, display_name: &str) {
        self.state
            .subscriptions
            .entry(id)
            .or_insert_with(|| Subscription {
                display_name: display_name.to_owned(),
                resource_groups: BTreeMap::new(),
            });
    }

    /// Makes a resource group; one that exists keeps what it has.
    ///
    /// # Errors
    /// If the subscription does not exist.
    pub fn create_resource_group(
        &mut self,
        subscription: Uuid,
        name: &str,
        location: &str,
    ) -> Result<(), FixtureError> {
        self.state
            .subscription_mut(subscription)
            .map_err(|error| FixtureError::Missing(error.message))?
            .resource_groups
            .entry(fold(name))
            .or_insert_with(|| ResourceGroup {
                name: name.to_owned(),
                location: location.to_owned(),
                tags: BTreeMap::new(),
                identities: BTreeMap::new(),
            });
        Ok(())
    }

    /// Makes an identity that is known everywhere; one that exists is returned as it is.
    ///
    /// # Errors
    /// If the resource group does not exist.
    pub fn create_identity(
        &mut self,
        subscription: Uuid,
        group: &str,
        name: &str,
    ) -> Result<NewIdentity, FixtureError> {
        self.make_identity(subscription, group, name, None)
    }

    /// Deletes an identity, if there is one, and makes it anew under the same id: with other client and principal ids,
    /// without credentials, and new to the directory.
    ///
    /// # Errors
    /// If the resource group does not exist.
    pub fn recreate_identity(
        &mut self,
        subscription: Uuid,
        group: &str,
        name: &str,
        now: Timestamp,
    ) -> Result<NewIdentity, FixtureError> {
        let path = IdentityPath {
            group: GroupPath {
                subscription,
                group: group.to_owned(),
            },
            name: name.to_owned(),
        };
        let former = self.state.identity(&path).ok();
        let location = former.map(|identity| identity.location.clone());
        self.delete_identity(subscription, group, name)?;
        let made = self.make_identity(subscription, group, name, Some(now))?;
        if let (Some(location), Ok(identity)) = (location, self.state.identity_mut(&path)) {
            identity.location = location;
        }
        Ok(made)
    }

    /// Deletes an identity with its credentials; whether it was there.
    ///
    /// # Errors
    /// If the resource group does not exist.
    pub fn delete_identity(
        &mut self,
        subscription: Uuid,
        group: &str,
        name: &str,
    ) -> Result<bool, FixtureError> {
        let path = GroupPath {
            subscription,
            group: group.to_owned(),
        };
        let group = self
            .state
            .resource_group_mut(&path)
            .map_err(|error| FixtureError::Missing(error.message))?;
        let removed = group.identities.remove(&name.to_ascii_lowercase());
        Ok(removed.is_some())
    }

    fn make_identity(
        &mut self,
        subscription: Uuid,
        group: &str,
        name: &str,
        created: Option<Timestamp>,
    ) -> Result<NewIdentity, FixtureError> {
        let tenant_id = self.settings.tenant;
        let (client_id, principal_id) = (self.random.guid(), self.random.guid());
        let path = GroupPath {
            subscription,
            group: group.to_owned(),
        };
        let group = self
            .state
            .resource_group_mut(&path)
            .map_err(|error| FixtureError::Missing(error.message))?;
        let location = group.location.clone();
        let identity = group
            .identities
            .entry(name.to_ascii_lowercase())
            .or_insert_with(|| Identity {
                name: name.to_owned(),
                location,
                tags: BTreeMap::new(),
                client_id,
                principal_id,
                isolation_scope: None,
                credentials: BTreeMap::new(),
                created,
            });
        Ok(NewIdentity {
            id: identity_id(subscription, &group.name, &identity.name),
            client_id: identity.client_id,
            principal_id: identity.principal_id,
            tenant_id,
        })
    }

    /// Puts a credential on an identity, past all validation; the token endpoint sees it at once.
    ///
    /// # Errors
    /// If the identity does not exist.
    pub fn put_credential(
        &mut self,
        subscription: Uuid,
        group: &str,
        identity: &str,
        credential: FederatedCredential,
        now: Timestamp,
    ) -> Result<(), FixtureError> {
        let path = IdentityPath {
            group: GroupPath {
                subscription,
                group: group.to_owned(),
            },
            name: identity.to_owned(),
        };
        let identity = self
            .state
            .identity_mut(&path)
            .map_err(|error| FixtureError::Missing(error.message))?;
        identity
            .credentials
            .insert(credential.name.to_ascii_lowercase(), credential);
        let identity = identity.clone();
        self.publish_at_once(&identity, now);
        Ok(())
    }

    /// Removes a credential of an identity, past all that could refuse it; the token endpoint sees it at once. Whether it
    /// was there.
    ///
    /// # Errors
    /// If the identity does not exist.
    pub fn remove_credential(
        &mut self,
        subscription: Uuid,
        group: &str,
        identity: &str,
        name: &str,
        now: Timestamp,
    ) -> Result<bool, FixtureError> {
        let path = IdentityPath {
            group: GroupPath {
                subscription,
                group: group.to_owned(),
            },
            name: identity.to_owned(),
        };
        let identity = self
            .state
            .identity_mut(&path)
            .map_err(|error| FixtureError::Missing(error.message))?;
        let removed = identity.credentials.remove(&name.to_ascii_lowercase());
        let identity = identity.clone();
        self.publish_at_once(&identity, now);
        Ok(removed.is_some())
    }

    fn publish_at_once(&mut self, identity: &Identity, now: Timestamp) {
        self.state.read_views.remove(&identity.client_id);
        let credentials = identity.credentials.values().cloned().collect();
        self.state
            .publish_credentials(identity.client_id, credentials, now, now);
    }

    /// Makes the service principal of an application, or replaces its secret and credentials. Returns its object id.
    pub fn create_service_principal(
        &mut self,
        principal: ServicePrincipal,
        credentials: Vec<FederatedCredential>,
    ) -> Uuid {
        let new_object_id = self.random.guid();
        let object_id = self
            .state
            .applications
            .get(&principal.client_id)
            .map_or(new_object_id, |existing| existing.object_id);
        self.state.publish_credentials(
            principal.client_id,
            credentials.clone(),
            // Fixtures count from the beginning of time on.
            Timestamp::MIN,
            Timestamp::MIN,
        );
        self.state.applications.insert(
            principal.client_id,
            ApplicationPrincipal {
                object_id,
                secrets: principal.secret.into_iter().collect(),
                credentials,
            },
        );
        object_id
    }

    /// Forgets logged requests and secrets.
    pub fn clear_log(&mut self) {
        self.log.clear();
    }

    /// Adds a fault.
    ///
    /// # Errors
    /// If its matcher or its answer is none.
    pub fn add_fault(&mut self, fault: Fault) -> Result<RuleId, RuleError> {
        self.interference.add_fault(fault)
    }

    /// Removes a fault.
    pub fn remove_fault(&mut self, id: RuleId) {
        self.interference.remove_fault(id);
    }

    /// Adds a hold; the driver does the holding.
    ///
    /// # Errors
    /// If its matcher is none.
    pub fn add_hold(&mut self, hold: Hold) -> Result<RuleId, RuleError> {
        self.interference.add_hold(hold)
    }

    /// Removes a hold.
    pub fn remove_hold(&mut self, id: RuleId) {
        self.interference.remove_hold(id);
    }

    /// Replaces all latencies.
    ///
    /// # Errors
    /// If a matcher is none.
    pub fn set_latencies(&mut self, latencies: Vec<Latency>) -> Result<(), RuleError> {
        self.interference.set_latencies(latencies)
    }
}
