//! Azure Resource Manager: subscriptions, resource groups, managed identities and their credentials.

pub(crate) mod api_version;
pub(crate) mod authentication;
mod credentials;
mod dispatch;
pub(crate) mod error;
mod headers;
mod identities;
pub(crate) mod ids;
mod locations;
mod metadata;
mod paging;
mod resource_groups;
pub(crate) mod route;
mod subscriptions;
mod tree;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use self::api_version::ApiVersion;
use self::authentication::Caller;
use self::error::{ArmError, ArmResult};
use self::route::{Action, Target};
use super::Azure;
use super::http::{Request, Response};

/// A request to Resource Manager that was let in.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    target: Target,
    version: ApiVersion,
    caller: Option<Caller>,
}

impl Azure {
    /// Reads what a request asks for, for the log and the matchers; errors come with `arm_admit`.
    pub(crate) fn arm_operation(request: &Request) -> &'static str {
        Target::of(request)
            .and_then(|target| route::action(&target, &request.method))
            .map_or("Unknown", |action| action.name)
    }

    /// Authentication and authorization, in Azure's order: version given, token, path, version known,
    /// subscription, role.
    pub(crate) fn arm_admit(
        &self,
        request: &Request,
        now: Timestamp,
    ) -> (Option<Caller>, ArmResult<Admitted>) {
        let mut caller = None;
        let admitted = (|| {
            let version = api_version::required(request)?;
            let target = Target::of(request);
            if !matches!(target, Ok(Target::MetadataEndpoints)) {
                caller = Some(authentication::authenticate(
                    request,
                    &self.settings,
                    &self.signing_key,
                    now,
                )?);
            }
            let target = target?;
            let action = route::action(&target, &request.method)?;
            let version = api_version::supported(&target, version)?;
            if let Some(caller) = caller {
                self.authorize(&target, action, caller)?;
            }
            Ok(Admitted {
                target,
                version,
                caller,
            })
        })();
        (caller, admitted)
    }

    fn authorize(&self, target: &Target, action: Action, caller: Caller) -> ArmResult<()> {
        if let Some(subscription) = target.subscription() {
            self.state.subscription(subscription)?;
        }
        let scope = target.scope();
        if action.permission.is_empty()
            || self
                .state
                .is_allowed(caller.object_id, action.permission, &scope)
        {
            return Ok(());
        }
        Err(ArmError::authorization_failed(
            caller.client_id,
            caller.object_id,
            action.permission,
            &scope,
        ))
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
    pub(crate) fn arm_headers(&mut self, request: &Request, response: Response) -> Response {
        headers::add(request, response, &mut self.request_random)
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
