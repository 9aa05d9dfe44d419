//! Things that come together within a moment: each of them alone proves little.

use std::time::Duration;

use azwib_crds::{CredentialOrigin, DeletionPolicy, WorkloadIdentityBinding};

use super::azure::{
    changed, credentials, delete_identity, fill, grant_role, is_ours, leftover, remove,
    revoke_role, write,
};
use super::bindings::{ask_for_fresh_reads, create, create_for};
use super::candidates::{PATIENCE, bindings_on, delete, free_accounts, key, one_with_credential};
use crate::bindings::{age, condition, holds_credential, is_ready};
use crate::disturbances::Fate;
use crate::kubernetes::{Key, Kind};
use crate::names::{IdentityName, our_name};
use crate::setup::{BINDINGS_OF_AN_ACCOUNT, World};
use crate::shared::Shared;

/// Several bindings come, and the first write meets Azure's wish for a pause.
pub(super) async fn bindings_at_once(shared: &Shared, world: &World) {
    let Some(identity) = shared.pick(&world.identities) else {
        return;
    };
    if shared.chance(500) {
        shared.let_next_write_meet(Fate::Throttled);
    }
    for (namespace, account) in free_accounts(5, shared, world) {
        create_for(&namespace, &account, &identity, shared, world);
        shared.sleep(0..=100).await;
    }
}

/// A subscription is told to be quiet for years, and somebody asks for fresh reads of all that is in it.
pub(super) async fn silenced_subscription(shared: &Shared, world: &World) {
    let Some(identity) = shared.pick(&world.identities) else {
        return;
    };
    for (namespace, account) in free_accounts(1, shared, world) {
        create_for(&namespace, &account, &identity, shared, world);
    }
    shared.silence(&identity.scope_of_subscription());
    for _ in 0..2 {
        for identity in &world.identities {
            for binding in bindings_on(identity, shared) {
                ask_for_fresh_reads(&key(&binding), shared);
            }
        }
        shared.sleep(1_000..=120_000).await;
    }
}

/// A binding goes just after its credential was sent, while the watch lags and the answer may be lost.
pub(super) async fn deletion_at_write(shared: &Shared, world: &World) {
    let free = free_accounts(1, shared, world).pop();
    let (Some(identity), Some((namespace, account))) = (shared.pick(&world.identities), free)
    else {
        return;
    };
    let created = create_for(&namespace, &account, &identity, shared, world);
    let Some(binding) = created else {
        return;
    };
    match shared.draw(0..=3) {
        0 => {}
        1 => shared.let_next_write_meet(Fate::AnswerLost),
        _ => shared.let_next_write_meet(Fate::EffectLate),
    }
    let recorded = shared.cluster.until(&binding, PATIENCE, is_recorded).await;
    if recorded && shared.chance(600) {
        let stall = shared.draw(1..=15);
        shared.stall_watches(Duration::from_secs(stall));
    }
    if shared.chance(500) {
        shared.sleep(0..=200).await;
    } else {
        shared.sleep(0..=4000).await;
    }
    delete(&binding, shared);
    if shared.chance(200) {
        shared.crash();
    }
}

/// Somebody changes a credential, and its binding goes before that is noticed.
pub(super) async fn change_at_deletion(shared: &Shared, world: &World) {
    let Some((binding, identity)) = one_with_credential(shared, world).await else {
        return;
    };
    let account = account_of(&binding, shared);
    let name = our_name(&binding.namespace, &account).unwrap_or_default();
    let present = credentials(&identity, shared);
    let Some(one) = present
        .into_iter()
        .find(|it| it.name.eq_ignore_ascii_case(&name))
    else {
        return;
    };
    // Its subject mostly, which makes it somebody else's.
    let number = 2 * shared.draw(0..=99) + u64::from(shared.chance(200));
    write(&identity, vec![changed(one, number)], shared);
    shared.sleep(0..=300).await;
    delete(&binding, shared);
}

/// Several wait for a slot of an identity, the process ends as a rule, and a slot becomes free.
pub(super) async fn slot_freed_at_restart(shared: &Shared, world: &World) {
    let Some(identity) = shared.pick(&world.identities) else {
        return;
    };
    fill(&identity, shared, world);
    let accounts = free_accounts(3, shared, world);
    if !wait_in_line(&accounts, &identity, shared, world).await {
        return;
    }
    if shared.chance(700) {
        shared.crash();
    }
    shared.sleep(0..=500).await;
    let foreign = credentials(&identity, shared);
    let foreign: Vec<_> = foreign.into_iter().filter(|it| !is_ours(it)).collect();
    if let Some(one) = shared.pick(&foreign) {
        remove(&identity, &one.name, shared);
    }
}

