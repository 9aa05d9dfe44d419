//! What happens before a deleted binding may go.
//!
//! It skips validation: what was recorded is what is cleaned up, and nothing is deleted that cannot be proven to be
//! ours. The subject is computed from the namespace and the account, never read from status.

use std::sync::Arc;

use azwib_crds::{
    CredentialName, CredentialOrigin, DeletionPolicy, Issuer, ManagedIdentityId,
    RecordedCredential, Subject, WorkloadIdentityBinding,
};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, ResourceExt};
use kube_runtime::reflector::ObjectRef;

use super::account::configuration_after;
use super::apply::write_status;
use super::departing::{Departing, asks_to_let_go};
use super::error::Error;
use super::observe::{account_now, claimant, content_of, is_live_twin};
use super::service_account::{ServiceAccountError, apply_account};
use super::{Context, FINALIZER};
use crate::azure::ListedCredential;
use crate::ledger::{Applicant, Ledger, Operation, ReadError, Urgency};
use crate::runtime::deliberate::Bug;

/// The name of a recorded credential where this binding can have made it, or why it stays.
///
/// The name is derived, never believed: somebody who can write status cannot have another credential deleted.
pub fn derived_name(
    recorded: &RecordedCredential,
    namespace: &str,
    service_account: &str,
) -> Result<CredentialName, &'static str> {
    if recorded.origin == CredentialOrigin::Adopted {
        return Err("it was there before the binding");
    }
    let issuer =
        Issuer::parse(&recorded.issuer).map_err(|_| "its recorded issuer cannot be read")?;
    let name = CredentialName::derive(&issuer, namespace, service_account);
    if recorded.name == name.as_str() {
        Ok(name)
    } else {
        Err("its recorded name is not the one that this binding gives")
    }
}

/// Whether what was found under the derived name may be deleted: it is ours, or nothing is there (a read may lag behind).
pub fn is_ours(
    found: Option<&ListedCredential>,
    recorded: &RecordedCredential,
    subject: &Subject,
) -> bool {
    Bug::SubjectUnchecked.is_on()
        || found.is_none_or(|credential| {
            credential.content.as_ref().is_some_and(|content| {
                content.issuer == recorded.issuer && content.subject == subject.as_str()
            })
        })
}

/// What came of a cleanup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleaned {
    /// Nothing is left: the finalizer may go.
    Up,
    /// The binding is not there any more. Another may bear its name, and the finalizer of that one has to stay.
    Gone,
}

/// Cleans up after a binding that is being deleted.
pub async fn cleanup(binding: &WorkloadIdentityBinding, ctx: &Context) -> Result<Cleaned, Error> {
    let bindings: Api<WorkloadIdentityBinding> =
        Api::namespaced(ctx.client.clone(), &binding.namespace().unwrap_or_default());
    if Bug::StaleBindingAtCleanup.is_on() {
        let shown =
            ObjectRef::new(&binding.name_any()).within(&binding.namespace().unwrap_or_default());
        if let Some(Ok(shown)) = ctx.bindings.store().get(&shown).as_deref().map(|it| &it.0) {
            cleanup_departing(&Departing::from(shown), ctx).await?;
            return Ok(Cleaned::Up);
        }
    }
    // The watch may lag behind: a record that was written a moment ago must not be missed.
    match bindings.get_opt(&binding.name_any()).await? {
        Some(read) if read.uid() == binding.uid() => {
            cleanup_departing(&Departing::from(&read), ctx).await?;
            Ok(Cleaned::Up)
        }
        _ => Ok(Cleaned::Gone),
    }
}

