//! What others do in Azure.

use azure_simulator::core::Azure;
use azure_simulator::core::locks::LockLevel;
use azure_simulator::core::rbac::Role;
use azure_simulator::core::state::{ClaimsMatchingExpression, FederatedCredential};

use super::step::Step;
use crate::names::{AUDIENCES, CLIENT, GROUP, ISSUER, IdentityName, our_name, subject};
use crate::setup::World;
use crate::shared::Shared;
use crate::trace::lock;

/// Looks at Azure as it is now, or changes something in it.
pub(super) fn now_in_azure<T>(shared: &Shared, change: impl FnOnce(&mut Azure) -> T) -> T {
    let mut azure = lock(&shared.azure);
    azure.advance(shared.time.now());
    let outcome = change(&mut azure);
    shared.tell(|it| it.azure_looked_at(shared, &azure));
    outcome
}

pub(super) fn in_azure(step: Step, shared: &Shared, world: &World) {
    let Some(identity) = shared.pick(&world.identities) else {
        return;
    };
    let id = identity.id();
    shared
        .trace
        .note(format!("world: {step:?} on {}", identity.name));
    match step {
        Step::RecreateIdentity => recreate_identity(&identity, shared),
        Step::DeleteIdentity => delete_identity(&identity, shared),
        Step::RevokeRole => revoke_role(&identity, shared),
        Step::GrantRole => grant_role(&identity, shared),
        Step::Lock => {
            let level = if shared.chance(500) {
                LockLevel::ReadOnly
            } else {
                LockLevel::CanNotDelete
            };
            shared.tell(|it| it.azure_disturbed(shared, Some(&id)));
            now_in_azure(shared, |azure| azure.lock(&id, level));
        }
        Step::Deny => {
            shared.tell(|it| it.azure_disturbed(shared, Some(&id)));
            now_in_azure(shared, |azure| azure.deny_by_policy(&id));
        }
        Step::DenyAssignment => {
            let all = ["*", "*/read", "*/write"];
            let actions = shared.pick(&all).unwrap_or(all[0]);
            shared.tell(|it| it.azure_disturbed(shared, Some(&id)));
            now_in_azure(shared, |azure| azure.assign_denial(&id, &[actions]));
        }
        Step::RegionWithout => {
            shared.tell(|it| it.azure_disturbed(shared, None));
            now_in_azure(shared, |azure| {
                let mut tunables = azure.settings().tunables.clone();
                tunables.regions_without_credentials = vec!["westeurope".to_owned()];
                azure.set_tunables(tunables);
            });
        }
        Step::ClearObstructions => clear_obstructions(shared, world),
        _ => {
            shared.tell(|it| it.identity_touched(shared, &id));
            foreign_write(step, &identity, shared, world);
        }
    }
}

/// Notes that somebody else changes something about an identity.
fn touched(identity: &str, shared: &Shared) {
    shared.tell(|it| it.identity_touched(shared, identity));
    shared.tell(|it| it.azure_disturbed(shared, Some(identity)));
}

pub(super) fn recreate_identity(identity: &IdentityName, shared: &Shared) {
    touched(&identity.id(), shared);
    client_id_ends(identity, shared);
    let now = shared.time.now();
    now_in_azure(shared, |azure| {
        // The group is there.
        let _ = azure.recreate_identity(identity.subscription, GROUP, &identity.name, now);
    });
}

/// Notes that an identity's client id means nothing from now on.
fn client_id_ends(identity: &IdentityName, shared: &Shared) {
    let found = now_in_azure(shared, |azure| {
        let found = azure.identity(&identity.id());
        found.map(|it| it.client_id.to_string())
    });
    shared.tell(|it| it.credential_touched(shared, &identity.id(), None));
    if let Some(client_id) = found {
        shared.tell(|it| it.client_id_ended(shared, client_id.clone()));
    }
}

pub(super) fn delete_identity(identity: &IdentityName, shared: &Shared) {
    touched(&identity.id(), shared);
    client_id_ends(identity, shared);
    now_in_azure(shared, |azure| {
        // It may be gone already.
        let _ = azure.delete_identity(identity.subscription, GROUP, &identity.name);
    });
}

/// Takes the operator's role on the subscription away.
pub(super) fn revoke_role(identity: &IdentityName, shared: &Shared) {
    shared.tell(|it| it.azure_disturbed(shared, None));
    let (scope, now) = (identity.scope_of_subscription(), shared.time.now());
    now_in_azure(shared, |azure| {
        let roles = azure.role_assignments();
        for role in roles.into_iter().filter(|role| role.scope == scope) {
            azure.delete_role_assignment_at(role.id, now);
        }
    });
}

pub(super) fn grant_role(identity: &IdentityName, shared: &Shared) {
    shared.tell(|it| it.azure_disturbed(shared, None));
    let (scope, now) = (identity.scope_of_subscription(), shared.time.now());
    now_in_azure(shared, |azure| {
        azure.assign_role_at(&scope, Role::Owner, CLIENT, now);
    });
}

/// A credential that an earlier binding of this account may have left, for another audience.
pub(super) fn leftover(namespace: &str, account: &str) -> Option<FederatedCredential> {
    let name = our_name(namespace, account)?;
    let subject = subject(namespace, account);
    Some(credential(name, ISSUER, subject, "api://left"))
}

