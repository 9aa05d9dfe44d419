//! Management locks, and policies that deny credentials.

use http::Method;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rbac::covers;
use super::state::State;

/// What a lock forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockLevel {
    /// Deletions.
    CanNotDelete,
    /// Deletions and writes.
    ReadOnly,
}

/// A lock on a scope and all that is below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lock {
    /// Its id.
    pub id: Uuid,
    /// ARM id of a subscription, a resource group or an identity.
    pub scope: String,
    /// What it forbids.
    pub level: LockLevel,
}

/// A policy assignment that denies writes of federated identity credentials on a scope and below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyDenial {
    /// Its id.
    pub id: Uuid,
    /// ARM id of a subscription, a resource group or an identity.
    pub scope: String,
}

impl State {
    /// The lock that forbids a request. What takes others along cannot be deleted while one of them is locked.
    pub(crate) fn lock_against(&self, method: &Method, scope: &str) -> Option<&Lock> {
        self.locks.iter().find(|lock| match *method {
            Method::DELETE => covers(&lock.scope, scope) || covers(scope, &lock.scope),
            Method::PUT | Method::PATCH => {
                lock.level == LockLevel::ReadOnly && covers(&lock.scope, scope)
            }
            _ => false,
        })
    }

    /// The policy that denies credentials on a scope.
    pub(crate) fn policy_against(&self, scope: &str) -> Option<&PolicyDenial> {
        self.policy_denials
            .iter()
            .find(|denial| covers(&denial.scope, scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_forbids_deletions_or_writes_on_its_scope_and_below() {
        use LockLevel::{CanNotDelete, ReadOnly};
        let identity = "/subscriptions/s/resourceGroups/shop/providers/p/u/orders";
        for (scope, level, deletes, writes) in [
            ("/subscriptions/S", CanNotDelete, true, false),
            (
                "/subscriptions/s/resourcegroups/SHOP/",
                ReadOnly,
                true,
                true,
            ),
            (identity, CanNotDelete, true, false),
            (
                "/subscriptions/s/resourceGroups/shop-two",
                ReadOnly,
                false,
                false,
            ),
        ] {
            let lock = Lock {
                id: Uuid::nil(),
                scope: scope.into(),
                level,
            };
            let state = State {
                locks: vec![lock],
                ..State::default()
            };
            let credential = format!("{identity}/federatedIdentityCredentials/shop");
            for (method, expected) in [
                (Method::DELETE, deletes),
                (Method::PUT, writes),
                (Method::PATCH, writes),
                (Method::GET, false),
            ] {
                let locked = state.lock_against(&method, &credential).is_some();
                assert_eq!(locked, expected, "{scope} {level:?} {method}");
            }
        }
    }
}
