//! What must hold once things are quiet, from the state of Azure and of the cluster alone.

use azure_simulator::core::Azure;
use azure_simulator::core::locks::LockLevel;
use azure_simulator::core::state::{FederatedCredential, Identity};
use azwib_crds::{CredentialAdoption, DeletionPolicy, ServiceAccountRole, WorkloadIdentityBinding};

use crate::bindings::{
    account, age, asks_for_the_same, condition, holds_credential, is_for, is_ready,
};
use crate::costs;
use crate::kubernetes::{Key, Kind};
use crate::network::short;
use crate::setup::{CLIENT, ISSUER, World};
use crate::shared::Shared;
use crate::trace::lock;
use crate::world::{our_name, records_elsewhere, records_own, subject};

/// No credential of ours without a binding, but for those that were to stay.
pub const NOTHING_LEFT: &str = "nothing-left-behind";
/// Every binding is Ready, or says truly why not.
pub const TRUE_REASON: &str = "ready-or-the-true-reason";
/// Where every binding is Ready, nothing is written.
pub const STILL: &str = "still-when-all-is-well";

const READ: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/read";
const DELETE: &str =
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete";
const WRITE: &str =
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write";

/// Judges the end of a run.
pub fn judge(shared: &Shared, world: &World) {
    lock(&shared.azure).advance(shared.time.now());
    nothing_left(shared, world);
    for binding in shared.cluster.bindings() {
        true_reason(shared, world, &binding);
    }
    still(shared);
    costs::judge(shared);
}

/// Longer than any resync.
const STILL_FOR: jiff::SignedDuration = jiff::SignedDuration::from_mins(20);

fn still(shared: &Shared) {
    let bindings = shared.cluster.bindings();
    let last = lock(&shared.books).last_write;
    let recently = last.is_some_and(|last| shared.time.now() - STILL_FOR < last);
    if bindings.iter().all(is_ready) && recently {
        shared.violated(STILL, "something was written in the last 20 minutes");
    }
}

fn nothing_left(shared: &Shared, world: &World) {
    let azure = lock(&shared.azure);
    let bindings = shared.cluster.bindings();
    for identity in &world.identities {
        let id = identity.id();
        let Some(found) = azure.identity(&id) else {
            continue;
        };
        for namespace in &world.namespaces {
            for account in &world.accounts {
                let Some(name) = our_name(namespace, account) else {
                    continue;
                };
                let stands = found
                    .credentials
                    .get(&name.to_ascii_lowercase())
                    .is_some_and(|it| {
                        it.issuer == ISSUER
                            && it.subject.as_deref() == Some(&subject(namespace, account))
                    });
                let needed = bindings
                    .iter()
                    .any(|it| belongs(it, namespace, account, &id));
                if stands && !needed && !may_stay(shared, namespace, account, &id) {
                    let what = format!("the credential of {namespace}/{account} on {}", short(&id));
                    shared.violated(NOTHING_LEFT, what);
                }
            }
        }
    }
}

fn belongs(
    binding: &WorkloadIdentityBinding,
    namespace: &str,
    account: &str,
    identity: &str,
) -> bool {
    binding.metadata.namespace.as_deref() == Some(namespace)
        && binding.spec.service_account.name.as_deref() == Some(account)
        && is_for(binding, identity)
}

/// Whether a binding that has gone was to leave its credential behind, or was let go by force.
fn may_stay(shared: &Shared, namespace: &str, account: &str, identity: &str) -> bool {
    let (changes, _) = shared.cluster.changes(Kind::Binding, 0);
    let gone = changes
        .into_iter()
        .filter(|change| change.type_ == "DELETED");
    gone.filter_map(|change| serde_json::from_value::<WorkloadIdentityBinding>(change.object).ok())
        .filter(|binding| belongs(binding, namespace, account, identity))
        .any(|binding| {
            let annotations = binding.metadata.annotations.clone().unwrap_or_default();
            binding.spec.deletion_policy == DeletionPolicy::Retain
                || annotations.contains_key("azwib.dev/force-detach")
                || was_lost_unseen(shared, &binding, identity)
        })
}

/// Whether somebody had overwritten the record of a binding that has gone, and something kept the operator from looking
/// for the credential, which it does once.
fn was_lost_unseen(shared: &Shared, binding: &WorkloadIdentityBinding, identity: &str) -> bool {
    let uid = binding.metadata.uid.as_deref().unwrap_or_default();
    let (namespace, account) = account(binding);
    let name = our_name(namespace, account).unwrap_or_default();
    let books = lock(&shared.books);
    let lost_at = books.foreign.lost_at(uid);
    lost_at.is_some_and(|version| {
        let (identity, name) = (identity.to_ascii_lowercase(), name.to_ascii_lowercase());
        books.costs.disturbed_since(version, &identity, &name)
    })
}

