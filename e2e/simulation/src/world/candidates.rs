//! The bindings and accounts that a step can be done to.

use std::time::Duration;

use azwib_crds::{DeletionPolicy, WorkloadIdentityBinding};

use super::bindings::create_for;
use crate::bindings::{holds_credential, is_for, is_ready};
use crate::kubernetes::{Key, Kind};
use crate::names::IdentityName;
use crate::setup::World;
use crate::shared::Shared;

/// How long something that the operator should do soon is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn delete(binding: &Key, shared: &Shared) {
    shared.trace.note(format!(
        "world: {}/{} goes",
        binding.namespace, binding.name
    ));
    shared.cluster.delete(binding);
}

pub(super) fn key(binding: &WorkloadIdentityBinding) -> Key {
    let metadata = &binding.metadata;
    Key::new(
        Kind::Binding,
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
}

/// At most so many accounts that no binding is for, in an order that the seed decides.
pub(super) fn free_accounts(most: usize, shared: &Shared, world: &World) -> Vec<(String, String)> {
    let taken: Vec<_> = shared
        .cluster
        .bindings()
        .into_iter()
        .filter_map(|it| Some((it.metadata.namespace?, it.spec.service_account.name?)))
        .collect();
    let pairs = world.namespaces.iter().flat_map(|namespace| {
        let accounts = world.accounts.iter();
        accounts.map(move |account| (namespace.clone(), account.clone()))
    });
    let mut free: Vec<_> = pairs.filter(|pair| !taken.contains(pair)).collect();
    let mut drawn = Vec::new();
    while drawn.len() < most
        && let Some(one) = shared.pick(&free)
    {
        free.retain(|it| *it != one);
        drawn.push(one);
    }
    drawn
}

/// The bindings on an identity that want something of it.
pub(super) fn bindings_on(
    identity: &IdentityName,
    shared: &Shared,
) -> Vec<WorkloadIdentityBinding> {
    let mut bindings = shared.cluster.bindings();
    bindings.retain(|it| {
        is_for(it, &identity.id()) && it.metadata.deletion_timestamp.is_none() && !it.spec.suspend
    });
    bindings
}

/// A binding whose credential stands and goes with it: one that there is, or a new one.
pub(super) async fn one_with_credential(
    shared: &Shared,
    world: &World,
) -> Option<(Key, IdentityName)> {
    let identity = shared.pick(&world.identities)?;
    let mut there = bindings_on(&identity, shared);
    there.retain(|it| {
        is_ready(it) && holds_credential(it) && it.spec.deletion_policy == DeletionPolicy::Delete
    });
    if let Some(binding) = shared.pick(&there) {
        return Some((key(&binding), identity));
    }
    let (namespace, account) = free_accounts(1, shared, world).pop()?;
    let binding = create_for(&namespace, &account, &identity, shared, world)?;
    let good = shared.cluster.until(&binding, PATIENCE, is_ready).await;
    good.then_some((binding, identity))
}
