//! Azure Resource Manager: subscriptions, resource groups, managed identities and their credentials.

pub(crate) mod api_version;
pub(crate) mod authentication;
mod credentials;
mod dispatch;
pub(crate) mod error;
mod guards;
mod headers;
mod identities;
pub(crate) mod ids;
mod locations;
mod metadata;
mod paging;
mod resource_groups;
pub(crate) mod route;
mod subscriptions;
mod throttling;
mod tree;

use http::Method;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use self::api_version::ApiVersion;
use self::authentication::Caller;
use self::error::{ArmError, ArmResult};
use self::route::{Action, Target};
use super::Azure;
use super::http::{Request, Response};
use super::throttle::{Remaining, ThrottleScope, Throttled};

/// A request to Resource Manager that was let in.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    target: Target,
    version: ApiVersion,
    caller: Option<Caller>,
}

/// A request at Resource Manager's door.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Who sends it, once that is known.
    pub(crate) caller: Option<Caller>,
    /// The lower-cased id of the identity whose credentials it writes.
    pub(crate) written_identity: Option<String>,
    /// Whether it is let in.
    pub(crate) admitted: ArmResult<Admitted>,
    /// What is left in Resource Manager's buckets, where they are counted.
    pub(crate) remaining: Option<Remaining>,
    /// The budget that was used up.
    pub(crate) throttled_by: Option<ThrottleScope>,
}

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
        if !self.state.is_allowed(object, permission, &scope, now) {
            return Err(ArmError::authorization_failed(
                client, object, permission, &scope,
            ));
        }
        match self.state.denial_of(permission, &scope) {
            None => Ok(()),
            Some(denial) => Err(ArmError::denied(client, object, permission, &scope, denial)),
        }
    }

    /// Carries an admitted request out: validation against the state, change, answer.
    pub(crate) fn arm_effect(
        &mut self,
        request: &Request,
        admitted: ArmResult<Admitted>,
        now: Timestamp,
    ) -> Response {
        admitted
            .and_then(|admitted| self.arm_carry_out(request, &admitted, now))
            .unwrap_or_else(ArmError::into_response)
    }

    /// Adds the headers that every answer of Resource Manager has.
    pub(crate) fn arm_headers(
        &mut self,
        request: &Request,
        response: Response,
        remaining: Option<Remaining>,
    ) -> Response {
        let is_counted = self.settings.tunables.throttling.is_some();
        let remaining = match remaining {
            None if !is_counted => Some(headers::fresh(request)),
            remaining => remaining,
        };
        headers::add(request, response, remaining, &mut self.request_random)
    }
}

/// Reads a JSON body: an object, with an object as its properties. Serde alone would take arrays in their place, with the
/// fields in the order of the type.
fn parse_body<T: DeserializeOwned>(request: &Request) -> ArmResult<T> {
    let invalid = |e: serde_json::Error| ArmError::invalid_content(&e.to_string());
    let body: serde_json::Value = serde_json::from_slice(&request.body).map_err(invalid)?;
    if !body.is_object() || body.get("properties").is_some_and(|it| it.is_array()) {
        return Err(ArmError::invalid_content("an object was expected"));
    }
    serde_json::from_slice(&request.body).map_err(invalid)
}
