//! What a driver can look at directly: cheap, and past all that delays or refuses a request. What happens without a request
//! is as of the last phase or [`Azure::advance`].

use jiff::Timestamp;
use uuid::Uuid;

use super::Azure;
use super::arm::ids::identity_id;
use super::arm::route::IdentityPath;
use super::locks::{Lock, PolicyDenial};
use super::rbac::{DenyAssignment, RoleAssignment};
use super::request_log::{RequestRecord, SeenSecret};
use super::state::{FederatedCredential, Identity};

impl Azure {
    /// All identities with their ARM ids, as Azure spells them.
    pub fn identities(&self) -> impl Iterator<Item = (String, &Identity)> {
        self.state
            .identities()
            .map(|(subscription, group, identity)| {
                let id = identity_id(subscription, &group.name, &identity.name);
                (id, identity)
            })
    }

    /// The identity with this ARM id, compared without case.
    pub fn identity(&self, id: &str) -> Option<&Identity> {
        self.state.identity(&IdentityPath::parse(id)?).ok()
    }

    /// The credentials of a client that the token endpoint has learnt of.
    pub fn credentials_at_the_token_endpoint(
        &self,
        client_id: Uuid,
        now: Timestamp,
    ) -> &[FederatedCredential] {
        self.state.visible_credentials(client_id, now)
    }

    /// Whether a principal (by object id or client id) may do an action on a scope at this moment: a role allows it, and no
    /// deny assignment forbids it.
    pub fn is_permitted(&self, principal: Uuid, action: &str, scope: &str, now: Timestamp) -> bool {
        let object_id = self.state.object_id(principal);
        self.state.role_grants.allow(object_id, action, scope, now)
            && self.state.deny_assignments.against(action, scope).is_none()
    }

    /// All role assignments that were not taken away.
    pub fn role_assignments(&self) -> Vec<RoleAssignment> {
        self.state.role_grants.assignments().cloned().collect()
    }

    /// All deny assignments.
    pub fn deny_assignments(&self) -> &[DenyAssignment] {
        self.state.deny_assignments.as_slice()
    }

    /// All locks.
    pub fn locks(&self) -> &[Lock] {
        self.state.locks.as_slice()
    }

    /// All policies that deny credentials.
    pub fn policy_denials(&self) -> &[PolicyDenial] {
        self.state.policy_denials.as_slice()
    }

    /// The request log, in order of arrival.
    pub fn requests(&self) -> &[RequestRecord] {
        &self.log.records
    }

    /// A record of the request log; `None` once the log was cleared.
    pub fn request(&self, id: u64) -> Option<&RequestRecord> {
        self.log.find(id)
    }

    /// The secrets that went over the wire.
    pub fn secrets(&self) -> &[SeenSecret] {
        &self.log.secrets
    }
}
