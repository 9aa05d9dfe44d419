//! The binding with a status that a pass can go by, where somebody else has written the stored one: what of that is not
//! believed is taken from what this process knows, and from what Azure and the cluster show.

use std::borrow::Cow;

use azwib_crds::{WorkloadIdentityBinding, WorkloadIdentityBindingStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::account::api::account;
use super::context::Context;
use super::credential::record::recorded_identity;
use super::error::{Error, Wait};
use super::observe::IDENTITY_FOR_NEWCOMERS;
use super::status::believed::without_other_issuers;
use super::status::reason::ConditionType;
use super::status::{was_good, was_ready};
use super::validate::{Desired, Error as InvalidBinding, service_account_name, validate};
use crate::azure::safe_line;
use crate::kubeutil::conditions::{ConditionStatus, is_true};
use crate::ledger::{BindingRef, Freshness, NotNow, ReadError};
use crate::runtime::deliberate::Bug;

/// The binding as a pass goes by it, and what it asks for.
///
/// A binding that this process has known to be good is as it was then, where its status does not say that it is: somebody
/// else has written that.
pub(super) async fn restored<'a>(
    binding: &'a WorkloadIdentityBinding,
    ctx: &Context,
) -> Result<(Cow<'a, WorkloadIdentityBinding>, Desired), Error> {
    let desired = match validate(binding, &ctx.defaults) {
        Ok(desired) => desired,
        Err(changed @ InvalidBinding::IssuerChanged { .. }) => {
            let (own, desired) = own_again(binding, changed, ctx).await?;
            return Ok((Cow::Owned(own), desired));
        }
        Err(error) => return Err(error.into()),
    };
    if was_ready(binding, &desired) {
        return Ok((Cow::Borrowed(binding), desired));
    }
    let known = as_known(binding, &desired, ctx).await;
    Ok((known.map_or(Cow::Borrowed(binding), Cow::Owned), desired))
}

/// The binding without records of other issuers, where the identity has a credential that is provably its own: then this
/// cluster has made it, and somebody has put another's status over it.
///
/// Where there is no such credential, it stays as it is: another issuer's record is all that is known. Where that cannot be
/// seen, a binding that this process has known to be good is as it was: a status that somebody else has written proves nothing.
async fn own_again(
    binding: &WorkloadIdentityBinding,
    changed: InvalidBinding,
    ctx: &Context,
) -> Result<(WorkloadIdentityBinding, Desired), Error> {
    let defaults = &ctx.defaults;
    let Some(own) = without_other_issuers(binding, &defaults.issuer) else {
        return Err(changed.into());
    };
    let desired = validate(&own, defaults)?;
    let known = as_known(binding, &desired, ctx).await;
    let ledger = ctx.ledgers.of(&desired.identity);
    let freshness = Freshness::within(ctx.settings.resync_period);
    let listing = match ledger.listing(&BindingRef::of(binding), freshness).await {
        Ok(listing) => listing,
        Err(error) => {
            return match (known, error) {
                (Some(known), _) => Ok((known, desired)),
                // Whoever reads it now wakes this one.
                (None, ReadError::NotNow(why @ NotNow::UnderWay)) => {
                    Err(Wait::for_read(ConditionType::CredentialReady, why).into())
                }
                (None, _) => Err(changed.into()),
            };
        }
    };
    let (name, wanted) = (
        desired.credential.name.as_str(),
        desired.credential.content(),
    );
    let stands = listing.credentials.iter().any(|credential| {
        credential.name.eq_ignore_ascii_case(name)
            && credential.content.as_ref().is_some_and(|content| {
                content.issuer == wanted.issuer && content.subject == wanted.subject
            })
    });
    if stands {
        tracing::warn!(
            binding = %BindingRef::of(binding),
            changed = safe_line(&changed.to_string()),
            "a record of another issuer is forgotten: the identity has the credential of this cluster"
        );
        Ok((known.unwrap_or(own), desired))
    } else {
        Err(changed.into())
    }
}

async fn as_known(
    binding: &WorkloadIdentityBinding,
    desired: &Desired,
    ctx: &Context,
) -> Option<WorkloadIdentityBinding> {
    let known = ctx
        .known_good
        .as_known(binding, desired, ctx.settled().granted)?;
    Some(without_missing_account(&known, ctx).await.into_owned())
}

/// The binding without its account and the step of that, where status tells of them and there is no such account: neither is
/// copied by a pass which does not come to the account.
pub(super) async fn without_missing_account<'a>(
    binding: &'a WorkloadIdentityBinding,
    ctx: &Context,
) -> Cow<'a, WorkloadIdentityBinding> {
    let step = ConditionType::ServiceAccountReady.as_str();
    let status = binding.status.as_ref();
    let tells = |status: &WorkloadIdentityBindingStatus| {
        status.service_account.is_some() || is_true(&status.conditions, step)
    };
    if !status.is_some_and(tells) || Bug::ForeignStatusBelieved.is_on() {
        return Cow::Borrowed(binding);
    }
    let namespace = binding.namespace().unwrap_or_default();
    match account(&namespace, &service_account_name(binding), ctx).await {
        Ok(None) => {}
        // Where that cannot be seen, it is as it was.
        Ok(Some(_)) | Err(_) => return Cow::Borrowed(binding),
    }
    let mut without = binding.clone();
    if let Some(status) = &mut without.status {
        status.service_account = None;
        let done = |it: &Condition| it.type_ == step && it.status == ConditionStatus::True.as_str();
        status.conditions.retain(|it| !done(it));
    }
    Cow::Owned(without)
}

/// Whether a binding that cannot be looked at is as its status says: it was good when last seen. One that is not Ready becomes so
/// only by a client id that was read a moment ago: the identity may have been made again since.
pub(super) fn is_as_last_seen(
    binding: &WorkloadIdentityBinding,
    desired: &Desired,
    ctx: &Context,
) -> bool {
    let has_its_identity = || {
        let ledger = ctx.ledgers.of(&desired.identity);
        recorded_identity(binding)
            .is_some_and(|it| ledger.had_client_id_within(IDENTITY_FOR_NEWCOMERS, &it.client_id))
    };
    was_good(binding.status.as_ref(), desired)
        && (was_ready(binding, desired) || has_its_identity() || Bug::DeadClientIdKept.is_on())
}
