//! Crowds in a namespace of their own, that others must not wait for.

use std::time::Duration;

use azwib_crds::{
    CredentialSpec, DeletionPolicy, IdentityReference, ServiceAccountSpec,
    WorkloadIdentityBindingSpec,
};

use super::bindings::{create, create_for};
use super::candidates::{delete, free_accounts};
use crate::kubernetes::{Key, Kind};
use crate::names::IdentityName;
use crate::setup::World;
use crate::shared::Shared;

/// The namespace of a crowd.
const CROWD: &str = "crowd";

/// Many bindings are for identities that do not exist, and a newcomer comes.
pub(super) async fn missing_identities(shared: &Shared, world: &World) {
    let crowd = gather(30, shared, world);
    newcomer(shared, world).await;
    shared.sleep(60_000..=200_000).await;
    disperse(&crowd, shared);
}

/// Each write of the operator in a namespace takes long, and a newcomer comes in another one.
pub(super) async fn slow_namespace(shared: &Shared, world: &World) {
    let time = Duration::from_secs(shared.draw(30..=120));
    shared.slow_down(CROWD, time);
    let crowd = gather(16, shared, world);
    newcomer(shared, world).await;
    tokio::time::sleep(time).await;
    disperse(&crowd, shared);
}

async fn newcomer(shared: &Shared, world: &World) {
    shared.sleep(0..=5_000).await;
    let Some(identity) = shared.pick(&world.identities) else {
        return;
    };
    for (namespace, account) in free_accounts(1, shared, world) {
        create_for(&namespace, &account, &identity, shared, world);
    }
}

/// So many bindings, each for an identity of its own that is not there.
fn gather(count: usize, shared: &Shared, world: &World) -> Vec<Key> {
    let Some(other) = shared.pick(&world.identities) else {
        return vec![];
    };
    shared.cluster.create_namespace(CROWD);
    // Another crowd has others: the first look of a new binding is no repeat.
    let crowd = shared.draw(0..=9_999);
    let bindings = (0..count).map(|number| {
        let nobody = IdentityName {
            name: format!("nobody-{crowd}-{number}"),
            ..other.clone()
        };
        let spec = WorkloadIdentityBindingSpec {
            identity: IdentityReference {
                resource_id: Some(nobody.id()),
                ..IdentityReference::default()
            },
            service_account: ServiceAccountSpec {
                name: Some(format!("nobody-{number}")),
                ..ServiceAccountSpec::default()
            },
            credential: CredentialSpec::default(),
            deletion_policy: DeletionPolicy::Delete,
            suspend: false,
        };
        let binding = Key::new(Kind::Binding, CROWD, &format!("c-{number}"));
        create(&binding, &spec, shared).then_some(binding)
    });
    bindings.flatten().collect()
}

fn disperse(crowd: &[Key], shared: &Shared) {
    for binding in crowd {
        delete(binding, shared);
    }
}
