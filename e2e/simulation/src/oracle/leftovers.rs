//! What those who have gone have left behind in Azure.

use azwib_crds::{DeletionPolicy, WorkloadIdentityBinding};

use super::duplicates::belongs;
use super::expected::may_clean_up;
use crate::bindings::{account, is_for, is_ready};
use crate::costs::Costs;
use crate::grants::{covered, might_retain};
use crate::invariants::Books;
use crate::invariants::grants::GRANTED;
use crate::kubernetes::{Kind, STRIPPED};
use crate::names::{ISSUER, our_name, short, subject};
use crate::setup::World;
use crate::shared::Shared;
use crate::trace::lock;

/// No credential of ours without a binding, but for those that were to stay.
pub const NOTHING_LEFT: &str = "nothing-left-behind";

/// Judges every credential of ours that stands. Where grants are required and the identity is listed, nothing stays that neither a
/// binding nor a grant covers.
pub(super) fn nothing_left(shared: &Shared, world: &World, books: &Books, costs: &Costs) {
    let gone = Gone {
        shared,
        books,
        costs,
    };
    let azure = lock(&shared.azure);
    let bindings = shared.cluster.bindings();
    let cluster = &shared.cluster;
    let (grants, namespaces) = (cluster.all(Kind::Grant), cluster.all(Kind::Namespace));
    for identity in &world.identities {
        let id = identity.id();
        let Some(found) = azure.identity(&id) else {
            continue;
        };
        let is_listed = shared.requires_grants && is_listed(shared, &id);
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
                if !stands || needed {
                    continue;
                }
                let what = format!("the credential of {namespace}/{account} on {}", short(&id));
                if !gone.may_stay(namespace, account, &id) {
                    shared.violated(NOTHING_LEFT, what);
                } else if is_listed
                    && may_clean_up(shared, &azure, &id)
                    && !covered(&grants, &namespaces, (namespace, account), &id)
                {
                    shared.violated(
                        GRANTED,
                        format!("{what} stands without a binding or a grant"),
                    );
                }
            }
        }
    }
}

/// Whether the identity is listed in every resync period: whoever is Ready has seen that.
pub(super) fn is_listed(shared: &Shared, id: &str) -> bool {
    let bindings = shared.cluster.bindings();
    bindings
        .iter()
        .any(|it| is_ready(it) && is_for(it, id) && !it.spec.suspend)
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
        let gone = self.shared.cluster.gone_bindings();
        gone.into_iter()
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

    /// Whether its finalizer was taken off, and the process that saw it go has died since, or none ran then.
    fn was_stripped_unseen(&self, binding: &WorkloadIdentityBinding) -> bool {
        let annotations = binding.metadata.annotations.as_ref();
        let stripped = annotations.and_then(|it| it.get(STRIPPED)?.parse().ok());
        stripped.is_some_and(|at| self.books.died_since(at) || self.books.started_since(at))
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
