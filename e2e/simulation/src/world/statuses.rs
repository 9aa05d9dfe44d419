//! What others write into the status of a binding: a restored backup, a clone of the cluster, somebody's hand.

use std::sync::Arc;
use std::time::Duration;

use azwib_crds::{
    CredentialName, CredentialOrigin, DeletionPolicy, Issuer, WorkloadIdentityBinding,
};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::azure::{credential, grant_role, revoke_role, write};
use super::bindings::create_for;
use super::candidates::{PATIENCE, delete, free_accounts, key, one_with_credential};
use crate::bindings::account;
use crate::kubernetes::{Key, Kind};
use crate::names::{AUDIENCES, IdentityName, OTHER_ISSUER, subject};
use crate::setup::World;
use crate::shared::Shared;

/// How long somebody who fights over a status waits for the operator.
const ROUND: Duration = Duration::from_secs(30);

/// How far ahead the clock of somebody else is, in minutes.
const AHEAD: SignedDuration = SignedDuration::from_mins(30);

/// Somebody puts another status over that of a binding.
pub(super) fn foreign_status(shared: &Arc<Shared>, world: &World) {
    let mut bindings = shared.cluster.bindings();
    bindings.retain(|it| it.metadata.deletion_timestamp.is_none() && it.status.is_some());
    let Some(binding) = shared.pick(&bindings) else {
        return;
    };
    let drawn = shared.draw(0..=7);
    let status = match drawn {
        0 => older(&binding, shared),
        1 => empty(shared),
        2 => shared.pick(&bindings).map(|other| json!(other.status)),
        kind => spoilt(kind, &binding, shared, world),
    };
    if let Some(status) = status {
        put(&key(&binding), status, shared);
    }
}

/// One that the binding had before.
fn older(binding: &WorkloadIdentityBinding, shared: &Shared) -> Option<Value> {
    let uid = binding.metadata.uid.as_deref();
    let (changes, _) = shared.cluster.changes(Kind::Binding, 0);
    let versions = changes
        .into_iter()
        .filter(|it| it.object["metadata"]["uid"].as_str() == uid);
    let statuses: Vec<_> = versions.map(|it| it.object["status"].clone()).collect();
    shared.pick(&statuses)
}

fn empty(shared: &Shared) -> Option<Value> {
    let empty = [Value::Null, json!({}), json!({ "observedGeneration": -1 })];
    shared.pick(&empty)
}

/// Its own, with something about it that cannot be.
fn spoilt(
    kind: u64,
    binding: &WorkloadIdentityBinding,
    shared: &Shared,
    world: &World,
) -> Option<Value> {
    let mut status = json!(binding.status);
    let has_record = status.pointer("/credentials/0").is_some();
    match kind {
        3 => {
            let identity = shared.pick(&world.identities)?;
            status = of_other_cluster(&status, binding, &identity);
        }
        4 => status["credentials"] = json!([]),
        5 => status["observedGeneration"] = json!(1_000),
        _ if !has_record => return None,
        6 => status["credentials"][0]["name"] = json!("azwib-of-somebody-else"),
        _ if shared.chance(500) => status["credentials"][0]["origin"] = json!("Adopted"),
        _ => {
            let other = shared.pick(&world.identities)?.id();
            status["credentials"][0]["resourceId"] = json!(other);
        }
    }
    Some(status)
}

/// As another cluster, whose tokens have another issuer, would have it.
fn of_other_cluster(
    status: &Value,
    binding: &WorkloadIdentityBinding,
    identity: &IdentityName,
) -> Value {
    let mut status = status.clone();
    let (namespace, account) = account(binding);
    let resource_id = binding.spec.identity.resource_id.clone();
    status["credentials"] = json!([{
        "name": name_elsewhere(namespace, account),
        "resourceId": resource_id.unwrap_or_else(|| identity.id()),
        "issuer": OTHER_ISSUER,
        "subject": subject(namespace, account),
        "audience": AUDIENCES[0],
        "origin": CredentialOrigin::Created,
    }]);
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["status"] = json!("True");
    }
    status
}

