//! A credential whose record was lost because somebody else has written the status of its binding: it is looked for by its name.

use std::time::Duration;

use azwib_crds::{
    CredentialName, CredentialOrigin, RecordedCredential, Subject, WorkloadIdentityBinding,
};
use kube::{Api, ResourceExt};

use super::deleted_binding::DeletedBinding;
use super::deletion::{Deleted, delete_found, deletion_place};
use super::hand_over::handed_over;
use super::ownership::is_ours;
use crate::binding::Context;
use crate::binding::account::api::account;
use crate::binding::calls::CallFailed;
use crate::binding::credential::record::put_record;
use crate::binding::error::{Error, Failure, Wait};
use crate::binding::status::reason::ConditionType;
use crate::binding::status::{Report, compute};
use crate::binding::validate::identity_id;
use crate::binding::write_status::write_status;
use crate::kubeutil::answers::Answer;
use crate::kubeutil::conditions::{ConditionStatus, find, is_true};
use crate::ledger::ReadError;
use crate::runtime::deliberate::Bug;

/// Deletes what provably is the binding's own on the identity that its spec names. Whether there was such a credential, or
/// is known to have been.
///
/// It is looked for once: whatever else that shows, and also where nothing can be seen, the cleanup ends. A reference that
/// was mistyped must not hold up its namespace. What is found gets its record back before its deletion is sent: if that
/// fails, the cleanup goes on by the record, whatever can be seen then.
pub(super) async fn delete(departing: &DeletedBinding, ctx: &Context) -> Result<Deleted, Error> {
    let remembered = is_remembered(departing, ctx);
    let owns_account = owns_account(departing, ctx).await?;
    if !may_be_lost(departing, remembered, owns_account) || Bug::LostRecordLeft.is_on() {
        return Ok(Deleted::of(remembered));
    }
    let defaults = &ctx.defaults;
    let reference = departing.identity.as_ref();
    let Some(identity) = reference.and_then(|it| identity_id(it, defaults).ok()) else {
        return Ok(Deleted::of(remembered));
    };
    // Who never had a grant made nothing, whatever its account says: anybody in the namespace can write that.
    let account = (departing.namespace(), &*departing.service_account);
    let has_nothing = departing.account_binding.is_none() && says_nothing(departing);
    let is_denied = || ctx.denies(&identity, account).map_err(Wait::ForGrants);
    if !remembered && has_nothing && is_denied()? {
        return Ok(Deleted::of(false));
    }
    let (namespace, service_account) = (departing.namespace(), &departing.service_account);
    let name = CredentialName::derive(&defaults.issuer, namespace, service_account);
    let ledger = ctx.ledgers.of(&identity);
    let place = deletion_place(departing, &ledger, &name, ctx).await?;
    let look = ctx.look(departing.uid());
    let found = match place.credential_to_delete(&name, look).await {
        Ok(found) => found,
        Err(ReadError::Azure { source, .. }) if !Bug::LostRecordHolds.is_on() => {
            tracing::info!(
                %name, %identity, error = &source as &dyn std::error::Error,
                "cannot look for a credential that no record names"
            );
            if remembered || owns_account && says_nothing(departing) {
                let why = format!("its record was lost, and it cannot be read: {source}");
                ctx.events
                    .credential_left(&departing.metadata, name.as_str(), &why)
                    .await;
            }
            return Ok(Deleted::of(remembered));
        }
        Err(ReadError::Azure { source, .. }) => {
            return Err(Failure::ReadCredential {
                identity: identity.to_string(),
                name,
                source,
            }
            .into());
        }
        Err(ReadError::NotNow(why)) => return Err(why.into()),
    };
    let subject = Subject::of_service_account(namespace, service_account);
    let ours = found.filter(|found| is_ours(found, &defaults.issuer, &subject));
    let Some(content) = ours.and_then(|ours| ours.content) else {
        return Ok(Deleted::of(remembered));
    };
    tracing::warn!(%name, %identity, "found a credential of the binding that its status does not record");
    let record = RecordedCredential {
        name: name.to_string(),
        resource_id: Some(identity.to_string()),
        id: None,
        issuer: content.issuer,
        subject: content.subject,
        audience: content.audiences.into_iter().next().unwrap_or_default(),
        origin: CredentialOrigin::Created,
    };
    if handed_over(&record, departing, &identity, ctx).await? {
        return Ok(Deleted::of(true));
    }
    let written = record_found(record, departing, ctx).await?;
    delete_found(departing, &ledger, place, &name, true, ctx).await?;
    Ok(Deleted {
        made: true,
        written: written.map(Box::new),
    })
}

