//! From an admitted request to the function that carries it out.

use jiff::{SignedDuration, Timestamp};

use super::error::{ArmError, ArmResult};
use super::route::{GroupPath, IdentityPath, Target};
use super::{
    Admitted, credentials, identities, locations, metadata, resource_groups, subscriptions,
};
use crate::core::Azure;
use crate::core::http::{Request, Response};

impl Azure {
    pub(super) fn arm_carry_out(
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
        };
        match &admitted.target {
            Target::MetadataEndpoints => Ok(metadata::endpoints(&self.settings, &admitted.version)),
            Target::Tenants => Ok(subscriptions::tenants(&self.settings)),
            Target::ProviderOperations => Ok(subscriptions::provider_operations()),
            Target::Provider(id) => Ok(subscriptions::provider(*id)),
            Target::Locations(id) => Ok(locations::list(*id)),
            Target::Subscriptions => Ok(subscriptions::list(&self.state, &self.settings, caller)),
            Target::Subscription(id) => {
                subscriptions::get(&self.state, &self.settings, *id, caller)
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
                i64::try_from(self.settings.tunables.propagation_delay_seconds).unwrap_or(i64::MAX),
            );
            self.state.publish_credentials(
                changed.client_id,
                changed.credentials,
                now.saturating_add(delay).unwrap_or(now),
            );
        }
        Ok(response)
    }
}
