//! What the platform team does: it grants, changes grants and takes them back.

use std::time::Duration;

use azwib_crds::DeletionPolicy;
use serde_json::{Value, json};

use super::bindings::{create, create_for, draw_spec};
use super::candidates::{PATIENCE, free_accounts, key};
use super::coincidence::is_recorded;
use super::step::Step;
use crate::bindings::is_ready;
use crate::kubernetes::{Key, Kind};
use crate::setup::World;
use crate::shared::Shared;

/// The label by which some grants select namespaces.
const LABEL: &str = "team";

/// Before anything else: each namespace has a grant for all identities.
pub(super) fn grant_all(shared: &Shared, world: &World) {
    for namespace in &world.namespaces {
        grant(namespace, shared, world);
    }
}

pub(super) async fn on_grants(step: Step, shared: &Shared, world: &World) {
    let Some(namespace) = shared.pick(&world.namespaces) else {
        return;
    };
    match step {
        Step::GrantBack => grant(&namespace, shared, world),
        Step::GrantGone => revoke(&namespace, shared),
        Step::GrantNarrowed => narrow(&namespace, shared, world),
        Step::GrantByLabel => by_label(&namespace, shared, world),
        Step::GrantAppliedAgain => applied_again(&namespace, shared, world).await,
        Step::GrantGoneAtWrite => gone_at_write(shared, world).await,
        Step::RetainedUnderGrant => retained_under_grant(shared, world).await,
        Step::FinalizerStripped => finalizer_stripped(shared).await,
        _ => {}
    }
}

fn scopes(world: &World) -> Vec<Value> {
    let mut scopes: Vec<_> = world
        .identities
        .iter()
        .map(|it| it.scope_of_subscription())
        .collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes.iter().map(|it| json!({ "scope": it })).collect()
}

/// A quota now and then.
fn quota(shared: &Shared) -> Value {
    if shared.chance(300) {
        json!(shared.draw(1..=3))
    } else {
        Value::Null
    }
}

fn name_of(namespace: &str) -> String {
    format!("of-{namespace}")
}

/// A grant for all accounts of a namespace, and all identities.
fn grant(namespace: &str, shared: &Shared, world: &World) {
    shared.trace.note(format!("world: a grant for {namespace}"));
    let spec = json!({
        "identities": scopes(world), "namespaces": { "names": [namespace] }, "allowRetain": shared.chance(600),
        "maxCredentialsPerIdentity": quota(shared),
    });
    shared.cluster.put_grant(&name_of(namespace), &spec);
}

fn revoke(namespace: &str, shared: &Shared) {
    shared
        .trace
        .note(format!("world: the grant of {namespace} goes"));
    let key = Key::new(Kind::Grant, "", &name_of(namespace));
    shared.cluster.delete(&key);
}

/// It is for one identity or one account alone from now on.
fn narrow(namespace: &str, shared: &Shared, world: &World) {
    let (Some(identity), Some(account)) =
        (shared.pick(&world.identities), shared.pick(&world.accounts))
    else {
        return;
    };
    shared
        .trace
        .note(format!("world: the grant of {namespace} is narrowed"));
    let spec = if shared.chance(500) {
        json!({
            "identities": [{ "scope": identity.id() }], "namespaces": { "names": [namespace] },
            "allowRetain": shared.chance(600),
        "maxCredentialsPerIdentity": quota(shared),
        })
    } else {
        json!({
            "identities": scopes(world), "namespaces": { "names": [namespace] },
            "serviceAccounts": { "names": [account] }, "allowRetain": shared.chance(600),
        "maxCredentialsPerIdentity": quota(shared),
        })
    };
    shared.cluster.put_grant(&name_of(namespace), &spec);
}

