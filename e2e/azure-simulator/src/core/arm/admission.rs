//! Whether a request is let in: authentication, limits, authorization, locks and policies.

use http::Method;
use jiff::Timestamp;

use super::api_version;
use super::arrival::{Admitted, Arrival};
use super::authentication::{self, Caller};
use super::error::{ArmError, ArmResult};
use super::route::{self, Action, Target};
use crate::core::Azure;
use crate::core::http::Request;
use crate::core::throttle::Throttled;

impl Azure {
    /// Reads what a request asks for, for the log and the matchers; errors come with `arm_admit`.
    pub(crate) fn arm_operation(request: &Request) -> &'static str {
        Target::of(request)
            .and_then(|target| route::action(&target, &request.method))
            .map_or("Unknown", |action| action.name)
    }

    /// Authentication, limits and authorization, in Azure's order: version given, token, path, version known, Resource
    /// Manager's budgets, subscription, role, locks and policies, the provider's budgets. Where the request is lost on its way
    /// (`reaches_the_provider`), no budget is touched.
    pub(crate) fn arm_admit(
        &mut self,
        request: &Request,
        reaches_the_provider: bool,
        now: Timestamp,
    ) -> Arrival {
        let mut arrival = Arrival {
            caller: None,
            written_identity: None,
            admitted: Err(ArmError::method_not_allowed(&request.method)),
            remaining: None,
            throttled_by: None,
        };
        arrival.admitted = self.arm_let_in(request, reaches_the_provider, &mut arrival, now);
        arrival
    }

    fn arm_let_in(
        &mut self,
        request: &Request,
        reaches_the_provider: bool,
        arrival: &mut Arrival,
        now: Timestamp,
    ) -> ArmResult<Admitted> {
        let version = api_version::required(request)?;
        let target = Target::of(request);
        if !matches!(target, Ok(Target::MetadataEndpoints)) {
            arrival.caller = Some(authentication::authenticate(
                request,
                &self.settings,
                &self.signing_key,
                &mut self.verified_tokens,
                now,
            )?);
        }
        let target = target?;
        let method = &request.method;
        arrival.written_identity = match (&target, method) {
            (Target::Credential(path, _), &(Method::PUT | Method::DELETE)) => Some(path.lower_id()),
            _ => None,
        };
        let action = route::action(&target, method)?;
        let version = api_version::supported(&target, version)?;
        if let Some(caller) = arrival.caller {
            if reaches_the_provider {
                let (remaining, taken) =
                    self.throttle_at_resource_manager(&target, method, caller, now);
                arrival.remaining = remaining;
                self.unless_throttled(taken, arrival)?;
            }
            self.authorize(&target, action, caller, now)?;
            self.guard(&target, method)?;
            if reaches_the_provider {
                let taken = self.throttle_at_provider(&target, method, now);
                self.unless_throttled(taken, arrival)?;
            }
        }
        Ok(Admitted {
            target,
            version,
            caller: arrival.caller,
        })
    }

    fn unless_throttled(
        &self,
        taken: Result<(), Throttled>,
        arrival: &mut Arrival,
    ) -> ArmResult<()> {
        taken.map_err(|throttled| {
            let answer = self.throttled(&throttled);
            arrival.throttled_by = Some(throttled.scope);
            answer
        })
    }

    fn authorize(
        &self,
        target: &Target,
        action: Action,
        caller: Caller,
        now: Timestamp,
    ) -> ArmResult<()> {
        if let Some(subscription) = target.subscription() {
            self.state.subscription(subscription)?;
        }
        let scope = target.scope();
        let (client, object, permission) = (caller.client_id, caller.object_id, action.permission);
        if permission.is_empty() {
            return Ok(());
        }
        if !self
            .state
            .role_grants
            .allow(object, permission, &scope, now)
        {
            return Err(ArmError::authorization_failed(
                client, object, permission, &scope,
            ));
        }
        match self.state.deny_assignments.against(permission, &scope) {
            None => Ok(()),
            Some(denial) => Err(ArmError::denied(client, object, permission, &scope, denial)),
        }
    }
}
