//! Others who write to an identity while the operator does.

use super::bindings::create_for;
use super::candidates::{delete, free_accounts, one_with_credential};
use crate::names::short;
use crate::setup::World;
use crate::shared::Shared;
use crate::trace::lock;

/// A binding goes and others come, and somebody else writes to their identity all the while: short writes one after the other, or
/// some that take long.
pub(super) async fn others_write(shared: &Shared, world: &World) {
    let Some((binding, identity)) = one_with_credential(shared, world).await else {
        return;
    };
    let what = format!("world: others write to {}", short(&identity.id()));
    shared.trace.note(what);
    delete(&binding, shared);
    for (namespace, account) in free_accounts(2, shared, world) {
        create_for(&namespace, &account, &identity, shared, world);
    }
    let take_long = shared.chance(200);
    for _ in 0..shared.draw(3..=8) {
        let write = lock(&shared.azure).begin_elsewhere(&identity.id());
        if take_long {
            shared.sleep(5_000..=20_000).await;
        } else {
            shared.sleep(200..=2_000).await;
        }
        if let Some(write) = write {
            lock(&shared.azure).end(write, None, shared.time.now());
        }
        shared.sleep(0..=800).await;
    }
}
