//! Who may do what, set up directly: roles, locks, policies and tokens, past the APIs that Azure has for them.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::locks::{Lock, LockLevel, PolicyDenial};
use super::rbac::{DenyAssignment, Role, RoleAssignment};
use super::time::after;
use super::{Azure, FixtureError};

impl Azure {
    /// Gives a principal (by object id or client id) a role on a scope, which counts at once. Returns the assignment's id.
    pub fn assign_role(&mut self, scope: &str, role: Role, principal: Uuid) -> Uuid {
        self.grant(scope, role, principal, Timestamp::MIN)
    }

    /// The same, and it counts after `rolePropagationSeconds`.
    pub fn assign_role_at(
        &mut self,
        scope: &str,
        role: Role,
        principal: Uuid,
        now: Timestamp,
    ) -> Uuid {
        let from = self.role_change_counts(now);
        self.grant(scope, role, principal, from)
    }

    fn grant(&mut self, scope: &str, role: Role, principal: Uuid, from: Timestamp) -> Uuid {
        let id = self.random.guid();
        let assignment = RoleAssignment {
            id,
            scope: scope.to_owned(),
            role,
            principal_id: self.state.object_id(principal),
        };
        self.state.role_grants.add(assignment, from);
        id
    }

    /// Takes a role assignment away, which counts at once; whether it was there.
    pub fn delete_role_assignment(&mut self, id: Uuid) -> bool {
        self.state.role_grants.revoke(id, Timestamp::MIN)
    }

    /// The same, and it counts after `rolePropagationSeconds`.
    pub fn delete_role_assignment_at(&mut self, id: Uuid, now: Timestamp) -> bool {
        let until = self.role_change_counts(now);
        self.state.role_grants.revoke(id, until)
    }

    fn role_change_counts(&self, now: Timestamp) -> Timestamp {
        let seconds = self.settings.tunables.role_propagation_seconds;
        after(now, seconds.saturating_mul(1000))
    }

    /// Takes these actions on a scope and below from everybody. Returns the deny assignment's id.
    pub fn assign_denial(&mut self, scope: &str, actions: &[&str]) -> Uuid {
        let id = self.random.guid();
        self.state.deny_assignments.add(DenyAssignment {
            id,
            scope: scope.to_owned(),
            actions: actions.iter().map(ToString::to_string).collect(),
        });
        id
    }

    /// Takes a deny assignment away; whether it was there.
    pub fn delete_denial(&mut self, id: Uuid) -> bool {
        self.state.deny_assignments.remove(id)
    }

    /// Puts a lock on a scope. Returns its id.
    pub fn lock(&mut self, scope: &str, level: LockLevel) -> Uuid {
        let id = self.random.guid();
        self.state.locks.add(Lock {
            id,
            name: id.to_string(),
            scope: scope.to_owned(),
            level,
            notes: None,
        });
        id
    }

    /// Takes a lock away; whether it was there.
    pub fn unlock(&mut self, id: Uuid) -> bool {
        self.state.locks.remove(id)
    }

    /// Denies writes of credentials on a scope and below. Returns the id of the policy's assignment.
    pub fn deny_by_policy(&mut self, scope: &str) -> Uuid {
        let id = self.random.guid();
        self.state.policy_denials.add(PolicyDenial {
            id,
            scope: scope.to_owned(),
        });
        id
    }

    /// Takes such a policy away; whether it was there.
    pub fn allow_by_policy(&mut self, id: Uuid) -> bool {
        self.state.policy_denials.remove(id)
    }

    /// A token of a client for Resource Manager, past the token endpoint.
    ///
    /// # Errors
    /// If there is no such client.
    pub fn issue_token(
        &mut self,
        client: Uuid,
        lifetime: SignedDuration,
        now: Timestamp,
    ) -> Result<String, FixtureError> {
        let missing = || FixtureError::Missing(format!("no client {client}"));
        let wanted = self.state.client(client).ok_or_else(missing)?;
        let audience = self.settings.endpoints.arm().to_owned();
        let seconds = u64::try_from(lifetime.as_secs()).unwrap_or(0);
        self.access_token(&wanted, &audience, seconds, now)
            .map_err(|_| missing())
    }
}