/// The namespace is selected by a label, which it has or has not.
fn by_label(namespace: &str, shared: &Shared, world: &World) {
    shared
        .trace
        .note(format!("world: {namespace} is granted by its label"));
    let spec = json!({
        "identities": scopes(world),
        "namespaces": { "selector": { "matchLabels": { LABEL: namespace } } },
        "allowRetain": shared.chance(600),
        "maxCredentialsPerIdentity": quota(shared),
    });
    shared.cluster.put_grant(&name_of(namespace), &spec);
    let labels = if shared.chance(600) {
        json!({ LABEL: namespace })
    } else {
        json!({ LABEL: "another" })
    };
    shared.cluster.label_namespace(namespace, &labels);
}

/// A tool deletes a grant and applies it again, as with a replacement.
async fn applied_again(namespace: &str, shared: &Shared, world: &World) {
    // What the process does not see for longer than that is as good as gone.
    if shared.stalled_until().is_some() || shared.watches_end_at_once() {
        return;
    }
    revoke(namespace, shared);
    shared.sleep(200..=2_000).await;
    grant(namespace, shared, world);
}

/// Somebody takes the finalizer off a binding that is deleted.
async fn finalizer_stripped(shared: &Shared) {
    let bindings = shared.cluster.bindings();
    let Some(binding) = shared.pick(&bindings) else {
        return;
    };
    let key = key(&binding);
    shared.cluster.delete(&key);
    shared.sleep(0..=1_000).await;
    shared.trace.note(format!(
        "world: {}/{} loses its finalizer",
        key.namespace, key.name
    ));
    shared.cluster.strip_finalizers(&key);
}

/// A grant goes between the decision to write a credential and the write.
async fn gone_at_write(shared: &Shared, world: &World) {
    let free = free_accounts(3, shared, world);
    let (Some(identity), Some((namespace, _))) = (shared.pick(&world.identities), free.first())
    else {
        return;
    };
    let namespace = namespace.clone();
    grant(&namespace, shared, world);
    shared.sleep(500..=4_000).await;
    // Those that come first hold up the last, which has recorded its write by then.
    let mut last = None;
    for (namespace, account) in &free {
        last = create_for(namespace, account, &identity, shared, world).or(last);
    }
    let Some(binding) = last else {
        return;
    };
    shared.cluster.until(&binding, PATIENCE, is_recorded).await;
    revoke(&namespace, shared);
    shared.sleep(0..=60_000).await;
    if shared.chance(700) {
        grant(&namespace, shared, world);
        shared
            .cluster
            .until(&binding, Duration::from_secs(60), is_ready)
            .await;
    }
}

/// A binding leaves its credential behind, as its grant allows. A binding of another namespace has the identity listed from then on,
/// and the grant may go.
pub(super) async fn retained_under_grant(shared: &Shared, world: &World) {
    let free = free_accounts(4, shared, world);
    let (Some(identity), Some((namespace, account))) =
        (shared.pick(&world.identities), free.first())
    else {
        return;
    };
    let Some((other, other_account)) = free.iter().find(|it| it.0 != *namespace) else {
        return;
    };
    shared.cluster.create_namespace(namespace);
    for namespace in [namespace, other] {
        let spec = json!({
            "identities": scopes(world), "namespaces": { "names": [namespace] }, "allowRetain": true,
        });
        shared.cluster.put_grant(&name_of(namespace), &spec);
    }
    let binding = Key::new(Kind::Binding, namespace, "retained");
    let mut spec = draw_spec(account, &identity, shared, world);
    spec.deletion_policy = DeletionPolicy::Retain;
    spec.suspend = false;
    let cluster = &shared.cluster;
    if !create(&binding, &spec, shared) || !cluster.until(&binding, PATIENCE, is_ready).await {
        return;
    }
    cluster.delete(&binding);
    cluster.until_gone(&binding, PATIENCE).await;
    let lists = create_for(other, other_account, &identity, shared, world);
    let Some(lists) = lists else { return };
    cluster.until(&lists, PATIENCE, is_ready).await;
    if shared.chance(500) {
        revoke(namespace, shared);
    }
}
