//! The memory of leftovers: credentials of azwib's that no binding records and no grant covers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard};

use azwib_crds::{CredentialName, Issuer, ManagedIdentityId};
use tokio::time::Instant;

use super::orphans::account_of_ours;
use crate::azure::ListedCredential;
use crate::ledger::BindingRef;
use crate::runtime::lock::lock;

/// A credential that no binding has.
#[derive(Debug, Clone)]
pub struct Leftover {
    pub identity: ManagedIdentityId,
    pub credential: ListedCredential,
    pub name: CredentialName,
    pub namespace: String,
    pub service_account: String,
    /// When a listing has shown it so first.
    pub since: Instant,
}

impl Leftover {
    /// A listed credential whose name is the one that azwib gives to the account that it is for.
    pub fn of(
        credential: &ListedCredential,
        identity: &ManagedIdentityId,
        issuer: &Issuer,
    ) -> Option<Self> {
        let ((namespace, service_account), name) = account_of_ours(credential, issuer)?;
        Some(Self {
            identity: identity.clone(),
            namespace,
            service_account,
            credential: credential.clone(),
            name,
            since: Instant::now(),
        })
    }

    /// What its passes go by. No binding has such a name.
    pub fn who(&self) -> BindingRef {
        BindingRef {
            namespace: self.namespace.clone(),
            name: format!("{}@{}", self.name, self.identity.key()),
        }
    }
}

/// The leftovers that wait for the end of their grace.
#[derive(Debug, Default)]
pub struct Leftovers(Mutex<HashMap<BindingRef, Arc<Leftover>>>);

impl Leftovers {
    /// The one with this name.
    pub fn get(&self, who: &BindingRef) -> Option<Arc<Leftover>> {
        self.all().get(who).cloned()
    }

    /// Whether it was not known.
    pub fn add(&self, leftover: Leftover) -> bool {
        match self.all().entry(leftover.who()) {
            Entry::Vacant(place) => {
                place.insert(Arc::new(leftover));
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    pub fn forget(&self, who: &BindingRef) {
        self.all().remove(who);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<BindingRef, Arc<Leftover>>> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::CredentialContent;

    const ISSUER: &str = "https://oidc.example/";
    const OURS: &str = "azwib-shop-orders-99bb76e015ed7c8774a80011f8ebdf81";

    fn found(name: &str, subject: &str) -> Option<Leftover> {
        let id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/\
                  Microsoft.ManagedIdentity/userAssignedIdentities/orders";
        let content = CredentialContent {
            issuer: ISSUER.to_owned(),
            subject: subject.to_owned(),
            audiences: vec![],
        };
        let listed = ListedCredential {
            name: name.to_owned(),
            content: Some(content),
        };
        let id = ManagedIdentityId::parse(id).unwrap();
        Leftover::of(&listed, &id, &Issuer::parse(ISSUER).unwrap())
    }

    #[tokio::test]
    async fn only_a_name_that_is_computed_from_its_own_subject_is_azwibs() {
        let ours = found(OURS, "system:serviceaccount:shop:orders").unwrap();
        assert_eq!(
            (&*ours.namespace, &*ours.service_account),
            ("shop", "orders")
        );
        assert!(found(&OURS.to_uppercase(), "system:serviceaccount:shop:orders").is_some());
        for (name, subject) in [
            (OURS, "system:serviceaccount:shop:other"),
            (OURS, "repo:azwib"),
            ("azwib-shop-orders", "system:serviceaccount:shop:orders"),
        ] {
            assert!(found(name, subject).is_none(), "{name} {subject}");
        }
    }

    #[tokio::test]
    async fn a_leftover_is_noted_once_and_can_be_forgotten() {
        let (leftovers, one) = (Leftovers::default(), || {
            found(OURS, "system:serviceaccount:shop:orders").unwrap()
        });
        assert!(leftovers.add(one()));
        assert!(!leftovers.add(one()));
        let who = one().who();
        assert_eq!(leftovers.get(&who).unwrap().name, one().name);
        leftovers.forget(&who);
        assert!(leftovers.get(&who).is_none());
    }
}
