//! Everybody but the operator: who makes, changes and deletes bindings, and what others do in Azure.

use std::sync::Arc;

use azure_simulator::core::locks::LockLevel;
use azure_simulator::core::rbac::Role;
use azure_simulator::core::state::FederatedCredential;
use azwib_crds::{
    CredentialAdoption, CredentialName, CredentialSpec, DeletionPolicy, IdentityReference, Issuer,
    ServiceAccountCreation, ServiceAccountRole, ServiceAccountSpec, WorkloadIdentityBindingSpec,
};

use crate::costs;
use crate::kubernetes::{Key, Kind};
use crate::setup::{CLIENT, GROUP, ISSUER, IdentityName, World};
use crate::shared::Shared;
use crate::trace::lock;

pub const AUDIENCES: [&str; 2] = ["api://AzureADTokenExchange", "api://other"];

/// Disturbs the world until its time is over, then takes away most of what stands in the way.
pub async fn disturb(shared: Arc<Shared>, world: World) {
    let pause = world.disturbed.as_millis() as u64 / world.steps.max(1);
    for _ in 0..world.steps {
        let step = if world.calm {
            calm_step(&shared)
        } else {
            any_step(&shared)
        };
        take(step, &shared, &world);
        shared.cluster.sweep();
        // Some steps come together.
        let wait = if shared.chance(250) {
            0..=200
        } else {
            1..=2 * pause
        };
        shared.sleep(wait).await;
    }
    if shared.chance(700) {
        clear_obstructions(&shared, &world);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    CreateBinding,
    ChangeAudience,
    ChangeAdoption,
    ToggleSuspend,
    ChangePolicy,
    DeleteBinding,
    DeleteNamespace,
    AskForFreshReads,
    ForceDetach,
    ForeignAdd,
    ForeignAddIdentical,
    ForeignFill,
    ForeignChangeOurs,
    ForeignRemoveOurs,
    ForeignRemove,
    RecreateIdentity,
    DeleteIdentity,
    RevokeRole,
    GrantRole,
    Lock,
    Deny,
    RegionWithout,
    ClearObstructions,
    Crash,
}

fn calm_step(shared: &Shared) -> Step {
    if shared.chance(300) {
        Step::DeleteBinding
    } else {
        Step::CreateBinding
    }
}

fn any_step(shared: &Shared) -> Step {
    use Step::*;
    let steps = [
        CreateBinding,
        CreateBinding,
        CreateBinding,
        CreateBinding,
        CreateBinding,
        CreateBinding,
        CreateBinding,
        CreateBinding,
        ChangeAudience,
        ChangeAudience,
        ChangeAdoption,
        ToggleSuspend,
        ChangePolicy,
        DeleteBinding,
        DeleteBinding,
        DeleteBinding,
        DeleteBinding,
        DeleteNamespace,
        AskForFreshReads,
        ForceDetach,
        ForeignAdd,
        ForeignAddIdentical,
        ForeignAddIdentical,
        ForeignFill,
        ForeignChangeOurs,
        ForeignRemoveOurs,
        ForeignRemoveOurs,
        ForeignRemove,
        ForeignRemove,
        RecreateIdentity,
        DeleteIdentity,
        RevokeRole,
        GrantRole,
        Lock,
        Deny,
        RegionWithout,
        ClearObstructions,
        ClearObstructions,
        Crash,
    ];
    shared.pick(&steps).unwrap_or(CreateBinding)
}

fn take(step: Step, shared: &Shared, world: &World) {
    shared.count(format!("step {step:?}"));
    match step {
        Step::CreateBinding => create_binding(shared, world),
        Step::ChangeAudience | Step::ChangeAdoption | Step::ToggleSuspend | Step::ChangePolicy => {
            change_binding(step, shared);
        }
        Step::DeleteBinding | Step::AskForFreshReads | Step::ForceDetach => {
            on_binding(step, shared);
        }
        Step::DeleteNamespace => {
            if let Some(namespace) = shared.pick(&world.namespaces) {
                shared
                    .trace
                    .note(format!("world: namespace {namespace} goes"));
                shared
                    .cluster
                    .delete(&Key::new(Kind::Namespace, "", &namespace));
            }
        }
        Step::Crash => {
            shared.trace.note("world: the process is killed");
            shared.crashed.notify_one();
        }
        _ => in_azure(step, shared, world),
    }
}

fn create_binding(shared: &Shared, world: &World) {
    let (Some(namespace), Some(account), Some(identity)) = (
        shared.pick(&world.namespaces),
        shared.pick(&world.accounts),
        shared.pick(&world.identities),
    ) else {
        return;
    };
    // A namespace that is gone comes back.
    shared.cluster.create_namespace(&namespace);
    let name = format!("b-{}", shared.draw(0..=99));
    let spec = WorkloadIdentityBindingSpec {
        identity: IdentityReference {
            resource_id: Some(identity.id()),
            ..IdentityReference::default()
        },
        service_account: ServiceAccountSpec {
            name: Some(account.clone()),
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
    };
    if shared.cluster.create_binding(&namespace, &name, &spec) {
        shared.trace.note(format!(
            "world: {namespace}/{name} for {account} and {}",
            identity.name
        ));
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

fn change_binding(step: Step, shared: &Shared) {
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

fn on_binding(step: Step, shared: &Shared) {
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
        _ => {
            let value = shared.draw(0..=1_000_000).to_string();
            shared
                .cluster
                .annotate(&key, "azwib.dev/reconcile-requested-at", &value);
        }
    }
}

fn in_azure(step: Step, shared: &Shared, world: &World) {
    let Some(identity) = shared.pick(&world.identities) else {
        return;
    };
    let id = identity.id();
    shared
        .trace
        .note(format!("world: {step:?} on {}", identity.name));
    lock(&shared.books).touch(&id, shared.time.now());
    let everywhere = matches!(
        step,
        Step::RevokeRole | Step::GrantRole | Step::RegionWithout
    );
    costs::changed(shared, (!everywhere).then_some(&id));
    let now = shared.time.now();
    let mut azure = lock(&shared.azure);
    azure.advance(now);
    match step {
        Step::RecreateIdentity => {
            // The group is there.
            let _ = azure.recreate_identity(identity.subscription, GROUP, &identity.name, now);
        }
        Step::DeleteIdentity => {
            let _ = azure.delete_identity(identity.subscription, GROUP, &identity.name);
        }
        Step::RevokeRole => {
            let scope = identity.scope_of_subscription();
            let roles = azure.role_assignments();
            for role in roles.into_iter().filter(|role| role.scope == scope) {
                azure.delete_role_assignment_at(role.id, now);
            }
        }
        Step::GrantRole => {
            azure.assign_role_at(&identity.scope_of_subscription(), Role::Owner, CLIENT, now);
        }
        Step::Lock => {
            let level = if shared.chance(500) {
                LockLevel::ReadOnly
            } else {
                LockLevel::CanNotDelete
            };
            azure.lock(&id, level);
        }
        Step::Deny => {
            azure.deny_by_policy(&id);
        }
        Step::RegionWithout => {
            let mut tunables = azure.settings().tunables.clone();
            tunables.regions_without_credentials = vec!["westeurope".to_owned()];
            azure.set_tunables(tunables);
        }
        Step::ClearObstructions => {
            drop(azure);
            clear_obstructions(shared, world);
        }
        _ => {
            drop(azure);
            foreign_write(step, &identity, shared, world);
        }
    }
}

/// The name of our credential for an account.
pub fn our_name(namespace: &str, account: &str) -> Option<String> {
    let issuer = Issuer::parse(ISSUER).ok()?;
    Some(CredentialName::derive(&issuer, namespace, account).to_string())
}

pub fn subject(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

fn credential(name: String, issuer: &str, subject: String, audience: &str) -> FederatedCredential {
    FederatedCredential {
        name,
        issuer: issuer.to_owned(),
        subject: Some(subject),
        claims_matching_expression: None,
        audiences: vec![audience.to_owned()],
    }
}

fn foreign_write(step: Step, identity: &IdentityName, shared: &Shared, world: &World) {
    let (Some(namespace), Some(account)) =
        (shared.pick(&world.namespaces), shared.pick(&world.accounts))
    else {
        return;
    };
    let now = shared.time.now();
    let number = shared.draw(0..=999);
    let mut azure = lock(&shared.azure);
    let Some(there) = azure.identity(&identity.id()) else {
        return;
    };
    let present: Vec<FederatedCredential> = there.credentials.values().cloned().collect();
    let free = world.limit.saturating_sub(present.len());
    let (ours, foreign): (Vec<_>, Vec<_>) = present
        .iter()
        .cloned()
        .partition(|it| it.name.starts_with("azwib-"));
    let (subscription, name) = (identity.subscription, identity.name.as_str());
    let foreign_one = |number: u64| {
        let subject = format!("repo:somebody/{number}");
        let mut one = credential(
            format!("foreign-{number}"),
            "https://ci.example",
            subject.clone(),
            AUDIENCES[0],
        );
        if number.is_multiple_of(7) {
            // A flexible credential has an expression in the place of its subject.
            one.subject = None;
            one.claims_matching_expression =
                Some(azure_simulator::core::state::ClaimsMatchingExpression {
                    value: format!("claims['sub'] matches '{subject}'"),
                    language_version: 1,
                });
        }
        one
    };
    let writes: Vec<FederatedCredential> = match step {
        Step::ForeignAdd if free > 0 => vec![foreign_one(number)],
        Step::ForeignFill => (0..free as u64)
            .map(|it| foreign_one(1000 + number + it))
            .collect(),
        Step::ForeignAddIdentical if free > 0 => {
            let taken = present
                .iter()
                .any(|it| it.subject.as_deref() == Some(&subject(&namespace, &account)));
            let audience = if number.is_multiple_of(4) {
                AUDIENCES[1]
            } else {
                AUDIENCES[0]
            };
            let one = credential(
                format!("other-{number}"),
                ISSUER,
                subject(&namespace, &account),
                audience,
            );
            if taken { vec![] } else { vec![one] }
        }
        Step::ForeignChangeOurs => {
            let changed = shared.pick(&ours).map(|mut one| {
                if number.is_multiple_of(2) {
                    one.subject = Some(format!("system:serviceaccount:elsewhere:{number}"));
                } else {
                    one.audiences = vec!["api://changed".to_owned()];
                }
                one
            });
            changed.into_iter().collect()
        }
        _ => vec![],
    };
    let removed = match step {
        Step::ForeignRemoveOurs => shared.pick(&ours),
        Step::ForeignRemove => shared.pick(&foreign),
        _ => None,
    };
    for one in writes {
        shared
            .trace
            .note(format!("world: {} is written on {name}", one.name));
        // The identity is there.
        let _ = azure.put_credential(subscription, GROUP, name, one, now);
    }
    if let Some(one) = removed {
        shared
            .trace
            .note(format!("world: {} is removed from {name}", one.name));
        let _ = azure.remove_credential(subscription, GROUP, name, &one.name, now);
    }
}

fn clear_obstructions(shared: &Shared, world: &World) {
    shared.trace.note("world: obstructions go");
    costs::changed(shared, None);
    let now = shared.time.now();
    let mut azure = lock(&shared.azure);
    for lock in azure.locks().to_vec() {
        azure.unlock(lock.id);
    }
    for denial in azure.policy_denials().to_vec() {
        azure.allow_by_policy(denial.id);
    }
    let mut tunables = azure.settings().tunables.clone();
    tunables.regions_without_credentials = Vec::new();
    azure.set_tunables(tunables);
    for identity in &world.identities {
        let scope = identity.scope_of_subscription();
        if !azure
            .role_assignments()
            .iter()
            .any(|role| role.scope == scope)
        {
            azure.assign_role_at(&scope, Role::Owner, CLIENT, now);
        }
        if azure.identity(&identity.id()).is_none() {
            let _ = azure.recreate_identity(identity.subscription, GROUP, &identity.name, now);
            lock(&shared.books).touch(&identity.id(), now);
        }
    }
}
