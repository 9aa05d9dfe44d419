//! Whether each binding says truly how it stands.

use azwib_crds::{ServiceAccountRole, WorkloadIdentityBinding};

use super::duplicates::older_duplicate;
use super::expected::{READ, expected};
use crate::bindings::{account, condition, identity_id, records_elsewhere};
use crate::kubernetes::{Key, Kind};
use crate::names::CLIENT;
use crate::setup::World;
use crate::shared::Shared;
use crate::trace::lock;

/// Every binding is Ready, or says truly why not.
pub const TRUE_REASON: &str = "ready-or-the-true-reason";
pub(super) fn true_reason(shared: &Shared, world: &World, binding: &WorkloadIdentityBinding) {
    let ready = condition(binding, "Ready");
    let said = match ready {
        Some(ready) if ready.status == "True" => "Ready",
        Some(ready) => ready.reason.as_str(),
        None => "nothing",
    };
    let allowed = expected(shared, world, binding);
    shared.count(format!("end {said}"));
    steps_are_done(shared, binding);
    if said == "Ready" {
        names_the_identity(shared, binding);
    }
    if !allowed.contains(&said) {
        let metadata = &binding.metadata;
        let message = ready.map(|it| it.message.as_str()).unwrap_or_default();
        shared.violated(
            TRUE_REASON,
            format!(
                "{:?}/{:?}{} says {said} ({message}), and not one of {allowed:?}",
                metadata.namespace,
                metadata.name,
                if metadata.deletion_timestamp.is_some() {
                    ", which is being deleted,"
                } else {
                    ""
                },
            ),
        );
    }
}

/// Status and account name the identity as it is now.
fn names_the_identity(shared: &Shared, binding: &WorkloadIdentityBinding) {
    let azure = lock(&shared.azure);
    let id = identity_id(binding);
    // Who cannot read it keeps what it knew, and who is suspended too.
    if binding.spec.suspend || !azure.is_permitted(CLIENT, READ, id, shared.time.now()) {
        return;
    }
    let Some(identity) = azure.identity(id) else {
        return;
    };
    names_its_provider(shared, binding);
    let client_id = identity.client_id.to_string();
    let recorded = binding
        .status
        .as_ref()
        .and_then(|status| status.identity.as_ref());
    if recorded.is_none_or(|recorded| recorded.client_id != client_id) {
        let name = &binding.metadata.name;
        shared.violated(
            TRUE_REASON,
            format!("{name:?} is Ready and names another client id"),
        );
    }
    let (metadata, role) = (&binding.metadata, binding.spec.service_account.role);
    let (namespace, account) = account(binding);
    let bindings = shared.cluster.bindings();
    let sharing = bindings.iter().filter(|other| {
        other.metadata.namespace == metadata.namespace
            && other.spec.service_account.name == binding.spec.service_account.name
    });
    if sharing.count() > 1 || role != ServiceAccountRole::Default {
        return;
    }
    let found = shared
        .cluster
        .get(&Key::new(Kind::Account, namespace, account));
    let named = found.and_then(|it| {
        let annotations = &it["metadata"]["annotations"];
        annotations["azure.workload.identity/client-id"]
            .as_str()
            .map(str::to_owned)
    });
    if named.as_ref() != Some(&client_id) {
        let what = format!(
            "{:?} is Ready, and {account} names {named:?}",
            metadata.name
        );
        shared.violated(TRUE_REASON, what);
    }
}

/// What a binding says to be done is there: it is not copied from somewhere else.
fn steps_are_done(shared: &Shared, binding: &WorkloadIdentityBinding) {
    if binding.metadata.deletion_timestamp.is_some() {
        return;
    }
    let (namespace, account) = account(binding);
    let status = binding.status.as_ref();
    let account = Key::new(Kind::Account, namespace, account);
    let elsewhere = records_elsewhere(binding);
    for (step, is_there) in [
        (
            "IdentityResolved",
            !elsewhere && status.is_some_and(|it| it.identity.is_some()),
        ),
        (
            "ServiceAccountReady",
            !elsewhere && shared.cluster.get(&account).is_some(),
        ),
        (
            "CredentialReady",
            !elsewhere && status.is_some_and(|it| !it.credentials.is_empty()),
        ),
    ] {
        let is_done = condition(binding, step).is_some_and(|it| it.status == "True");
        if is_done && !is_there {
            let what = format!("{namespace}/{:?} says {step}", binding.metadata.name);
            shared.violated(TRUE_REASON, what);
        }
    }
}

/// A binding that is Ready says whether that is an older one's doing, and names it.
fn names_its_provider(shared: &Shared, binding: &WorkloadIdentityBinding) {
    let bindings = shared.cluster.bindings();
    let older = older_duplicate(&bindings, binding);
    let older = older.and_then(|older| older.metadata.name.as_deref());
    let Some(ready) = condition(binding, "Ready") else {
        return;
    };
    let is_true = match older {
        None => ready.reason == "Succeeded",
        Some(older) => {
            ready.reason == "ProvidedByOlderBinding"
                && ready.message.contains(&format!("\"{older}\""))
        }
    };
    shared.count(format!("end {}", ready.reason));
    if !is_true {
        let (name, reason) = (&binding.metadata.name, &ready.reason);
        let what = format!("{name:?} is Ready for {reason}, and its older duplicate is {older:?}");
        shared.violated(TRUE_REASON, what);
    }
}