/// The same for what is known of a binding.
pub async fn cleanup_departing(departing: &Departing, ctx: &Context) -> Result<(), Error> {
    if departing.deletion_policy == DeletionPolicy::Delete || Bug::RetainIgnored.is_on() {
        match delete_credentials(departing, ctx).await {
            Err(error) if error.is_azure() && Bug::FailedCleanupLetsGo.is_on() => {}
            Err(error)
                if error.is_held_up_by_azure() && let_go(&departing.metadata, ctx).await? =>
            {
                tracing::warn!(
                    binding = departing.name(),
                    namespace = departing.namespace(),
                    error = &error as &dyn std::error::Error,
                    "the binding is let go; its credential may be left in Azure"
                );
                ctx.events
                    .detached(&departing.metadata, &error.message())
                    .await;
            }
            outcome => outcome?,
        }
    }
    release_account(departing, ctx).await
}

/// Whether somebody who may has asked to let go of a binding whose cleanup fails: on its Namespace, or on the binding
/// itself where the operator allows that (a tenant must not be able to leave a credential behind at will).
pub async fn let_go(metadata: &ObjectMeta, ctx: &Context) -> Result<bool, kube::Error> {
    if ctx.settings.allow_force_detach && asks_to_let_go(metadata) {
        return Ok(true);
    }
    let namespaces: Api<Namespace> = Api::all(ctx.client.clone());
    let namespace = namespaces
        .get_metadata_opt(metadata.namespace.as_deref().unwrap_or_default())
        .await?;
    Ok(namespace.is_some_and(|namespace| asks_to_let_go(&namespace.metadata)))
}

async fn delete_credentials(departing: &Departing, ctx: &Context) -> Result<(), Error> {
    for recorded in &departing.credentials {
        // A record is written by the operator with an id that was parsed: another one is not from us.
        let Ok(identity) = ManagedIdentityId::parse(&recorded.resource_id) else {
            let why = "its recorded resource id cannot be read";
            ctx.events
                .credential_left(&departing.metadata, &recorded.name, why)
                .await;
            continue;
        };
        if recorded.origin != CredentialOrigin::Adopted
            && handed_over(recorded, departing, &identity, ctx).await?
        {
            tracing::info!(
                credential = recorded.name,
                "the credential stays for another binding"
            );
            continue;
        }
        delete_credential(departing, &identity, recorded, ctx).await?;
    }
    Ok(())
}

async fn delete_credential(
    departing: &Departing,
    identity: &ManagedIdentityId,
    recorded: &RecordedCredential,
    ctx: &Context,
) -> Result<(), Error> {
    let ledger = ctx.ledgers.of(identity);
    // An earlier process may have sent it a moment before it ended: it could still appear after our deletion.
    if recorded.origin == CredentialOrigin::Pending {
        ledger.take_note_of_pending(&recorded.name, content_of(recorded));
    }
    let name = match derived_name(recorded, departing.namespace(), &departing.service_account) {
        Ok(name) => name,
        Err(why) => return leave(departing, recorded, why, ctx).await,
    };
    let applicant = Applicant {
        urgency: Urgency::Deletion,
        rank: departing.rank(),
    };
    let place = ledger.place(&applicant, Operation::Delete).await?;
    // Whoever comes now waits for the deletion, and whoever came before is in the store.
    place.announce_deletion(&name);
    if handed_over(recorded, departing, identity, ctx).await? {
        return Ok(());
    }
    if ledger.is_in_doubt() {
        let is_gone = ledger.is_gone(applicant.binding()).await;
        if is_gone.inspect_err(|why| place.wait_for_pace(*why))? {
            return Ok(());
        }
    }
    let found = match ledger.credential(&name).await {
        Ok(found) => found,
        Err(ReadError::Azure(source)) => {
            let error = Error::ReadCredential {
                identity: identity.to_string(),
                name,
                source,
            };
            return unless_identity_is_gone(error, departing, &ledger).await;
        }
        Err(ReadError::NotNow(why)) => {
            place.wait_for_pace(why);
            return Err(why.into());
        }
    };
    let subject = Subject::of_service_account(departing.namespace(), &departing.service_account);
    if !is_ours(found.as_ref(), recorded, &subject) {
        return leave(
            departing,
            recorded,
            "somebody changed its issuer or subject",
            ctx,
        )
        .await;
    }
    place.admit()?;
    match place.turn().await?.delete(&name, found.is_some()).await {
        Ok(_) => Ok(()),
        Err(source) => {
            let error = Error::DeleteCredential {
                identity: identity.to_string(),
                name,
                source,
            };
            unless_identity_is_gone(error, departing, &ledger).await
        }
    }
}

