//! Hands a credential over to another binding that needs it, together with its record.

use azwib_crds::{
    CredentialOrigin, ManagedIdentityId, RecordedCredential, WorkloadIdentityBinding,
};
use kube::{Api, ResourceExt};

use super::deleted_binding::DeletedBinding;
use crate::binding::calls::{Call, CallFailed};
use crate::binding::credential::applicants::rank;
use crate::binding::credential::duplicates::is_living_duplicate;
use crate::binding::credential::record::put_record;
use crate::binding::write_status::write_status;
use crate::binding::{Context, finalizer};
use crate::runtime::deliberate::Bug;

/// Leaves a credential to another binding of the same account and identity, the oldest that is not being deleted.
///
/// Where its deletion may be under way it is left to one that has it already: nobody else should count on it.
///
/// The record goes along: without it that binding would not look for the credential when it is deleted in its turn.
pub(super) async fn handed_over(
    recorded: &RecordedCredential,
    departing: &DeletedBinding,
    identity: &ManagedIdentityId,
    ctx: &Context,
) -> Result<bool, CallFailed> {
    if Bug::NoHandOver.is_on() {
        return Ok(false);
    }
    let account = (departing.namespace(), &*departing.service_account);
    // A grant that covers one of them covers all, and the other way round.
    if ctx.ruling_on(identity, account, None).is_refused() {
        return Ok(false);
    }
    let ledger = ctx.ledgers.of(identity);
    let goes = ledger.deletion_settles_in(&recorded.name).is_some();
    let uid = departing.metadata.uid.as_deref();
    let mut duplicates = ctx.bindings_of_account(departing.namespace(), &departing.service_account);
    duplicates.retain(|other| is_living_duplicate(other, uid, identity, &ctx.defaults));
    duplicates.sort_by_key(rank);
    let bindings: Api<WorkloadIdentityBinding> =
        Api::namespaced(ctx.client.clone(), departing.namespace());
    for duplicate in duplicates {
        // The watch may lag behind, and what is being deleted or has no finalizer may be gone before it cleans up.
        let fresh = bindings.get_opt(&duplicate.name_any()).await?;
        let Some(fresh) = fresh.filter(|fresh| {
            fresh.uid() == duplicate.uid()
                && fresh.metadata.deletion_timestamp.is_none()
                && finalizer::is_on(&fresh.metadata)
        }) else {
            continue;
        };
        let mut status = fresh.status.clone().unwrap_or_default();
        let has_it = status
            .credentials
            .iter()
            .any(|it| it.name == recorded.name && it.origin == CredentialOrigin::Created);
        if goes && !has_it {
            continue;
        }
        if take_over(&mut status.credentials, recorded) {
            let written = write_status(&fresh, status, ctx).await;
            written.map_err(|failed| {
                let to = fresh.name_any();
                CallFailed {
                    call: Call::HandOver { to },
                    ..failed
                }
            })?;
        }
        return Ok(true);
    }
    Ok(false)
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
            put_record(credentials, handed.clone());
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(origin: CredentialOrigin) -> RecordedCredential {
        RecordedCredential {
            name: "azwib-shop-orders".to_owned(),
            resource_id: Some("/subscriptions/s".to_owned()),
            id: None,
            issuer: "https://oidc.example/".to_owned(),
            subject: "system:serviceaccount:shop:orders".to_owned(),
            audience: "a".to_owned(),
            origin,
        }
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
            let mut credentials: Vec<_> = own.map(recorded).into_iter().collect();
            let changed = take_over(&mut credentials, &recorded(handed));
            assert_eq!(changed, changes, "{own:?} {handed:?}");
            assert_eq!(credentials, [recorded(origin)], "{own:?} {handed:?}");
        }
    }
}
