//! Bindings that come after something has changed, and identities that come after their bindings.

use std::time::Duration;

use super::azure::{grant_role, now_in_azure, recreate_identity, revoke_role};
use super::bindings::create_for;
use super::candidates::{PATIENCE, free_accounts, one_with_credential};
use crate::bindings::{condition, is_ready};
use crate::disturbances::Refused;
use crate::names::{GROUP, IdentityName};
use crate::setup::World;
use crate::shared::Shared;

/// What is known to be missing is looked for every minute, and a look may have to wait for a request before it.
const LOOKED_FOR: Duration = Duration::from_secs(100);

/// An identity is made again, and a while later, before any resync, a binding comes that never was Ready on it.
pub(super) async fn after_recreation(shared: &Shared, world: &World) {
    let Some((_, identity)) = one_with_credential(shared, world).await else {
        return;
    };
    recreate_identity(&identity, shared);
    shared.sleep(150_000..=280_000).await;
    for (namespace, account) in free_accounts(1, shared, world) {
        create_for(&namespace, &account, &identity, shared, world);
    }
}

/// The status of a binding is refused before it has become Ready. Meanwhile its identity is made again, which the operator
/// reads; and once statuses are taken again, the identity cannot be read.
pub(super) async fn recreated_while_refused(shared: &Shared, world: &World) {
    let free = free_accounts(1, shared, world).pop();
    let (Some(identity), Some((namespace, account))) = (shared.pick(&world.identities), free)
    else {
        return;
    };
    let Some(binding) = create_for(&namespace, &account, &identity, shared, world) else {
        return;
    };
    // For as long as Azure takes to tell everybody of the credential.
    let spreads = |it: &_| {
        let in_place = condition(it, "CredentialReady").is_some_and(|it| it.status == "True");
        in_place && !is_ready(it)
    };
    if !shared.cluster.until(&binding, PATIENCE, spreads).await {
        return;
    }
    shared.count("refused while it spreads");
    let refused = Duration::from_secs(shared.draw(200..=300));
    shared.refuse(&namespace, Refused::Statuses, 422, refused);
    recreate_identity(&identity, shared);
    // Until then the operator has looked again: no read is believed for longer than half a minute.
    let read = Duration::from_secs(shared.draw(90..=150));
    tokio::time::sleep(read).await;
    revoke_role(&identity, shared);
    tokio::time::sleep(refused - read + LOOKED_FOR).await;
    if shared.chance(700) {
        grant_role(&identity, shared);
    }
}

/// A binding waits for an identity that comes long after it.
pub(super) async fn late_identity(shared: &Shared, world: &World) {
    let free = free_accounts(1, shared, world).pop();
    let (Some(other), Some((namespace, account))) = (shared.pick(&world.identities), free) else {
        return;
    };
    let late = IdentityName {
        name: format!("late-{}", shared.draw(0..=999)),
        ..other
    };
    let Some(binding) = create_for(&namespace, &account, &late, shared, world) else {
        return;
    };
    let is_missed = |it: &_| {
        condition(it, "IdentityResolved").is_some_and(|it| it.reason == "IdentityNotFound")
    };
    if !shared.cluster.until(&binding, PATIENCE, is_missed).await {
        return;
    }
    shared.sleep(150_000..=600_000).await;
    let id = late.id();
    now_in_azure(shared, |azure| {
        // The group is there.
        let _ = azure.create_identity(late.subscription, GROUP, &late.name);
    });
    let since = shared.time.now();
    let found = shared.cluster.binding(&namespace, &binding.name);
    let waits = found.is_some_and(|it| is_missed(&it) && it.metadata.deletion_timestamp.is_none());
    tokio::time::sleep(LOOKED_FOR).await;
    if waits {
        shared.tell(|it| it.identity_came(shared, &id, since));
    }
}
