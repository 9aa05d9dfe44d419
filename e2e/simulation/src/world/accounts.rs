//! What people, policies and the garbage collector do to accounts.

use azwib_crds::WorkloadIdentityBinding;

use super::step::Step;
use crate::bindings::account;
use crate::kubernetes::{CLIENT_ID, Key, Kind};
use crate::setup::World;
use crate::shared::Shared;

const ANNOTATIONS: [&str; 3] = [
    CLIENT_ID,
    "azure.workload.identity/tenant-id",
    "azure.workload.identity/service-account-token-expiration",
];

pub(super) async fn on_accounts(step: Step, shared: &Shared, world: &World) {
    match step {
        Step::EditAccount => {
            if let Some(key) = some_account(shared) {
                edit(&key, shared);
            }
        }
        Step::FightOverAccount => fight(shared).await,
        Step::OrphanedDeletion => orphaned_deletion(shared).await,
        _ => change_policy(shared, world),
    }
}

fn some_account(shared: &Shared) -> Option<Key> {
    let bindings: Vec<WorkloadIdentityBinding> = shared.cluster.bindings();
    let keys: Vec<_> = bindings
        .iter()
        .map(|binding| {
            let (namespace, name) = account(binding);
            Key::new(Kind::Account, namespace, name)
        })
        .filter(|key| shared.cluster.get(key).is_some())
        .collect();
    shared.pick(&keys)
}

/// Somebody changes or removes an annotation.
fn edit(key: &Key, shared: &Shared) {
    let Some(annotation) = shared.pick(&ANNOTATIONS) else {
        return;
    };
    let value = shared.draw(0..=999).to_string();
    let value = (!shared.chance(300)).then_some(value.as_str());
    shared.tell(|it| it.account_edited(shared, key));
    shared.trace.note(format!(
        "world: {}/{} gets {annotation} {value:?} by hand",
        key.namespace, key.name
    ));
    shared.cluster.edit_account(key, annotation, value);
}

/// Somebody does so in a loop, or in bursts with a pause so long that azwib takes it for over.
async fn fight(shared: &Shared) {
    let Some(key) = some_account(shared) else {
        return;
    };
    let in_bursts = shared.chance(500);
    for _ in 0..shared.draw(30..=120) {
        edit(&key, shared);
        if in_bursts && shared.chance(100) {
            shared.sleep(31_000..=33_000).await;
        } else {
            shared.sleep(50..=300).await;
        }
    }
}

/// A binding goes, and its account is to stay.
async fn orphaned_deletion(shared: &Shared) {
    let alive = shared.cluster.bindings().into_iter();
    let alive = alive.filter(|it| it.metadata.deletion_timestamp.is_none());
    let keys: Vec<_> = alive
        .filter_map(|it| Some((it.metadata.namespace?, it.metadata.name?)))
        .map(|(namespace, name)| Key::new(Kind::Binding, &namespace, &name))
        .collect();
    let Some(key) = shared.pick(&keys) else {
        return;
    };
    let whose = format!("{}/{}", key.namespace, key.name);
    shared
        .trace
        .note(format!("world: {whose} goes and orphans"));
    shared.cluster.delete_orphaning(&key);
    shared.sleep(0..=300).await;
    if let Some(uid) = shared.cluster.orphan_dependents(&key) {
        shared.tell(|it| it.dependents_orphaned(shared, uid.clone()));
    }
}

/// A policy of a namespace comes, or goes again.
fn change_policy(shared: &Shared, world: &World) {
    let Some(namespace) = shared.pick(&world.namespaces) else {
        return;
    };
    let client_id = match shared.cluster.policy(&namespace) {
        Some(_) => None,
        None => Some("11111111-2222-3333-4444-555555555555".to_owned()),
    };
    shared
        .trace
        .note(format!("world: the policy of {namespace} is {client_id:?}"));
    shared.tell(|it| it.account_policy_changed(shared));
    shared.cluster.set_policy(&namespace, client_id);
}