/// With the identity, its group or its subscription went the credential.
async fn unless_identity_is_gone(
    error: Error,
    departing: &Departing,
    ledger: &Arc<Ledger>,
) -> Result<(), Error> {
    if !error.says_identity_is_gone() || Bug::GoneIdentityWedges.is_on() {
        return Err(error);
    }
    if ledger.is_gone(&departing.rank().binding).await? {
        Ok(())
    } else {
        Err(error)
    }
}

async fn leave(
    departing: &Departing,
    recorded: &RecordedCredential,
    why: &'static str,
    ctx: &Context,
) -> Result<(), Error> {
    tracing::warn!(credential = recorded.name, why, "the credential is left");
    ctx.events
        .credential_left(&departing.metadata, &recorded.name, why)
        .await;
    Ok(())
}

/// Leaves a credential to another binding of the same account and identity, the oldest that is not being deleted.
///
/// The record goes along: without it that binding would not look for the credential when it is deleted in its turn.
async fn handed_over(
    recorded: &RecordedCredential,
    departing: &Departing,
    identity: &ManagedIdentityId,
    ctx: &Context,
) -> Result<bool, kube::Error> {
    if Bug::NoHandOver.is_on() {
        return Ok(false);
    }
    let uid = departing.metadata.uid.as_deref();
    let mut twins = ctx.siblings(departing.namespace(), &departing.service_account);
    twins.retain(|sibling| is_live_twin(sibling, uid, identity, &ctx.settings.defaults));
    twins.sort_by_key(|twin| {
        (
            twin.creation_timestamp().map(|time| time.0),
            twin.name_any(),
        )
    });
    let bindings: Api<WorkloadIdentityBinding> =
        Api::namespaced(ctx.client.clone(), departing.namespace());
    for twin in twins {
        // The watch may lag behind, and what is being deleted or has no finalizer may be gone before it cleans up.
        let fresh = bindings.get_opt(&twin.name_any()).await?;
        let Some(fresh) = fresh.filter(|fresh| {
            fresh.uid() == twin.uid()
                && fresh.metadata.deletion_timestamp.is_none()
                && fresh
                    .finalizers()
                    .iter()
                    .any(|finalizer| finalizer == FINALIZER)
        }) else {
            continue;
        };
        let mut status = fresh.status.clone().unwrap_or_default();
        if take_over(&mut status.credentials, recorded) {
            write_status(&fresh, status, ctx).await?;
        }
        return Ok(true);
    }
    Ok(false)
}

