//! What a new read of Azure means to others than the binding that it was made for.

use super::cleanup::leftovers;
use super::context::Context;
use super::credential::orphans::orphans;
use super::index::readable;
use crate::azure::{Identity, ListedCredential};
use crate::ledger::{BindingRef, Ledger};

/// Has every binding looked at that names the identity by another client id: it was made again.
pub(super) fn identity_seen(identity: &Identity, ledger: &Ledger, ctx: &Context) {
    let bindings = ctx.bindings.of_identity(ledger.id());
    let client_id = identity.client_id.to_string();
    let named = readable(&bindings).filter(|binding| {
        let recorded = binding.status.as_ref().and_then(|it| it.identity.as_ref());
        binding.metadata.deletion_timestamp.is_none()
            && !binding.spec.suspend
            && recorded.is_some_and(|it| {
                it.client_id != client_id && it.managed_identity().as_ref() == Some(ledger.id())
            })
    });
    ledger.wake(named.map(BindingRef::of));
}

/// Tells, once for each change of them, of credentials that have lost their binding, and has those cleaned up that no grant covers.
pub(super) fn listing_seen(listing: &[ListedCredential], ledger: &Ledger, ctx: &Context) {
    let orphans = orphans(listing, ledger.id(), &ctx.defaults.issuer, &ctx.bindings);
    leftovers::note(listing, ledger, ctx);
    let names: Vec<_> = orphans.iter().map(|it| it.name.as_str()).collect();
    if ledger.is_news(&names) && !names.is_empty() {
        tracing::warn!(
            identity = %ledger.id(),
            count = names.len(),
            credentials = names.join(", "),
            "orphaned credentials: azwib made them, and no binding refers to them any more; retained ones are among them"
        );
    }
}