/// Puts the record of a credential that was found into the status of its binding, which comes back as it was written.
///
/// None where no status is taken, or the binding cannot be read: what was found is deleted all the same.
async fn record_found(
    record: RecordedCredential,
    departing: &DeletedBinding,
    ctx: &Context,
) -> Result<Option<WorkloadIdentityBinding>, CallFailed> {
    let bindings: Api<WorkloadIdentityBinding> =
        Api::namespaced(ctx.client.clone(), departing.namespace());
    let unwritten = |error: &(dyn std::error::Error + 'static)| {
        tracing::info!(
            error,
            "the record of a credential that was found is not written"
        );
        Ok(None)
    };
    let fresh = match bindings.get_opt(departing.name()).await {
        Ok(fresh) => fresh.filter(|it| it.uid() == departing.metadata.uid),
        Err(error) => return unwritten(&error),
    };
    let Some(fresh) = fresh else {
        return Ok(None);
    };
    let records = fresh.status.as_ref().map(|status| &status.credentials);
    let mut credentials = records.cloned().unwrap_or_default();
    put_record(&mut credentials, record);
    // Somebody else may have emptied the status: what it does not say is not reached yet.
    let report = Report {
        credentials: Some(credentials),
        ..Report::default()
    };
    let status = compute(&fresh, report, &ctx.moment(Duration::ZERO));
    match write_status(&fresh, status, ctx).await {
        Ok(written) => Ok(Some(written)),
        // Somebody is faster: what that says is looked at first.
        Err(failed) if failed.answer() == Answer::Race => Err(failed),
        Err(failed) => unwritten(&failed),
    }
}

/// Whether the account carries the binding as its owner: azwib has put it there, once the identity was resolved. Just after a
/// start the watch may not show it yet.
pub(super) async fn owns_account(departing: &DeletedBinding, ctx: &Context) -> Result<bool, Error> {
    let (namespace, name) = (departing.namespace(), &departing.service_account);
    let account = account(namespace, name, ctx).await?;
    let uid = departing.metadata.uid.as_deref().unwrap_or_default();
    Ok(account.is_some_and(|account| account.applied_owners().any(|owner| owner == uid)))
}

/// Whether status says nothing about the credential. Then somebody has emptied it: azwib itself reports a credential that was never made as missing.
fn says_nothing(departing: &DeletedBinding) -> bool {
    let said = find(
        &departing.conditions,
        ConditionType::CredentialReady.as_str(),
    );
    said.is_none_or(|it| it.status == ConditionStatus::Unknown.as_str())
}

/// Whether the binding is known to have had a credential of its own.
fn is_remembered(departing: &DeletedBinding, ctx: &Context) -> bool {
    let uid = departing.metadata.uid.as_deref().unwrap_or_default();
    let adopts = departing
        .credentials
        .iter()
        .any(|it| it.origin == CredentialOrigin::Adopted);
    ctx.bindings.has_recorded(&departing.rank().binding, uid)
        || is_true(
            &departing.conditions,
            ConditionType::CredentialReady.as_str(),
        ) && !adopts
}

/// Whether there may be a credential of a binding's own that its status does not record.
///
/// What another has left by `Retain` belongs to whichever binding of that account and identity is there; but not to one
/// that is suspended, and has made nothing, nor to one whose identity was never resolved.
fn may_be_lost(departing: &DeletedBinding, remembered: bool, owns_account: bool) -> bool {
    let resolved = find(
        &departing.conditions,
        ConditionType::IdentityResolved.as_str(),
    );
    let was_never_resolved = departing.account_binding.is_none()
        && resolved.is_some_and(|it| it.status != ConditionStatus::True.as_str());
    remembered
        || owns_account
        || !departing.suspended && !was_never_resolved
        || Bug::DeletesWhatWasRetained.is_on()
}

#[cfg(test)]
mod tests;