/// Bindings of these accounts come to a full identity and wait. Whether two or more have waited for long enough for their
/// order to be judged.
async fn wait_in_line(
    accounts: &[(String, String)],
    identity: &IdentityName,
    shared: &Shared,
    world: &World,
) -> bool {
    let mut waiting = 0;
    for (namespace, account) in accounts {
        let created = create_for(namespace, account, identity, shared, world);
        if let Some(binding) = created {
            let waits = shared.cluster.until(&binding, PATIENCE, waits_for_slot);
            waiting += u32::from(waits.await);
        }
    }
    if waiting < 2 {
        return false;
    }
    shared.sleep(91_000..=130_000).await;
    true
}

/// While several wait for a slot, a binding comes whose credential is there already, with other content, and somebody
/// removes that just then.
pub(super) async fn leftover_removed(shared: &Shared, world: &World) {
    let mut accounts = free_accounts(4, shared, world);
    let (Some(identity), Some((namespace, account))) =
        (shared.pick(&world.identities), accounts.pop())
    else {
        return;
    };
    let Some(left) = leftover(&namespace, &account) else {
        return;
    };
    let name = left.name.clone();
    if credentials(&identity, shared).len() < world.limit {
        write(&identity, vec![left], shared);
    }
    fill(&identity, shared, world);
    if wait_in_line(&accounts, &identity, shared, world).await {
        create_for(&namespace, &account, &identity, shared, world);
        shared.sleep(0..=400).await;
    }
    remove(&identity, &name, shared);
}

/// Several bindings of an identity go at once, and Azure wants a pause.
pub(super) async fn deletions_throttled(shared: &Shared, world: &World) {
    let Some(identity) = shared.pick(&world.identities) else {
        return;
    };
    for (namespace, account) in free_accounts(3, shared, world) {
        let created = create_for(&namespace, &account, &identity, shared, world);
        if let Some(binding) = created {
            shared.cluster.until(&binding, PATIENCE, is_ready).await;
        }
    }
    let mut going = bindings_on(&identity, shared);
    going.retain(|it| holds_credential(it) && it.spec.deletion_policy == DeletionPolicy::Delete);
    // The youngest goes first and is told to wait: once that is over, the older ones come before it.
    going.sort_by_key(|it| std::cmp::Reverse(age(it)));
    shared.let_next_write_meet(Fate::Throttled);
    for binding in going.iter().take(3) {
        delete(&key(binding), shared);
        shared.sleep(0..=300).await;
    }
}

/// Somebody takes the free slots, and after a while the process ends and a binding wants one.
pub(super) async fn slots_taken_at_restart(shared: &Shared, world: &World) {
    let Some((_, identity)) = one_with_credential(shared, world).await else {
        return;
    };
    fill(&identity, shared, world);
    shared.sleep(80_000..=200_000).await;
    if shared.chance(700) {
        shared.crash();
    }
    for (namespace, account) in free_accounts(1, shared, world) {
        create_for(&namespace, &account, &identity, shared, world);
    }
}

/// The operator loses its role, and somebody asks for fresh reads of bindings that are Ready.
pub(super) async fn fresh_reads_without_role(shared: &Shared, world: &World) {
    let Some((_, identity)) = one_with_credential(shared, world).await else {
        return;
    };
    revoke_role(&identity, shared);
    for _ in 0..3 {
        shared.sleep(1_000..=120_000).await;
        for binding in bindings_on(&identity, shared) {
            ask_for_fresh_reads(&key(&binding), shared);
        }
    }
    if shared.chance(700) {
        grant_role(&identity, shared);
    }
}

/// An identity goes, and bindings of it go in the same moment.
pub(super) async fn identity_gone_at_deletion(shared: &Shared, world: &World) {
    let Some((binding, identity)) = one_with_credential(shared, world).await else {
        return;
    };
    let identity_first = shared.chance(500);
    if identity_first {
        delete_identity(&identity, shared);
        shared.sleep(0..=300).await;
    }
    delete(&binding, shared);
    for other in bindings_on(&identity, shared) {
        if shared.chance(300) {
            delete(&key(&other), shared);
        }
    }
    if !identity_first {
        shared.sleep(0..=300).await;
        delete_identity(&identity, shared);
    }
}

/// Two bindings for the same go, and the watch may show of the first alone that it does.
pub(super) async fn duplicates_go_together(shared: &Shared, world: &World) {
    let Some((older, identity)) = one_with_credential(shared, world).await else {
        return;
    };
    let account = account_of(&older, shared);
    let created = create_for(&older.namespace, &account, &identity, shared, world);
    let Some(younger) = created else {
        return;
    };
    let relies = shared.cluster.until(&younger, PATIENCE, knows_of_older);
    relies.await;
    delete(&older, shared);
    shared.sleep(0..=100).await;
    if shared.chance(500) {
        let stall = shared.draw(1..=10);
        shared.stall_watches(Duration::from_secs(stall));
    }
    shared.sleep(0..=100).await;
    delete(&younger, shared);
}