fn true_reason(shared: &Shared, world: &World, binding: &WorkloadIdentityBinding) {
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
    let id = binding
        .spec
        .identity
        .resource_id
        .as_deref()
        .unwrap_or_default();
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

/// What a binding may say in the end.
fn expected(
    shared: &Shared,
    world: &World,
    binding: &WorkloadIdentityBinding,
) -> Vec<&'static str> {
    let azure = lock(&shared.azure);
    let id = binding
        .spec
        .identity
        .resource_id
        .as_deref()
        .unwrap_or_default();
    let now = shared.time.now();
    let may = |action| azure.is_permitted(CLIENT, action, id, now);
    // A role gives all of it; a deny assignment may take writes alone.
    let permitted = may(READ) && may(DELETE);
    let (namespace, account) = account(binding);
    let identity = azure.identity(id);
    let locked = |level: Option<LockLevel>| {
        azure.locks().iter().any(|it| {
            it.scope.eq_ignore_ascii_case(id) && level.is_none_or(|level| it.level == level)
        })
    };
    if binding.metadata.deletion_timestamp.is_some() {
        return match () {
            // What nothing records holds up nobody.
            () if !permitted && records_own(binding) => vec!["AuthorizationFailed"],
            () if locked(None) && identity.is_some() => vec!["ScopeLocked"],
            // It ought to be gone.
            () => vec![],
        };
    }
    let namespaces = shared.cluster.all(Kind::Namespace);
    let going = namespaces.iter().any(|it| {
        it["metadata"]["name"] == namespace && it["metadata"]["deletionTimestamp"].is_string()
    });
    if going {
        return vec!["NamespaceTerminating", "IssuerChanged", "Ready"];
    }
    if binding.spec.suspend {
        return vec!["Suspended", "Ready"];
    }
    // What another cluster's status says stands, unless this one's credential shows that it is not so.
    if records_elsewhere(binding) && !(permitted && identity.is_some_and(|it| has_own(it, binding)))
    {
        return vec!["IssuerChanged"];
    }
    if !permitted {
        // Who was good stays so; the others say what they came to.
        return vec![
            "Ready",
            "AuthorizationFailed",
            // What was the case when it could still be looked at.
            "IdentityNotFound",
            "DuplicateBinding",
            "ServiceAccountConflict",
        ];
    }
    let Some(identity) = identity else {
        return vec!["IdentityNotFound"];
    };
    let bindings = shared.cluster.bindings();
    let mut allowed = account_conflict(shared, &bindings, binding, namespace, account);
    let refused = if may(WRITE) {
        locked(Some(LockLevel::ReadOnly)).then_some("ScopeLocked")
    } else {
        Some("AuthorizationFailed")
    };
    let credential = credential(&azure, identity, binding, world, &bindings, refused);
    allowed.push(match older_twin(&bindings, binding) {
        None => credential,
        Some(older) if provides(older, binding) && credential == "Ready" => "Ready",
        Some(_) => "DuplicateBinding",
    });
    allowed
}

/// Whether the binding's own credential stands on its identity.
fn has_own(identity: &Identity, binding: &WorkloadIdentityBinding) -> bool {
    let (namespace, account) = account(binding);
    let name = our_name(namespace, account).unwrap_or_default();
    let own = identity.credentials.get(&name.to_ascii_lowercase());
    own.is_some_and(|it| {
        it.issuer == ISSUER && it.subject.as_deref() == Some(&subject(namespace, account))
    })
}

fn account_conflict(
    shared: &Shared,
    bindings: &[WorkloadIdentityBinding],
    binding: &WorkloadIdentityBinding,
    namespace: &str,
    account: &str,
) -> Vec<&'static str> {
    use azwib_crds::ServiceAccountRole::Default;
    let conflicts = binding.spec.service_account.role == Default
        && bindings.iter().any(|other| {
            other.metadata.uid != binding.metadata.uid
                && other.metadata.namespace.as_deref() == Some(namespace)
                && other.spec.service_account.name.as_deref() == Some(account)
                && other.spec.service_account.role == Default
                && (other.spec.identity.resource_id != binding.spec.identity.resource_id
                    // One that is suspended still names an identity that was made again since.
                    || other.spec.suspend)
        });
    // A policy gives what is written another client id, and what is not azwib's is not taken by force.
    if conflicts
        || shared.cluster.policy(namespace).is_some()
        || is_kept_by_hand(shared, namespace, account)
    {
        vec!["ServiceAccountConflict"]
    } else {
        vec![]
    }
}

