//! Finding a node of the resource tree, with the error of the level that is missing.

use uuid::Uuid;

use super::error::{ArmError, ArmResult};
use super::ids::fold;
use super::route::{GroupPath, IdentityPath};
use crate::core::state::{Identity, ResourceGroup, State, Subscription};

impl State {
    pub(crate) fn subscription(&self, id: Uuid) -> ArmResult<&Subscription> {
        self.subscriptions
            .get(&id)
            .ok_or_else(|| ArmError::subscription_not_found(id))
    }

    pub(crate) fn subscription_mut(&mut self, id: Uuid) -> ArmResult<&mut Subscription> {
        self.subscriptions
            .get_mut(&id)
            .ok_or_else(|| ArmError::subscription_not_found(id))
    }

    pub(crate) fn resource_group(&self, path: &GroupPath) -> ArmResult<&ResourceGroup> {
        self.subscription(path.subscription)?
            .resource_groups
            .get(&fold(&path.group))
            .ok_or_else(|| ArmError::group_not_found(&path.group))
    }

    pub(crate) fn resource_group_mut(&mut self, path: &GroupPath) -> ArmResult<&mut ResourceGroup> {
        self.subscription_mut(path.subscription)?
            .resource_groups
            .get_mut(&fold(&path.group))
            .ok_or_else(|| ArmError::group_not_found(&path.group))
    }

    pub(crate) fn identity(&self, path: &IdentityPath) -> ArmResult<&Identity> {
        self.resource_group(&path.group)?
            .identities
            .get(&path.name.to_ascii_lowercase())
            .ok_or_else(|| ArmError::identity_not_found(&path.group.group, &path.name))
    }

    pub(crate) fn identity_mut(&mut self, path: &IdentityPath) -> ArmResult<&mut Identity> {
        self.resource_group_mut(&path.group)?
            .identities
            .get_mut(&path.name.to_ascii_lowercase())
            .ok_or_else(|| ArmError::identity_not_found(&path.group.group, &path.name))
    }
}