/// Gives the account the state that the remaining bindings ask for.
async fn release_account(departing: &Departing, ctx: &Context) -> Result<(), Error> {
    let (namespace, name) = (departing.namespace(), &departing.service_account);
    let Some(leaving) = &departing.claimant else {
        return Ok(());
    };
    // The watch may lag behind an apply of a moment ago.
    let Some(existing) = account_now(namespace, name, ctx).await? else {
        return Ok(());
    };
    let siblings = ctx.siblings(namespace, name);
    let remaining: Vec<_> = siblings.iter().filter_map(claimant).collect();
    let configuration = configuration_after(leaving, &remaining, &existing);
    if configuration.is_in_place(&existing) {
        return Ok(());
    }
    match apply_account(namespace, name, configuration, ctx).await {
        Ok(_) | Err(ServiceAccountError::NamespaceTerminating) => Ok(()),
        // What another manager holds is not ours to take away.
        Err(ServiceAccountError::HeldByManager { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Puts the record of a credential that is handed over among those of its new owner. Whether that changed anything.
///
/// What the new owner has recorded for a write of its own is withdrawn if Azure refuses that; the credential that stands
/// would then be in nobody's record.
fn take_over(credentials: &mut Vec<RecordedCredential>, handed: &RecordedCredential) -> bool {
    match credentials.iter_mut().find(|it| it.name == handed.name) {
        Some(own) if own.origin == CredentialOrigin::Pending => {
            own.origin = CredentialOrigin::Created;
            true
        }
        Some(_) => false,
        None => {
            credentials.push(handed.clone());
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::CredentialContent;

    const ISSUER: &str = "https://oidc.example/";
    const NAME: &str = "azwib-shop-orders-99bb76e015ed7c8774a80011f8ebdf81";
    const SUBJECT: &str = "system:serviceaccount:shop:orders";

    fn recorded(name: &str, origin: CredentialOrigin) -> RecordedCredential {
        RecordedCredential {
            name: name.to_owned(),
            resource_id: "/subscriptions/s".to_owned(),
            issuer: ISSUER.to_owned(),
            // Whatever status says about the subject does not count.
            subject: "system:serviceaccount:kube-system:admin".to_owned(),
            audience: "a".to_owned(),
            origin,
        }
    }

    fn listed(name: &str, issuer: &str, subject: &str, audience: &str) -> ListedCredential {
        let content = CredentialContent {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            audiences: vec![audience.to_owned()],
        };
        ListedCredential {
            name: name.to_owned(),
            content: Some(content),
        }
    }

    fn subject() -> Subject {
        Subject::of_service_account("shop", "orders")
    }

    fn name_of(recorded: &RecordedCredential) -> Result<CredentialName, &'static str> {
        derived_name(recorded, "shop", "orders")
    }

    #[test]
    fn our_credential_is_deleted_whatever_its_audience_and_also_when_it_is_not_found() {
        for origin in [CredentialOrigin::Pending, CredentialOrigin::Created] {
            let recorded = recorded(NAME, origin);
            assert_eq!(name_of(&recorded).unwrap().as_str(), NAME);
            for audience in ["a", "b"] {
                let found = listed(NAME, ISSUER, SUBJECT, audience);
                assert!(is_ours(Some(&found), &recorded, &subject()));
            }
            assert!(
                is_ours(None, &recorded, &subject()),
                "a read may lag behind"
            );
        }
    }

    #[test]
    fn what_cannot_be_proven_to_be_ours_is_left() {
        let created = recorded(NAME, CredentialOrigin::Created);
        for found in [
            listed(NAME, "https://oidc.example", SUBJECT, "a"),
            listed(NAME, ISSUER, "system:serviceaccount:shop:other", "a"),
            ListedCredential {
                name: NAME.to_owned(),
                content: None,
            },
        ] {
            assert!(!is_ours(Some(&found), &created, &subject()), "{found:?}");
        }
        assert!(name_of(&recorded(NAME, CredentialOrigin::Adopted)).is_err());
    }

    #[test]
    fn what_is_handed_over_stays_recorded_whatever_becomes_of_a_write_of_its_new_owner() {
        use CredentialOrigin::{Created, Pending};
        for (own, handed, origin, changes) in [
            (None, Created, Created, true),
            (None, Pending, Pending, true),
            (Some(Created), Created, Created, false),
            (Some(Pending), Created, Created, true),
            (Some(Pending), Pending, Created, true),
        ] {
            let mut credentials: Vec<_> = own.map(|own| recorded(NAME, own)).into_iter().collect();
            let changed = take_over(&mut credentials, &recorded(NAME, handed));
            assert_eq!(changed, changes, "{own:?} {handed:?}");
            assert_eq!(credentials, [recorded(NAME, origin)], "{own:?} {handed:?}");
        }
    }

    #[test]
    fn a_recorded_name_that_this_binding_does_not_give_is_left() {
        let forged = recorded("aks-identity-binding", CredentialOrigin::Created);
        assert!(name_of(&forged).is_err());
    }
}