/// Whether somebody has edited an annotation of an account that an earlier binding has left: that one is nobody's of azwib.
fn is_kept_by_hand(shared: &Shared, namespace: &str, account: &str) -> bool {
    let found = shared
        .cluster
        .get(&Key::new(Kind::Account, namespace, account));
    let Some(found) = found else {
        return false;
    };
    let fields = &found["metadata"]["managedFields"];
    let ours = &fields[0]["fieldsV1"]["f:metadata"];
    let is_ours = ["f:labels", "f:ownerReferences"].iter().any(|it| {
        ours[it]
            .as_object()
            .is_some_and(|it| it.keys().any(|it| it != "."))
    });
    !is_ours && fields[1]["manager"] == "kubectl-edit"
}

/// The oldest of those with the same account and identity that are older.
fn older_twin<'a>(
    bindings: &'a [WorkloadIdentityBinding],
    binding: &WorkloadIdentityBinding,
) -> Option<&'a WorkloadIdentityBinding> {
    let (namespace, account) = account(binding);
    let id = binding
        .spec
        .identity
        .resource_id
        .as_deref()
        .unwrap_or_default();
    let older = bindings.iter().filter(|other| {
        other.metadata.uid != binding.metadata.uid
            && other.metadata.deletion_timestamp.is_none()
            && belongs(other, namespace, account, id)
            && age(other) < age(binding)
    });
    older.min_by_key(|other| age(other))
}

/// Whether an older twin has all that this binding asks for. What it says itself is judged by itself.
fn provides(older: &WorkloadIdentityBinding, binding: &WorkloadIdentityBinding) -> bool {
    is_ready(older) && asks_for_the_same(older, binding)
}

/// A binding that is Ready says whether that is an older one's doing, and names it.
fn names_its_provider(shared: &Shared, binding: &WorkloadIdentityBinding) {
    let bindings = shared.cluster.bindings();
    let older = older_twin(&bindings, binding);
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
        let what = format!("{name:?} is Ready for {reason}, and its older twin is {older:?}");
        shared.violated(TRUE_REASON, what);
    }
}

/// What becomes of the credential of a binding whose other steps are done.
fn credential(
    azure: &Azure,
    identity: &Identity,
    binding: &WorkloadIdentityBinding,
    world: &World,
    bindings: &[WorkloadIdentityBinding],
    refused: Option<&'static str>,
) -> &'static str {
    let (namespace, account) = account(binding);
    let name = our_name(namespace, account).unwrap_or_default();
    let subject = subject(namespace, account);
    let audience = &binding.spec.credential.audience;
    let same_pair =
        |it: &&FederatedCredential| it.issuer == ISSUER && it.subject.as_deref() == Some(&subject);
    let asked_for = |it: &FederatedCredential| it.audiences == [audience.clone()];
    let all = || identity.credentials.values();
    let ours = all().find(|it| it.name.eq_ignore_ascii_case(&name));
    if ours.filter(same_pair).is_some_and(asked_for) {
        return "Ready";
    }
    if let Some(rival) = all()
        .filter(same_pair)
        .find(|it| !it.name.eq_ignore_ascii_case(&name))
    {
        let adopts = asked_for(rival)
            && ours.is_none()
            && binding.spec.credential.adoption == CredentialAdoption::IfIdentical;
        return if adopts { "Ready" } else { "CredentialExists" };
    }
    let older = bindings
        .iter()
        .filter(|other| waits_before(other, binding))
        .count();
    if ours.is_none() && identity.credentials.len() + older >= world.limit {
        return "CredentialLimitReached";
    }
    if let Some(refused) = refused {
        return refused;
    }
    let id = binding
        .spec
        .identity
        .resource_id
        .as_deref()
        .unwrap_or_default();
    if azure
        .policy_denials()
        .iter()
        .any(|it| it.scope.eq_ignore_ascii_case(id))
    {
        return "PolicyDenied";
    }
    if azure
        .settings()
        .tunables
        .regions_without_credentials
        .contains(&identity.location)
    {
        return "RegionNotSupported";
    }
    "a credential that nothing stands in the way of"
}

/// Whether `other` waits for a slot before `binding`.
fn waits_before(other: &WorkloadIdentityBinding, binding: &WorkloadIdentityBinding) -> bool {
    let id = binding
        .spec
        .identity
        .resource_id
        .as_deref()
        .unwrap_or_default();
    is_for(other, id)
        && other.metadata.uid != binding.metadata.uid
        && other.metadata.deletion_timestamp.is_none()
        && !other.spec.suspend
        && condition(other, "CredentialReady")
            .is_some_and(|it| it.reason == "CredentialLimitReached")
        && (!holds_credential(other), age(other)) < (!holds_credential(binding), age(binding))
}
