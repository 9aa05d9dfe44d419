//! What keeps a permitted request from its effect: locks, policies, an identity that is not everywhere yet.

use http::{Method, StatusCode};
use jiff::Timestamp;

use super::error::{ArmError, ArmResult};
use super::route::{IdentityPath, Target};
use crate::core::Azure;
use crate::core::time::after;
use crate::core::tunables::status;

impl Azure {
    /// Locks and policies, which Resource Manager looks at before it asks the provider.
    pub(super) fn guard(&self, target: &Target, method: &Method) -> ArmResult<()> {
        // A lock does not keep itself, or another one, from being taken away.
        if matches!(target, Target::Lock(..)) {
            return Ok(());
        }
        let tunables = &self.settings.tunables;
        let scope = target.scope();
        if let Some(lock) = self.state.locks.against(method, &scope) {
            let operation = match *method {
                Method::DELETE => "delete",
                _ => "write",
            };
            return Err(ArmError::new(
                status(tunables.scope_locked_status),
                "ScopeLocked",
                format!(
                    "The scope '{scope}' cannot perform {operation} operation because following scope(s) are locked: '{}'. Please remove the lock and try again.",
                    lock.scope
                ),
            ));
        }
        if let (Target::Credential(_, name), &Method::PUT) = (target, method)
            && let Some(denial) = self.state.policy_denials.against(&scope)
        {
            return Err(ArmError::new(
                status(tunables.policy_denied_status),
                "RequestDisallowedByPolicy",
                format!(
                    "Resource '{name}' was disallowed by policy. Policy identifiers: '[{{\"policyAssignment\":{{\"name\":\"{0}\",\"id\":\"{1}/providers/Microsoft.Authorization/policyAssignments/{0}\"}}}}]'.",
                    denial.id, denial.scope
                ),
            ));
        }
        Ok(())
    }

    /// Whether the directory and the provider know an identity that was made a moment ago. Azure's own tools meet both
    /// answers: openshift/cloud-credential-operator#878, Azure/Azure-Verified-Modules#2673.
    pub(super) fn known_everywhere(
        &mut self,
        path: &IdentityPath,
        method: &Method,
        now: Timestamp,
    ) -> ArmResult<()> {
        let tunables = &self.settings.tunables;
        let created = self.state.identity(path).ok().and_then(|it| it.created);
        let Some(created) = created else {
            return Ok(());
        };
        let is_within = |seconds: u64| now < after(created, seconds.saturating_mul(1000));
        if is_within(tunables.parent_delay_seconds)
            && self
                .request_random
                .happens(tunables.parent_not_found_per_mille)
        {
            return Err(ArmError::parent_not_found(&path.scope(), method));
        }
        if *method == Method::PUT && is_within(tunables.directory_delay_seconds) {
            return Err((&tunables.directory_answer).into());
        }
        Ok(())
    }

    /// Whether the identity's region has federated identity credentials.
    pub(super) fn region_has_credentials(&self, path: &IdentityPath) -> ArmResult<()> {
        let without = &self.settings.tunables.regions_without_credentials;
        let is_without = self.state.identity(path).is_ok_and(|identity| {
            let location = &identity.location;
            without
                .iter()
                .any(|name| super::locations::normal(name) == *location)
        });
        if is_without {
            return Err(ArmError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "The request format was unexpected : Support for federated identity credentials not enabled",
            ));
        }
        Ok(())
    }
}
