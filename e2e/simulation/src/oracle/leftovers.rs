//! What those who have gone have left behind in Azure.

use azwib_crds::{DeletionPolicy, WorkloadIdentityBinding};

use super::duplicates::belongs;
use crate::bindings::account;
use crate::costs::Costs;
use crate::grants::might_retain;
use crate::invariants::Books;
use crate::kubernetes::{Kind, STRIPPED};
use crate::names::{ISSUER, our_name, short, subject};
use crate::setup::World;
use crate::shared::Shared;
use crate::trace::lock;

/// No credential of ours without a binding, but for those that were to stay.
pub const NOTHING_LEFT: &str = "nothing-left-behind";

/// Judges every credential of ours that stands.
pub(super) fn nothing_left(shared: &Shared, world: &World, books: &Books, costs: &Costs) {
    let gone = Gone {
        shared,
        books,
        costs,
    };
    let azure = lock(&shared.azure);
    let bindings = shared.cluster.bindings();
    for identity in &world.identities {
        let id = identity.id();
        let Some(found) = azure.identity(&id) else {
            continue;
        };
        for namespace in &world.namespaces {
            for account in &world.accounts {
                let Some(name) = our_name(namespace, account) else {
                    continue;
                };
                let stands = found
                    .credentials
                    .get(&name.to_ascii_lowercase())
                    .is_some_and(|it| {
                        it.issuer == ISSUER
                            && it.subject.as_deref() == Some(&subject(namespace, account))
                    });
                let needed = bindings
                    .iter()
                    .any(|it| belongs(it, namespace, account, &id));
                if stands && !needed && !gone.may_stay(namespace, account, &id) {
                    let what = format!("the credential of {namespace}/{account} on {}", short(&id));
                    shared.violated(NOTHING_LEFT, what);
                }
            }
        }
    }
}

/// What is known of those that have gone.
struct Gone<'a> {
    shared: &'a Shared,
    books: &'a Books,
    costs: &'a Costs,
}

impl Gone<'_> {
    /// Whether a binding that has gone was to leave its credential behind, or was let go by force.
    fn may_stay(&self, namespace: &str, account: &str, identity: &str) -> bool {
        let (changes, _) = self.shared.cluster.changes(Kind::Binding, 0);
        changes
            .into_iter()
            .filter(|change| change.type_ == "DELETED")
            .filter_map(|change| {
                serde_json::from_value::<WorkloadIdentityBinding>(change.object).ok()
            })
            .filter(|binding| belongs(binding, namespace, account, identity))
            .any(|binding| {
                let annotations = binding.metadata.annotations.clone().unwrap_or_default();
                binding.spec.deletion_policy == DeletionPolicy::Retain
                    && self.might_retain(&binding)
                    || annotations.contains_key("azwib.dev/force-detach")
                    || self.was_stripped_unseen(&binding)
                    || self.was_forgotten(&binding)
                    || self.was_lost_unseen(&binding, identity)
            })
    }

    /// Whether it could leave its credential behind when it went. Its cleanup may have begun a while after its deletion.
    fn might_retain(&self, binding: &WorkloadIdentityBinding) -> bool {
        let Some(deleted) = &binding.metadata.deletion_timestamp else {
            return true;
        };
        let since = deleted.0 - jiff::SignedDuration::from_secs(60);
        !self.shared.requires_grants
            || might_retain(&self.shared.cluster, binding, since).contains(&true)
    }

    /// Whether it had no grant in the end, and nobody knew any more that it had one before.
    fn was_forgotten(&self, binding: &WorkloadIdentityBinding) -> bool {
        let uid = binding.metadata.uid.as_deref().unwrap_or_default();
        self.shared.requires_grants && self.books.is_forgotten(uid)
    }

    /// Whether its finalizer was taken off, and the process that saw it go has died since.
    fn was_stripped_unseen(&self, binding: &WorkloadIdentityBinding) -> bool {
        let annotations = binding.metadata.annotations.as_ref();
        let stripped = annotations.and_then(|it| it.get(STRIPPED)?.parse().ok());
        stripped.is_some_and(|at| self.books.died_since(at))
    }

    /// Whether somebody had overwritten the record of a binding that has gone, and something kept the operator from looking
    /// for the credential, which it does once.
    fn was_lost_unseen(&self, binding: &WorkloadIdentityBinding, identity: &str) -> bool {
        let uid = binding.metadata.uid.as_deref().unwrap_or_default();
        let (namespace, account) = account(binding);
        let name = our_name(namespace, account).unwrap_or_default();
        self.books.lost_at(uid).is_some_and(|version| {
            let (identity, name) = (identity.to_ascii_lowercase(), name.to_ascii_lowercase());
            self.costs.disturbed_since(version, &identity, &name)
        })
    }
}