fn name_elsewhere(namespace: &str, account: &str) -> String {
    let issuer = Issuer::parse(OTHER_ISSUER).ok();
    let name = issuer.map(|issuer| CredentialName::derive(&issuer, namespace, account));
    name.map(|name| name.to_string()).unwrap_or_default()
}

/// Puts a status over that of a binding; false where it says the same.
fn put(binding: &Key, status: Value, shared: &Arc<Shared>) -> bool {
    let (namespace, name) = (&binding.namespace, &binding.name);
    let Some(before) = shared.cluster.get(binding) else {
        return false;
    };
    if before["status"] == status || !shared.cluster.put_status(binding, status.clone()) {
        return false;
    }
    shared.trace.note(format!(
        "world: a status is put over {namespace}/{name}: {status}"
    ));
    shared.tell(|it| it.status_put(shared, binding, &before, &status));
    true
}

/// Somebody answers each status that the operator writes with an older or an empty one.
pub(super) async fn fight_over_status(shared: &Arc<Shared>, world: &World) {
    let Some((binding, _)) = one_with_credential(shared, world).await else {
        return;
    };
    let Some(found) = shared.cluster.binding(&binding.namespace, &binding.name) else {
        return;
    };
    let status = if shared.chance(500) {
        empty(shared)
    } else {
        older(&found, shared)
    };
    let Some(status) = status else {
        return;
    };
    for _ in 0..shared.draw(40..=80) {
        let answers = |it: &WorkloadIdentityBinding| json!(it.status) != status;
        if !shared.cluster.until(&binding, ROUND, answers).await {
            return;
        }
        put(&binding, status.clone(), shared);
        shared.sleep(0..=100).await;
    }
}

/// Another status for a binding: an older one, an empty one, or with any other kind its own with something in it spoilt.
fn another(
    kind: u64,
    found: &WorkloadIdentityBinding,
    shared: &Shared,
    world: &World,
) -> Option<Value> {
    match kind {
        0 => older(found, shared),
        1 => empty(shared),
        _ => spoilt(shared.draw(3..=7), found, shared, world),
    }
}

/// Somebody puts another status over that of a good binding while Azure cannot be looked at.
pub(super) async fn foreign_status_unseen(shared: &Arc<Shared>, world: &World) {
    let Some((binding, identity)) = one_with_credential(shared, world).await else {
        return;
    };
    revoke_role(&identity, shared);
    // What was read before is no answer any more to who asks anew.
    shared.sleep(35_000..=90_000).await;
    let Some(found) = shared.cluster.binding(&binding.namespace, &binding.name) else {
        return;
    };
    let kind = shared.draw(0..=2);
    if let Some(status) = another(kind, &found, shared, world) {
        put(&binding, status, shared);
    }
    shared.sleep(5_000..=60_000).await;
    if shared.chance(700) {
        grant_role(&identity, shared);
    }
}

/// The conditions of a Ready binding are from a clock that is ahead.
pub(super) async fn future_times(shared: &Arc<Shared>, world: &World) {
    let Some((binding, _)) = one_with_credential(shared, world).await else {
        return;
    };
    let Some(found) = shared.cluster.get(&binding) else {
        return;
    };
    let mut status = found["status"].clone();
    let ahead = jiff::Timestamp::from_second((shared.time.now() + AHEAD).as_second());
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastTransitionTime"] = json!(ahead.as_ref().map(ToString::to_string).ok());
    }
    if shared.cluster.put_status(&binding, status) {
        shared.trace.note(format!(
            "world: the times of {}/{} are ahead",
            binding.namespace, binding.name
        ));
        shared.tell(|it| it.status_times_put(shared, &found));
    }
}

/// A binding whose record somebody has overwritten goes before that is noticed.
pub(super) async fn status_lost_at_deletion(shared: &Arc<Shared>, world: &World) {
    let Some((binding, _)) = one_with_credential(shared, world).await else {
        return;
    };
    let Some(found) = shared.cluster.binding(&binding.namespace, &binding.name) else {
        return;
    };
    if shared.chance(500) {
        let stall = shared.draw(1..=10);
        shared.stall_watches(Duration::from_secs(stall));
    }
    let kind = shared.draw(0..=3);
    if let Some(status) = another(kind, &found, shared, world) {
        put(&binding, status, shared);
    }
    shared.sleep(0..=5).await;
    delete(&binding, shared);
}