/// A binding is renamed: another one that asks for the same comes, and once that is Ready the old one goes, as tools do it
/// that prune last.
pub(super) async fn rename(shared: &Shared, world: &World) {
    let Some((old, _)) = one_with_credential(shared, world).await else {
        return;
    };
    let Some(before) = shared.cluster.binding(&old.namespace, &old.name) else {
        return;
    };
    let mut spec = before.spec;
    if shared.chance(200) {
        spec.deletion_policy = DeletionPolicy::Retain;
    }
    let name = format!("b-{}", shared.draw(0..=99));
    let new = Key::new(Kind::Binding, &old.namespace, &name);
    if !create(&new, &spec, shared) {
        return;
    }
    if shared.cluster.until(&new, PATIENCE, is_ready).await {
        shared.count("renamed");
    }
    match shared.draw(0..=4) {
        0 => shared.crash(),
        1 => {
            let stall = shared.draw(1..=10);
            shared.stall_watches(Duration::from_secs(stall));
        }
        _ => {}
    }
    shared.sleep(0..=300).await;
    delete(&old, shared);
    if shared.chance(200) {
        shared.sleep(0..=300).await;
        shared.crash();
    }
}

/// More bindings come for one account than are served, and one of the older ones goes.
pub(super) async fn crowded_account(shared: &Shared, world: &World) {
    let Some((namespace, account)) = free_accounts(1, shared, world).pop() else {
        return;
    };
    let mut crowd = Vec::new();
    for _ in 0..BINDINGS_OF_AN_ACCOUNT + 2 {
        let Some(identity) = shared.pick(&world.identities) else {
            return;
        };
        crowd.extend(create_for(&namespace, &account, &identity, shared, world));
        shared.sleep(1_000..=5_000).await;
    }
    let Some(first_beyond) = crowd.get(BINDINGS_OF_AN_ACCOUNT) else {
        return;
    };
    let refused = shared.cluster.until(first_beyond, PATIENCE, is_not_served);
    if !refused.await {
        return;
    }
    shared.count("not served");
    if shared.chance(300) {
        shared.crash();
    }
    shared.sleep(0..=20_000).await;
    if let Some(older) = shared.pick(&crowd[..BINDINGS_OF_AN_ACCOUNT]) {
        delete(&older, shared);
    }
    let served = |it: &WorkloadIdentityBinding| !is_not_served(it);
    if shared.cluster.until(first_beyond, PATIENCE, served).await {
        shared.count("served after all");
    }
}

/// A binding goes and comes back under its name, and the next process begins with a list that shows it going.
pub(super) async fn recreation_at_restart(shared: &Shared, world: &World) {
    let Some((binding, _)) = one_with_credential(shared, world).await else {
        return;
    };
    let Some(before) = shared.cluster.binding(&binding.namespace, &binding.name) else {
        return;
    };
    delete(&binding, shared);
    let version = shared.cluster.version();
    if !shared.cluster.until_gone(&binding, PATIENCE).await
        || !create(&binding, &before.spec, shared)
        || !shared.cluster.until(&binding, PATIENCE, is_ready).await
    {
        return;
    }
    shared.crash();
    shared.let_next_list_show(version);
    shared.stall_watches(Duration::from_secs(25));
}

pub(super) fn account_of(binding: &Key, shared: &Shared) -> String {
    let found = shared.cluster.binding(&binding.namespace, &binding.name);
    let account = found.and_then(|it| it.spec.service_account.name);
    account.unwrap_or_default()
}

pub(super) fn is_recorded(binding: &WorkloadIdentityBinding) -> bool {
    let status = binding.status.iter();
    let mut credentials = status.flat_map(|status| &status.credentials);
    credentials.any(|it| it.origin == CredentialOrigin::Pending)
}

fn is_not_served(binding: &WorkloadIdentityBinding) -> bool {
    condition(binding, "Ready").is_some_and(|it| it.reason == "ServiceAccountLimitReached")
}

fn knows_of_older(binding: &WorkloadIdentityBinding) -> bool {
    let reasons = ["DuplicateBinding", "ProvidedByOlderBinding"];
    condition(binding, "CredentialReady").is_some_and(|it| reasons.contains(&it.reason.as_str()))
}

fn waits_for_slot(binding: &WorkloadIdentityBinding) -> bool {
    condition(binding, "CredentialReady").is_some_and(|it| it.reason == "CredentialLimitReached")
}
