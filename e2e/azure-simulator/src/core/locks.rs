//! Management locks, and policies that deny credentials.

use http::Method;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rbac::covers;

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
    /// Its id in the control API.
    pub id: Uuid,
    /// Its name in Resource Manager.
    pub name: String,
    /// ARM id of a subscription, a resource group or an identity.
    pub scope: String,
    /// What it forbids.
    pub level: LockLevel,
    /// What whoever made it says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
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

/// All locks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Locks(Vec<Lock>);

impl Locks {
    /// Puts one on a scope.
    pub(crate) fn add(&mut self, lock: Lock) {
        self.0.push(lock);
    }

    /// Takes one away; whether it was there.
    pub(crate) fn remove(&mut self, id: Uuid) -> bool {
        let before = self.0.len();
        self.0.retain(|lock| lock.id != id);
        self.0.len() < before
    }

    /// Them, in the order in which they were put.
    pub(crate) fn as_slice(&self) -> &[Lock] {
        &self.0
    }

    /// Those on a scope and below it.
    pub(crate) fn below(&self, scope: &str) -> impl Iterator<Item = &Lock> {
        self.0.iter().filter(move |lock| covers(scope, &lock.scope))
    }

    /// The one of a name on a scope, both compared without case.
    pub(crate) fn named(&self, scope: &str, name: &str) -> Option<&Lock> {
        self.0.iter().find(|lock| {
            lock.name.eq_ignore_ascii_case(name)
                && covers(scope, &lock.scope)
                && covers(&lock.scope, scope)
        })
    }

    /// The lock that forbids a request. What takes others along cannot be deleted while one of them is locked.
    pub(crate) fn against(&self, method: &Method, scope: &str) -> Option<&Lock> {
        self.0.iter().find(|lock| match *method {
            Method::DELETE => covers(&lock.scope, scope) || covers(scope, &lock.scope),
            Method::PUT | Method::PATCH => {
                lock.level == LockLevel::ReadOnly && covers(&lock.scope, scope)
            }
            _ => false,
        })
    }
}

/// All policies that deny credentials.
#[derive(Debug, Clone, Default)]
pub(crate) struct PolicyDenials(Vec<PolicyDenial>);

impl PolicyDenials {
    /// Assigns one to a scope.
    pub(crate) fn add(&mut self, denial: PolicyDenial) {
        self.0.push(denial);
    }

    /// Takes one away; whether it was there.
    pub(crate) fn remove(&mut self, id: Uuid) -> bool {
        let before = self.0.len();
        self.0.retain(|denial| denial.id != id);
        self.0.len() < before
    }

    /// Them, in the order in which they were assigned.
    pub(crate) fn as_slice(&self) -> &[PolicyDenial] {
        &self.0
    }

    /// The policy that denies credentials on a scope.
    pub(crate) fn against(&self, scope: &str) -> Option<&PolicyDenial> {
        self.0.iter().find(|denial| covers(&denial.scope, scope))
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
                name: "lock".into(),
                scope: scope.into(),
                level,
                notes: None,
            };
            let locks = Locks(vec![lock]);
            let credential = format!("{identity}/federatedIdentityCredentials/shop");
            for (method, expected) in [
                (Method::DELETE, deletes),
                (Method::PUT, writes),
                (Method::PATCH, writes),
                (Method::GET, false),
            ] {
                let locked = locks.against(&method, &credential).is_some();
                assert_eq!(locked, expected, "{scope} {level:?} {method}");
            }
        }
    }
}
