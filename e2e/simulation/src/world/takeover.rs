//! What happens around the moment in which another replica takes over: a deletion is under way, and somebody else wants something
//! of the same identity.

use azwib_crds::WorkloadIdentityBinding;

use crate::bindings::{holds_credential, is_ready};
use crate::kubernetes::Key;
use crate::names::IdentityName;
use crate::setup::World;
use crate::shared::Shared;

use super::azure::remove;
use super::bindings::create_for;
use super::candidates::{PATIENCE, bindings_on, delete, free_accounts, one_with_credential};
use super::coincidence::account_of;

/// A good binding whose credential goes with it, and its identity, on which another one is good.
pub async fn one_of_two(shared: &Shared, world: &World) -> Option<(Key, IdentityName)> {
    let (binding, identity) = one_with_credential(shared, world).await?;
    if good_on(&identity, shared).len() < 2 {
        let (namespace, account) = free_accounts(1, shared, world).pop()?;
        let other = create_for(&namespace, &account, &identity, shared, world)?;
        shared.cluster.until(&other, PATIENCE, is_ready).await;
    }
    Some((binding, identity))
}

/// The binding goes.
pub fn goes(binding: &Key, shared: &Shared) {
    delete(binding, shared);
}

/// Something is to be written to this identity: the credential of a good binding is gone, or one more binding comes, perhaps for the
/// account of the one that goes.
pub fn is_wanted(identity: &IdentityName, gone: &Key, shared: &Shared, world: &World) {
    let good = good_on(identity, shared);
    let repaired = shared.pick(&good).filter(|_| shared.chance(800));
    let recorded = repaired.and_then(|it| it.status?.credentials.into_iter().next());
    if let Some(recorded) = recorded {
        remove(identity, &recorded.name, shared);
    }
    // Empty where it has gone already.
    let account = account_of(gone, shared);
    if shared.chance(500) && !account.is_empty() {
        create_for(&gone.namespace, &account, identity, shared, world);
    }
    for (namespace, account) in free_accounts(1, shared, world) {
        create_for(&namespace, &account, identity, shared, world);
    }
}

fn good_on(identity: &IdentityName, shared: &Shared) -> Vec<WorkloadIdentityBinding> {
    let mut good = bindings_on(identity, shared);
    good.retain(|it| is_ready(it) && holds_credential(it));
    good
}
