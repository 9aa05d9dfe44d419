//! What people and tools do to bindings.

use azwib_crds::{
    CredentialAdoption, CredentialSpec, DeletionPolicy, IdentityReference, ServiceAccountCreation,
    ServiceAccountRole, ServiceAccountSpec, WorkloadIdentityBindingSpec,
};

use super::step::Step;
use crate::kubernetes::{Key, Kind};
use crate::names::{AUDIENCES, IdentityName, short};
use crate::setup::World;
use crate::shared::Shared;

pub(super) fn create_binding(shared: &Shared, world: &World) {
    let (Some(namespace), Some(account), Some(identity)) = (
        shared.pick(&world.namespaces),
        shared.pick(&world.accounts),
        shared.pick(&world.identities),
    ) else {
        return;
    };
    create_for(&namespace, &account, &identity, shared, world);
}

/// Makes a binding of this account; None where there is one of its name already, or its namespace is going.
pub(super) fn create_for(
    namespace: &str,
    account: &str,
    identity: &IdentityName,
    shared: &Shared,
    world: &World,
) -> Option<Key> {
    // A namespace that is gone comes back.
    shared.cluster.create_namespace(namespace);
    let name = format!("b-{}", shared.draw(0..=99));
    let binding = Key::new(Kind::Binding, namespace, &name);
    let spec = draw_spec(account, identity, shared, world);
    create(&binding, &spec, shared).then_some(binding)
}

/// Makes a binding; false where there is one of its name already, or its namespace is going.
pub(super) fn create(binding: &Key, spec: &WorkloadIdentityBindingSpec, shared: &Shared) -> bool {
    let (namespace, name) = (&binding.namespace, &binding.name);
    let created = shared.cluster.create_binding(namespace, name, spec);
    if created {
        let account = spec.service_account.name.as_deref().unwrap_or_default();
        let identity = spec.identity.resource_id.as_deref().unwrap_or_default();
        shared.trace.note(format!(
            "world: {namespace}/{name} for {account} and {}",
            short(identity)
        ));
    }
    created
}

pub(super) fn draw_spec(
    account: &str,
    identity: &IdentityName,
    shared: &Shared,
    world: &World,
) -> WorkloadIdentityBindingSpec {
    WorkloadIdentityBindingSpec {
        identity: IdentityReference {
            resource_id: Some(identity.id()),
            ..IdentityReference::default()
        },
        service_account: ServiceAccountSpec {
            name: Some(account.to_owned()),
            role: if shared.chance(200) {
                ServiceAccountRole::Additional
            } else {
                ServiceAccountRole::Default
            },
            creation: if shared.chance(200) {
                ServiceAccountCreation::WhenCredentialReady
            } else {
                ServiceAccountCreation::Immediate
            },
            ..ServiceAccountSpec::default()
        },
        credential: CredentialSpec {
            adoption: if shared.chance(200) {
                CredentialAdoption::Never
            } else {
                CredentialAdoption::IfIdentical
            },
            ..CredentialSpec::default()
        },
        deletion_policy: if !world.calm && shared.chance(150) {
            DeletionPolicy::Retain
        } else {
            DeletionPolicy::Delete
        },
        suspend: false,
    }
}

fn some_binding(shared: &Shared) -> Option<(String, String)> {
    let bindings = shared.cluster.bindings();
    let alive = bindings
        .into_iter()
        .filter(|it| it.metadata.deletion_timestamp.is_none());
    let names: Vec<_> = alive
        .filter_map(|it| Some((it.metadata.namespace?, it.metadata.name?)))
        .collect();
    shared.pick(&names)
}

pub(super) fn change_binding(step: Step, shared: &Shared) {
    let Some((namespace, name)) = some_binding(shared) else {
        return;
    };
    shared
        .trace
        .note(format!("world: {step:?} of {namespace}/{name}"));
    shared
        .cluster
        .change_spec(&namespace, &name, |spec| match step {
            Step::ChangeAudience => {
                let other = usize::from(spec.credential.audience == AUDIENCES[0]);
                spec.credential.audience = AUDIENCES[other].to_owned();
            }
            Step::ChangeAdoption => {
                spec.credential.adoption = match spec.credential.adoption {
                    CredentialAdoption::Never => CredentialAdoption::IfIdentical,
                    CredentialAdoption::IfIdentical => CredentialAdoption::Never,
                };
            }
            Step::ToggleSuspend => spec.suspend = !spec.suspend,
            _ => {
                spec.deletion_policy = match spec.deletion_policy {
                    DeletionPolicy::Delete => DeletionPolicy::Retain,
                    DeletionPolicy::Retain => DeletionPolicy::Delete,
                };
            }
        });
}

pub(super) fn on_binding(step: Step, shared: &Shared) {
    let found = if step == Step::ForceDetach {
        let bindings = shared.cluster.bindings();
        let going = bindings
            .into_iter()
            .filter(|it| it.metadata.deletion_timestamp.is_some());
        let names: Vec<_> = going
            .filter_map(|it| Some((it.metadata.namespace?, it.metadata.name?)))
            .collect();
        shared.pick(&names)
    } else {
        some_binding(shared)
    };
    let Some((namespace, name)) = found else {
        return;
    };
    shared
        .trace
        .note(format!("world: {step:?} of {namespace}/{name}"));
    let key = Key::new(Kind::Binding, &namespace, &name);
    match step {
        Step::DeleteBinding => shared.cluster.delete(&key),
        Step::ForceDetach => shared
            .cluster
            .annotate(&key, "azwib.dev/force-detach", "true"),
        _ => ask_for_fresh_reads(&key, shared),
    }
}

pub(super) fn ask_for_fresh_reads(binding: &Key, shared: &Shared) {
    let value = shared.draw(0..=1_000_000).to_string();
    let annotation = "azwib.dev/reconcile-requested-at";
    shared.cluster.annotate(binding, annotation, &value);
}