/// A credential is left by `Retain`, and a binding for the same comes and goes that never makes anything.
pub(super) async fn retained_and_untouched(shared: &Arc<Shared>, world: &World) {
    let Some((binding, identity)) = one_with_credential(shared, world).await else {
        return;
    };
    let Some(before) = shared.cluster.binding(&binding.namespace, &binding.name) else {
        return;
    };
    shared
        .cluster
        .change_spec(&binding.namespace, &binding.name, |spec| {
            spec.deletion_policy = DeletionPolicy::Retain;
        });
    shared.sleep(1_000..=10_000).await;
    delete(&binding, shared);
    if !shared.cluster.until_gone(&binding, PATIENCE).await {
        return;
    }
    let mut spec = before.spec;
    spec.suspend = shared.chance(500);
    let resolvable = spec.suspend;
    if !resolvable {
        revoke_role(&identity, shared);
    }
    if super::bindings::create(&binding, &spec, shared) {
        shared.sleep(10_000..=60_000).await;
        delete(&binding, shared);
        shared.cluster.until_gone(&binding, PATIENCE).await;
    }
    if !resolvable {
        grant_role(&identity, shared);
    }
}

/// A binding goes, and a backup brings it back with the status that it had.
pub(super) async fn restored_with_status(shared: &Arc<Shared>, world: &World) {
    let Some((binding, _)) = one_with_credential(shared, world).await else {
        return;
    };
    let Some(before) = shared.cluster.get(&binding) else {
        return;
    };
    delete(&binding, shared);
    if shared.cluster.until_gone(&binding, PATIENCE).await {
        shared.sleep(0..=60_000).await;
        restore(&binding, &before["spec"], &before["status"], shared);
    }
}

/// A binding that lives in another cluster comes with its status, and its credential stands.
pub(super) async fn cloned_from_elsewhere(shared: &Arc<Shared>, world: &World) {
    let free = free_accounts(1, shared, world).pop();
    let (Some(identity), Some((namespace, of))) = (shared.pick(&world.identities), free) else {
        return;
    };
    let Some(binding) = create_for(&namespace, &of, &identity, shared, world) else {
        return;
    };
    let Some(found) = shared.cluster.binding(&binding.namespace, &binding.name) else {
        return;
    };
    // Where there is room for it.
    let present = super::azure::credentials(&identity, shared).len();
    if present < world.limit {
        let name = name_elsewhere(&namespace, &of);
        let subject = subject(&namespace, &of);
        let theirs = credential(name, OTHER_ISSUER, subject, AUDIENCES[0]);
        write(&identity, vec![theirs], shared);
    }
    let conditions = [
        "Ready",
        "IdentityResolved",
        "ServiceAccountReady",
        "CredentialReady",
    ]
    .map(|type_| {
        json!({
            "type": type_, "status": "True", "reason": "Succeeded", "message": "elsewhere",
            "lastTransitionTime": "2026-01-02T03:04:05Z", "observedGeneration": 1,
        })
    });
    let status = json!({ "observedGeneration": 1, "conditions": conditions });
    let status = of_other_cluster(&status, &found, &identity);
    put(&binding, status, shared);
    if shared.chance(700) {
        shared.sleep(1_000..=60_000).await;
        delete(&binding, shared);
    }
}

fn restore(binding: &Key, spec: &Value, status: &Value, shared: &Arc<Shared>) {
    shared.cluster.create_namespace(&binding.namespace);
    if shared.cluster.create_restored(binding, spec, status) {
        shared.trace.note(format!(
            "world: {}/{} is restored with its status",
            binding.namespace, binding.name
        ));
        if let Some(object) = shared.cluster.get(binding) {
            shared.tell(|it| it.restored(shared, &object));
        }
    }
}
