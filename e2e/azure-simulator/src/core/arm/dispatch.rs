//! From an admitted request to the function that carries it out.

use http::Method;
use jiff::Timestamp;

use super::error::{ArmError, ArmResult};
use super::route::{GroupPath, IdentityPath, Target};
use super::{
    Admitted, credentials, identities, locations, management_locks, metadata, resource_groups,
    subscriptions,
};
use crate::core::Azure;
use crate::core::http::{Request, Response};
use crate::core::time::after;

impl Azure {
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
        // Only the metadata are for everybody.
        let Some(caller) = admitted.caller else {
            return Ok(metadata::endpoints(&self.settings, &admitted.version));
        };
        let identities = identities::Context {
            tenant: self.settings.tenant,
            request,
            version: &admitted.version,
            page_size: self.settings.tunables.page_size,
            now,
        };
        match &admitted.target {
            Target::MetadataEndpoints => Ok(metadata::endpoints(&self.settings, &admitted.version)),
            Target::Tenants => Ok(subscriptions::tenants(&self.settings)),
            Target::ProviderOperations => Ok(subscriptions::provider_operations()),
            Target::Provider(id) => Ok(subscriptions::provider(*id)),
            Target::Locations(id) => Ok(locations::list(*id)),
            Target::Subscriptions => Ok(subscriptions::list(
                &self.state,
                &self.settings,
                caller,
                now,
            )),
            Target::Subscription(id) => {
                subscriptions::get(&self.state, &self.settings, *id, caller, now)
            }
            Target::ResourceGroups(id) => {
                resource_groups::list(&self.state, *id, request, identities.page_size)
            }
            Target::ResourceGroup(path) => self.arm_on_resource_group(path, request),
            Target::IdentitiesInSubscription(id) => {
                identities::list_in_subscription(&self.state, *id, identities)
            }
            Target::IdentitiesInGroup(path) => {
                identities::list_in_group(&self.state, path, identities)
            }
            Target::Identity(path) => self.arm_on_identity(path, identities),
            Target::Locks(scope) => {
                management_locks::list(&self.state, scope, request, identities.page_size)
            }
            Target::Lock(scope, name) => self.arm_on_lock(scope, name, request),
            Target::Credentials(_) | Target::Credential(..) => {
                self.arm_on_credentials(request, admitted, now)
            }
        }
    }

    fn arm_on_resource_group(
        &mut self,
        path: &GroupPath,
        request: &Request,
    ) -> ArmResult<Response> {
        match request.method.as_str() {
            "PUT" => resource_groups::put(&mut self.state, path, request),
            "HEAD" => Ok(resource_groups::check_existence(&self.state, path)),
            "DELETE" => resource_groups::delete(&mut self.state, path),
            _ => resource_groups::get(&self.state, path),
        }
    }

    fn arm_on_lock(
        &mut self,
        scope: &Target,
        name: &str,
        request: &Request,
    ) -> ArmResult<Response> {
        match request.method.as_str() {
            "PUT" => {
                let id = self.request_random.guid();
                management_locks::put(&mut self.state, scope, name, request, id)
            }
            "DELETE" => management_locks::delete(&mut self.state, scope, name),
            _ => management_locks::get(&self.state, scope, name),
        }
    }

    fn arm_on_identity(
        &mut self,
        path: &IdentityPath,
        context: identities::Context<'_>,
    ) -> ArmResult<Response> {
        match context.request.method.as_str() {
            "PUT" => identities::put(&mut self.state, path, context, &mut self.random),
            "PATCH" => identities::patch(&mut self.state, path, context),
            "DELETE" => identities::delete(&mut self.state, path),
            _ => identities::get(&self.state, path, context),
        }
    }

    fn arm_on_credentials(
        &mut self,
        request: &Request,
        admitted: &Admitted,
        now: Timestamp,
    ) -> ArmResult<Response> {
        let method = &request.method;
        if let (Target::Credential(path, _), &(Method::PUT | Method::DELETE)) =
            (&admitted.target, method)
        {
            self.known_everywhere(path, method, now)?;
        }
        let context = credentials::Context {
            request,
            version: &admitted.version,
            tunables: &self.settings.tunables,
            now,
        };
        let (response, changed) = match (&admitted.target, method) {
            (Target::Credentials(path), _) => {
                (credentials::list(&self.state, path, context)?, None)
            }
            (Target::Credential(path, name), &Method::PUT) => {
                self.region_has_credentials(path)?;
                let (response, changed) = credentials::put(&mut self.state, path, name, context)?;
                (response, Some(changed))
            }
            (Target::Credential(path, name), &Method::DELETE) => {
                credentials::delete(&mut self.state, path, name)?
            }
            (Target::Credential(path, name), _) => {
                (credentials::get(&self.state, path, name, context)?, None)
            }
            _ => return Err(ArmError::method_not_allowed(method)),
        };
        if let Some(changed) = changed {
            self.publish(changed, now);
        }
        Ok(response)
    }

    /// Lets the token endpoint, and reads that lag, learn of a change.
    fn publish(&mut self, changed: credentials::Changed, now: Timestamp) {
        let credentials::Changed {
            client_id,
            before,
            credentials,
        } = changed;
        let tunables = &self.settings.tunables;
        let propagated = after(now, tunables.propagation_delay_seconds.saturating_mul(1000));
        self.state.publish_credentials(
            client_id,
            credentials.values().cloned().collect(),
            propagated,
            now,
        );
        match tunables.read_lag_seconds {
            0 => drop(self.state.read_views.remove(&client_id)),
            seconds => {
                let visible = after(now, seconds.saturating_mul(1000));
                self.state
                    .lag_reads(client_id, before, credentials, visible, now);
            }
        }
    }
}
