//! What a binding may say in the end, from what there is.

use azure_simulator::core::Azure;
use azure_simulator::core::locks::LockLevel;
use azure_simulator::core::state::Identity;
use azwib_crds::WorkloadIdentityBinding;

use super::credential::credential;
use super::duplicates::older_duplicate;
use crate::bindings::{
    account, age, asks_for_the_same, has_a_credential, identity_id, is_for, is_ready,
    records_elsewhere, records_own,
};
use crate::grants::{is_covered, quota_of};
use crate::kubernetes::{Key, Kind};
use crate::names::{CLIENT, ISSUER, our_name, subject};
use crate::setup::{BINDINGS_OF_AN_ACCOUNT, World};
use crate::shared::Shared;
use crate::trace::lock;

/// To read an identity.
pub(super) const READ: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/read";
const DELETE: &str =
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete";
const WRITE: &str =
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write";

/// What a binding may say in the end.
pub(super) fn expected(
    shared: &Shared,
    world: &World,
    binding: &WorkloadIdentityBinding,
) -> Vec<&'static str> {
    let azure = lock(&shared.azure);
    let id = identity_id(binding);
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
    let refused = shared.requires_grants && !is_covered(&shared.cluster, binding);
    if going {
        return vec![
            "NotGranted",
            "NamespaceTerminating",
            "IssuerChanged",
            "ServiceAccountLimitReached",
            "Ready",
        ];
    }
    if refused {
        return vec!["NotGranted"];
    }
    if binding.spec.suspend {
        return vec!["Suspended", "Ready"];
    }
    // What another cluster's status says stands, unless this one's credential shows that it is not so.
    if records_elsewhere(binding) && !(permitted && identity.is_some_and(|it| has_own(it, binding)))
    {
        return vec!["IssuerChanged"];
    }
    let bindings = shared.cluster.bindings();
    if older_of_account(binding, &bindings) >= BINDINGS_OF_AN_ACCOUNT {
        // What somebody has written of a step that such a binding never reaches stays, and comes first.
        return vec!["ServiceAccountLimitReached", "AuthorizationFailed"];
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
    let mut allowed = account_conflict(shared, &bindings, binding, namespace, account);
    let refused = if may(WRITE) {
        locked(Some(LockLevel::ReadOnly)).then_some("ScopeLocked")
    } else {
        Some("AuthorizationFailed")
    };
    if is_over_quota(shared, identity, binding, &bindings) {
        allowed.push("GrantQuotaReached");
    }
    let credential = credential(&azure, identity, binding, world, &bindings, refused);
    allowed.push(match older_duplicate(&bindings, binding) {
        None => credential,
        Some(older) if provides(older, binding) && credential == "Ready" => "Ready",
        Some(_) => "DuplicateBinding",
    });
    allowed
}

/// Whether a grant's quota may leave no room for the binding's credential: others have as many, or have waited longer.
fn is_over_quota(
    shared: &Shared,
    identity: &Identity,
    binding: &WorkloadIdentityBinding,
    bindings: &[WorkloadIdentityBinding],
) -> bool {
    if !shared.requires_grants {
        return false;
    }
    let (grants, namespaces) = (
        shared.cluster.all(Kind::Grant),
        shared.cluster.all(Kind::Namespace),
    );
    let (own, id) = (account(binding), identity_id(binding));
    let Some((_, quota)) = quota_of(&grants, &namespaces, own, id) else {
        return false;
    };
    let listed = identity.credentials.values();
    let listed = listed.filter(|it| it.subject.as_deref() != Some(&subject(own.0, own.1)));
    let listed = listed.filter(|it| it.name.starts_with("azwib-")).count();
    let waiting = bindings.iter().filter(|other| {
        // A record keeps its place, whatever became of the credential.
        let comes_first = has_a_credential(other) || !is_ready(other) && age(other) < age(binding);
        is_for(other, id) && account(other) != own && comes_first
    });
    (listed + waiting.count()) as u64 >= quota
}

/// Whether Azure lets the operator look at an identity and delete what is on it.
pub(super) fn may_clean_up(shared: &Shared, azure: &Azure, id: &str) -> bool {
    let now = shared.time.now();
    let may = |action| azure.is_permitted(CLIENT, action, id, now);
    let mut locks = azure.locks().iter();
    may(READ) && may(DELETE) && !locks.any(|it| it.scope.eq_ignore_ascii_case(id))
}

/// How many bindings of the account are served before this one.
fn older_of_account(
    binding: &WorkloadIdentityBinding,
    bindings: &[WorkloadIdentityBinding],
) -> usize {
    let older = bindings.iter().filter(|other| {
        account(other) == account(binding)
            && other.metadata.deletion_timestamp.is_none()
            && age(other) < age(binding)
    });
    older.count()
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

/// Whether an older duplicate has all that this binding asks for. What it says itself is judged by itself.
fn provides(older: &WorkloadIdentityBinding, binding: &WorkloadIdentityBinding) -> bool {
    is_ready(older) && asks_for_the_same(older, binding)
}
