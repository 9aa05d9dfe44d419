//! Azure Resource Manager: subscriptions, resource groups, managed identities and their credentials.

pub(crate) mod api_version;
pub(crate) mod authentication;
mod credentials;
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

use jiff::{SignedDuration, Timestamp};
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

    fn arm_carry_out(
        &mut self,
        request: &Request,
        admitted: &Admitted,
        now: Timestamp,
    ) -> ArmResult<Response> {
        let Admitted {
            target,
            version,
            caller,
        } = admitted;
        let identities = identities::Context {
            tenant: self.settings.tenant,
            request,
            version,
            page_size: self.settings.tunables.page_size,
        };
        match (target, request.method.as_str(), caller) {
            (Target::MetadataEndpoints, ..) => Ok(metadata::endpoints(&self.settings, version)),
            (Target::Tenants, ..) => Ok(subscriptions::tenants(&self.settings)),
            (Target::ProviderOperations, ..) => Ok(subscriptions::provider_operations()),
            (Target::Provider(subscription), ..) => Ok(subscriptions::provider(*subscription)),
            (Target::Locations(subscription), ..) => Ok(locations::list(*subscription)),
            (Target::Subscriptions, _, Some(caller)) => {
                Ok(subscriptions::list(&self.state, &self.settings, *caller))
            }
            (Target::Subscription(id), _, Some(caller)) => {
                subscriptions::get(&self.state, &self.settings, *id, *caller)
            }
            (Target::ResourceGroups(id), ..) => {
                resource_groups::list(&self.state, *id, request, identities.page_size)
            }
            (Target::ResourceGroup(path), "PUT", _) => {
                resource_groups::put(&mut self.state, path, request)
            }
            (Target::ResourceGroup(path), "HEAD", _) => {
                Ok(resource_groups::check_existence(&self.state, path))
            }
            (Target::ResourceGroup(path), "DELETE", _) => {
                let (response, clients) = resource_groups::delete(&mut self.state, path)?;
                self.forget_clients(clients);
                Ok(response)
            }
            (Target::ResourceGroup(path), ..) => resource_groups::get(&self.state, path),
            (Target::IdentitiesInSubscription(id), ..) => {
                identities::list_in_subscription(&self.state, *id, identities)
            }
            (Target::IdentitiesInGroup(path), ..) => {
                identities::list_in_group(&self.state, path, identities)
            }
            (Target::Identity(path), "PUT", _) => {
                identities::put(&mut self.state, path, identities, &mut self.random)
            }
            (Target::Identity(path), "PATCH", _) => {
                identities::patch(&mut self.state, path, identities)
            }
            (Target::Identity(path), "DELETE", _) => {
                let (response, client) = identities::delete(&mut self.state, path)?;
                self.forget_clients(client);
                Ok(response)
            }
            (Target::Identity(path), ..) => identities::get(&self.state, path, identities),
            (Target::Credentials(_) | Target::Credential(..), ..) => {
                self.arm_carry_out_on_credentials(request, admitted, now)
            }
            (Target::Subscriptions | Target::Subscription(_), _, None) => {
                Err(ArmError::method_not_allowed(&request.method))
            }
        }
    }

    fn arm_carry_out_on_credentials(
        &mut self,
        request: &Request,
        admitted: &Admitted,
        now: Timestamp,
    ) -> ArmResult<Response> {
        let context = credentials::Context {
            request,
            version: &admitted.version,
            tunables: &self.settings.tunables,
        };
        let (response, changed) = match (&admitted.target, request.method.as_str()) {
            (Target::Credentials(path), _) => {
                (credentials::list(&self.state, path, context)?, None)
            }
            (Target::Credential(path, name), "PUT") => {
                let (response, changed) = credentials::put(&mut self.state, path, name, context)?;
                (response, Some(changed))
            }
            (Target::Credential(path, name), "DELETE") => {
                credentials::delete(&mut self.state, path, name)?
            }
            (Target::Credential(path, name), _) => (
                credentials::get(&self.state, path, name, context.version)?,
                None,
            ),
            _ => return Err(ArmError::method_not_allowed(&request.method)),
        };
        if let Some(changed) = changed {
            let delay = SignedDuration::from_secs(
                i64::try_from(self.settings.tunables.propagation_delay_seconds).unwrap_or(0),
            );
            self.state.publish_credentials(
                changed.client_id,
                changed.credentials,
                now.saturating_add(delay).unwrap_or(now),
            );
        }
        Ok(response)
    }

    /// A client whose identity is gone can sign in no more.
    fn forget_clients(&mut self, clients: impl IntoIterator<Item = uuid::Uuid>) {
        for client in clients {
            self.state.credential_views.remove(&client);
        }
    }

    /// Adds the headers that every answer of Resource Manager has.
    pub(crate) fn arm_headers(&mut self, request: &Request, response: Response) -> Response {
        headers::add(request, response, &mut self.request_random)
    }
}

/// Reads a JSON body.
fn parse_body<T: DeserializeOwned>(request: &Request) -> ArmResult<T> {
    serde_json::from_slice(&request.body).map_err(|e| ArmError::invalid_content(&e.to_string()))
}
