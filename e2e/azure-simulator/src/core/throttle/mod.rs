//! Limits of requests: token buckets, and which one refused.

mod bucket;
mod rates;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::bucket::{Bucket, Verdict};
pub use self::rates::{
    OperationRates, ProviderRates, Rate, ResourceManagerRates, ScopeRates, ThrottledResource,
    Throttling,
};

/// Whose budget it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ThrottleLevel {
    /// The managed identity provider's for one resource.
    Resource,
    /// The managed identity provider's for a subscription.
    Subscription,
    /// The managed identity provider's for the tenant.
    Tenant,
    /// Resource Manager's for a principal in a subscription.
    ResourceManagerSubscription,
    /// Resource Manager's for all principals in a subscription.
    ResourceManagerGlobal,
    /// Resource Manager's for a principal in the tenant: requests outside subscriptions.
    ResourceManagerTenant,
}

/// One budget.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThrottleScope {
    /// Whose it is.
    pub level: ThrottleLevel,
    /// What it is for: `PUT`, `GET`, `LIST`, `DELETE` of the provider; `reads`, `writes`, `deletes` of Resource Manager.
    pub operation: String,
    /// The resource, subscription, principal or tenant.
    pub key: String,
}

/// What is left in Resource Manager's buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remaining {
    /// Of a request in a subscription: for its principal, and for all.
    Subscription { own: u64, global: u64 },
    /// Of a request outside.
    Tenant(u64),
}

/// A request that a budget refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Throttled {
    pub(crate) scope: ThrottleScope,
    /// Seconds until a token is there.
    pub(crate) retry_after: u64,
}

/// All buckets that were used.
#[derive(Debug, Default)]
pub(crate) struct Throttle(BTreeMap<ThrottleScope, Bucket>);

impl Throttle {
    /// Takes a token from each of these budgets, or from none where one of them is used up: the first that is is named.
    pub(crate) fn take(
        &mut self,
        scopes: &[(ThrottleScope, Rate)],
        retry_after_seconds: Option<u64>,
        now: Timestamp,
    ) -> Result<(), Throttled> {
        for (scope, rate) in scopes {
            let bucket = self
                .0
                .entry(scope.clone())
                .or_insert_with(|| Bucket::full(*rate, now));
            if let Verdict::Wait { seconds } = bucket.ask(*rate, retry_after_seconds, now) {
                return Err(Throttled {
                    scope: scope.clone(),
                    retry_after: seconds,
                });
            }
        }
        for (scope, _) in scopes {
            if let Some(bucket) = self.0.get_mut(scope) {
                bucket.take();
            }
        }
        Ok(())
    }

    /// Whole tokens that are left.
    pub(crate) fn remaining(&self, scope: &ThrottleScope) -> u64 {
        self.0.get(scope).map_or(0, Bucket::tokens)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn scope(key: &str) -> ThrottleScope {
        ThrottleScope {
            level: ThrottleLevel::Resource,
            operation: "PUT".into(),
            key: key.into(),
        }
    }

    #[test]
    fn a_request_that_one_budget_refuses_takes_nothing_from_the_others() {
        let one_a_minute = Rate {
            per_minute: 1,
            burst: 1,
        };
        let two_a_minute = Rate {
            per_minute: 2,
            burst: 2,
        };
        let (orders, all) = (scope("orders"), scope("all"));
        let both = [(orders, one_a_minute), (all.clone(), two_a_minute)];
        let now = Timestamp::UNIX_EPOCH;
        let mut throttle = Throttle::default();
        assert_eq!(throttle.take(&both, None, now), Ok(()));
        let refused = throttle.take(&both, None, now + SignedDuration::from_secs(1));
        assert_eq!(
            refused.map_err(|refused| (refused.scope.key, refused.retry_after)),
            Err(("orders".to_owned(), 59))
        );
        assert_eq!(throttle.remaining(&all), 1);
    }
}