pub(super) fn credential(
    name: String,
    issuer: &str,
    subject: String,
    audience: &str,
) -> FederatedCredential {
    FederatedCredential {
        name,
        issuer: issuer.to_owned(),
        subject: Some(subject),
        claims_matching_expression: None,
        audiences: vec![audience.to_owned()],
    }
}

fn foreign_credential(number: u64) -> FederatedCredential {
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
        one.claims_matching_expression = Some(ClaimsMatchingExpression {
            value: format!("claims['sub'] matches '{subject}'"),
            language_version: 1,
        });
    }
    one
}

/// What stands on an identity; nothing on one that is gone.
pub(super) fn credentials(identity: &IdentityName, shared: &Shared) -> Vec<FederatedCredential> {
    now_in_azure(shared, |azure| {
        let found = azure.identity(&identity.id());
        found.map_or(vec![], |it| it.credentials.values().cloned().collect())
    })
}

pub(super) fn is_ours(credential: &FederatedCredential) -> bool {
    credential.name.starts_with("azwib-")
}

/// Somebody else writes these.
pub(super) fn write(
    identity: &IdentityName,
    credentials: Vec<FederatedCredential>,
    shared: &Shared,
) {
    let now = shared.time.now();
    touched(&identity.id(), shared);
    for one in credentials {
        shared.tell(|it| it.credential_touched(shared, &identity.id(), Some(&one.name)));
        shared.trace.note(format!(
            "world: {} is written on {}",
            one.name, identity.name
        ));
        now_in_azure(shared, |azure| {
            // Where the identity is gone nothing is written.
            let _ = azure.put_credential(identity.subscription, GROUP, &identity.name, one, now);
        });
    }
}

/// Somebody else removes this one.
pub(super) fn remove(identity: &IdentityName, credential: &str, shared: &Shared) {
    let now = shared.time.now();
    touched(&identity.id(), shared);
    shared.tell(|it| it.credential_touched(shared, &identity.id(), Some(credential)));
    shared.tell(|it| it.credential_removed(shared, &identity.id(), credential));
    shared.trace.note(format!(
        "world: {credential} is removed from {}",
        identity.name
    ));
    now_in_azure(shared, |azure| {
        // It was there a moment ago.
        let _ = azure.remove_credential(
            identity.subscription,
            GROUP,
            &identity.name,
            credential,
            now,
        );
    });
}

/// Somebody else takes every slot that is left.
pub(super) fn fill(identity: &IdentityName, shared: &Shared, world: &World) {
    let number = shared.draw(0..=999);
    let free = world
        .limit
        .saturating_sub(credentials(identity, shared).len());
    let filling = (0..free as u64).map(|it| foreign_credential(1000 + number + it));
    write(identity, filling.collect(), shared);
}

/// Somebody else changes one of ours, its subject or its audience.
pub(super) fn changed(mut one: FederatedCredential, number: u64) -> FederatedCredential {
    if number.is_multiple_of(2) {
        one.subject = Some(format!("system:serviceaccount:elsewhere:{number}"));
    } else {
        one.audiences = vec!["api://changed".to_owned()];
    }
    one
}

fn foreign_write(step: Step, identity: &IdentityName, shared: &Shared, world: &World) {
    let (Some(namespace), Some(account)) =
        (shared.pick(&world.namespaces), shared.pick(&world.accounts))
    else {
        return;
    };
    let number = shared.draw(0..=999);
    let present = credentials(identity, shared);
    let has_free = present.len() < world.limit;
    let (ours, foreign): (Vec<_>, Vec<_>) = present.iter().cloned().partition(is_ours);
    match step {
        Step::ForeignAdd if has_free => write(identity, vec![foreign_credential(number)], shared),
        Step::ForeignFill => fill(identity, shared, world),
        Step::ForeignAddIdentical if has_free => {
            let subject = subject(&namespace, &account);
            let taken = present
                .iter()
                .any(|it| it.subject.as_deref() == Some(&subject));
            let audience = if number.is_multiple_of(4) {
                AUDIENCES[1]
            } else {
                AUDIENCES[0]
            };
            let one = credential(format!("other-{number}"), ISSUER, subject, audience);
            if !taken {
                write(identity, vec![one], shared);
            }
        }
        Step::ForeignChangeOurs => {
            let changed = shared.pick(&ours).map(|one| changed(one, number));
            write(identity, changed.into_iter().collect(), shared);
        }
        Step::ForeignRemoveOurs | Step::ForeignRemove => {
            let from = if step == Step::ForeignRemove {
                foreign
            } else {
                ours
            };
            if let Some(one) = shared.pick(&from) {
                remove(identity, &one.name, shared);
            }
        }
        _ => {}
    }
}

pub(super) fn clear_obstructions(shared: &Shared, world: &World) {
    shared.trace.note("world: obstructions go");
    for namespace in &world.namespaces {
        shared.cluster.set_policy(namespace, None);
    }
    shared.tell(|it| it.azure_disturbed(shared, None));
    let now = shared.time.now();
    let mut azure = lock(&shared.azure);
    for lock in azure.locks().to_vec() {
        azure.unlock(lock.id);
    }
    for denial in azure.deny_assignments().to_vec() {
        azure.delete_denial(denial.id);
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
            shared.tell(|it| it.identity_touched(shared, &identity.id()));
        }
    }
    shared.tell(|it| it.azure_looked_at(shared, &azure));
}
