//! How many requests are let through.

use serde::{Deserialize, Serialize};

/// A budget. It is full at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// Requests a minute that are let through for good.
    pub per_minute: u32,
    /// Requests that can gather while none come.
    pub burst: u32,
}

/// The managed identity provider's budgets for one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScopeRates {
    /// For the tenant.
    pub tenant: Rate,
    /// For a subscription.
    pub subscription: Rate,
    /// For a resource.
    pub resource: Rate,
}

/// The managed identity provider's budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderRates {
    /// For PUT and PATCH.
    pub put: ScopeRates,
    /// For GET of one resource.
    pub get: ScopeRates,
    /// For GET of a list.
    pub list: ScopeRates,
    /// For DELETE.
    pub delete: ScopeRates,
}

/// Resource Manager's budgets for one kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperationRates {
    /// For a principal in a subscription.
    pub subscription: Rate,
    /// For all principals in a subscription.
    pub global: Rate,
    /// For a principal outside subscriptions.
    pub tenant: Rate,
}

/// Resource Manager's budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceManagerRates {
    /// For GET and HEAD.
    pub reads: OperationRates,
    /// For PUT, PATCH and POST.
    pub writes: OperationRates,
    /// For DELETE.
    pub deletes: OperationRates,
}

/// What "per resource" means at the managed identity provider: not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ThrottledResource {
    /// The identity, with all its credentials.
    Identity,
    /// The resource that the request names: each credential for itself.
    Named,
}

/// Limits of requests. `Default` is what is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Throttling {
    /// Resource Manager's.
    pub resource_manager: ResourceManagerRates,
    /// The managed identity provider's.
    pub provider: ProviderRates,
    /// What the provider's limits for a resource count by.
    pub resource: ThrottledResource,
    /// The value of `Retry-After`; absent: the seconds until a token is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// Whether a refusal says so in a header.
    pub sends_retry_after: bool,
    /// `error.code` of the provider's refusals.
    pub provider_code: String,
}

impl Default for Throttling {
    fn default() -> Self {
        Self::published(1)
    }
}

impl Throttling {
    /// The published rates. The provider's bursts are not published: what comes in so many seconds, and one at least.
    pub fn published(provider_burst_seconds: u32) -> Self {
        // Requests a minute; published by the second.
        let rate = |per_minute: u32| Rate {
            per_minute,
            burst: (per_minute.saturating_mul(provider_burst_seconds) / 60).max(1),
        };
        let scopes = |tenant, subscription, resource| ScopeRates {
            tenant: rate(tenant),
            subscription: rate(subscription),
            resource: rate(resource),
        };
        Self {
            resource_manager: ResourceManagerRates {
                reads: manager(1500, 250),
                writes: manager(600, 200),
                deletes: manager(600, 200),
            },
            provider: ProviderRates {
                put: scopes(600, 120, 15),
                get: scopes(1800, 600, 30),
                list: scopes(900, 300, 15),
                delete: scopes(600, 120, 15),
            },
            resource: ThrottledResource::Identity,
            retry_after_seconds: None,
            sends_retry_after: true,
            provider_code: "TooManyRequests".into(),
        }
    }
}

/// The bucket over all principals is 15 times as large. Source: Azure's page on request limits.
fn manager(per_minute: u32, burst: u32) -> OperationRates {
    let own = Rate { per_minute, burst };
    OperationRates {
        subscription: own,
        global: Rate {
            per_minute: per_minute * 15,
            burst: burst * 15,
        },
        tenant: own,
    }
}
