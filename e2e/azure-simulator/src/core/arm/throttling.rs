//! The budgets that a request to Resource Manager draws on, and the answers where one is used up.

use http::{Method, StatusCode};
use jiff::Timestamp;

use super::authentication::Caller;
use super::error::ArmError;
use super::route::Target;
use crate::core::Azure;
use crate::core::throttle::{
    OperationRates, Rate, Remaining, ScopeRates, ThrottleLevel, ThrottleScope, Throttled,
    ThrottledResource, Throttling,
};

/// How Resource Manager counts a method.
pub(super) fn kind(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "reads",
        Method::DELETE => "deletes",
        _ => "writes",
    }
}

fn scope(level: ThrottleLevel, operation: &str, key: impl Into<String>) -> ThrottleScope {
    ThrottleScope {
        level,
        operation: operation.to_owned(),
        key: key.into(),
    }
}

impl Azure {
    /// Draws on Resource Manager's own budgets.
    pub(super) fn throttle_at_resource_manager(
        &mut self,
        target: &Target,
        method: &Method,
        caller: Caller,
        now: Timestamp,
    ) -> (Option<Remaining>, Result<(), Throttled>) {
        use ThrottleLevel::{
            ResourceManagerGlobal, ResourceManagerSubscription, ResourceManagerTenant,
        };
        let Some(throttling) = &self.settings.tunables.throttling else {
            return (None, Ok(()));
        };
        let kind = kind(method);
        let rates: &OperationRates = match kind {
            "reads" => &throttling.resource_manager.reads,
            "deletes" => &throttling.resource_manager.deletes,
            _ => &throttling.resource_manager.writes,
        };
        let principal = caller.object_id;
        let scopes: Vec<(ThrottleScope, Rate)> = match target.subscription() {
            Some(subscription) => {
                let key = format!("{subscription}/{principal}");
                vec![
                    (
                        scope(ResourceManagerSubscription, kind, key),
                        rates.subscription,
                    ),
                    (
                        scope(ResourceManagerGlobal, kind, subscription),
                        rates.global,
                    ),
                ]
            }
            None => vec![(scope(ResourceManagerTenant, kind, principal), rates.tenant)],
        };
        let taken = self
            .throttle
            .take(&scopes, throttling.retry_after_seconds, now);
        let left = |index: usize| {
            let scope = scopes.get(index);
            scope.map_or(0, |(scope, _)| self.throttle.remaining(scope))
        };
        let remaining = match scopes.len() {
            1 => Remaining::Tenant(left(0)),
            _ => Remaining::Subscription {
                own: left(0),
                global: left(1),
            },
        };
        (Some(remaining), taken)
    }

    /// Draws on the managed identity provider's budgets.
    pub(super) fn throttle_at_provider(
        &mut self,
        target: &Target,
        method: &Method,
        now: Timestamp,
    ) -> Result<(), Throttled> {
        let Some(throttling) = &self.settings.tunables.throttling else {
            return Ok(());
        };
        let Some((operation, rates)) = provider_rates(throttling, target, method) else {
            return Ok(());
        };
        let mut scopes = Vec::with_capacity(3);
        if let Some(resource) = resource(throttling, target) {
            scopes.push((
                scope(ThrottleLevel::Resource, operation, resource),
                rates.resource,
            ));
        }
        if let Some(subscription) = target.subscription() {
            scopes.push((
                scope(ThrottleLevel::Subscription, operation, subscription),
                rates.subscription,
            ));
        }
        scopes.push((
            scope(ThrottleLevel::Tenant, operation, self.settings.tenant),
            rates.tenant,
        ));
        self.throttle
            .take(&scopes, throttling.retry_after_seconds, now)
    }

    /// The answer where a budget is used up.
    pub(super) fn throttled(&self, throttled: &Throttled) -> ArmError {
        let Throttled { scope, retry_after } = throttled;
        let throttling = self.settings.tunables.throttling.as_ref();
        let (code, message) = match scope.level {
            // Code and text: MicrosoftDocs/azure-docs#105248.
            ThrottleLevel::ResourceManagerSubscription | ThrottleLevel::ResourceManagerGlobal => {
                let (subscription, actor) = scope.key.split_once('/').unwrap_or((&scope.key, ""));
                let kind = scope.operation.trim_end_matches('s');
                (
                    "SubscriptionRequestsThrottled",
                    format!(
                        "Number of '{kind}' requests for subscription '{subscription}' actor '{actor}' exceeded. Please try again after '{retry_after}' seconds after additional tokens are available. Refer to https://aka.ms/arm-throttling for additional information."
                    ),
                )
            }
            // Text: microsoft/onefuzz#249.
            level => {
                let what = match level {
                    ThrottleLevel::Resource => "resource",
                    ThrottleLevel::Subscription => "subscription",
                    _ => "tenant",
                };
                let code = throttling.map_or("TooManyRequests", |t| t.provider_code.as_str());
                (
                    code,
                    format!(
                        "Request is temporarily throttled because {what} {} has issued too many requests. Retry after {retry_after} seconds.",
                        scope.key
                    ),
                )
            }
        };
        let mut error = ArmError::new(StatusCode::TOO_MANY_REQUESTS, code, message);
        if throttling.is_none_or(|throttling| throttling.sends_retry_after) {
            error.headers.push(("retry-after", retry_after.to_string()));
        }
        error
    }
}

/// The provider's name for the operation, and its budgets; `None` for what is not the provider's.
fn provider_rates<'a>(
    throttling: &'a Throttling,
    target: &Target,
    method: &Method,
) -> Option<(&'static str, &'a ScopeRates)> {
    let rates = &throttling.provider;
    let is_list = match target {
        Target::Identity(_) | Target::Credential(..) => false,
        Target::IdentitiesInSubscription(_)
        | Target::IdentitiesInGroup(_)
        | Target::Credentials(_) => true,
        _ => return None,
    };
    Some(match *method {
        Method::GET if is_list => ("LIST", &rates.list),
        Method::GET => ("GET", &rates.get),
        Method::DELETE => ("DELETE", &rates.delete),
        _ => ("PUT", &rates.put),
    })
}

/// The resource that a budget is counted by; lists of identities have none.
fn resource(throttling: &Throttling, target: &Target) -> Option<String> {
    let identity = match target {
        Target::Identity(path) | Target::Credentials(path) | Target::Credential(path, _) => {
            path.lower_id()
        }
        _ => return None,
    };
    Some(match (throttling.resource, target) {
        (ThrottledResource::Named, Target::Credential(_, name)) => {
            format!(
                "{identity}/federatedidentitycredentials/{}",
                name.to_ascii_lowercase()
            )
        }
        _ => identity,
    })
}
