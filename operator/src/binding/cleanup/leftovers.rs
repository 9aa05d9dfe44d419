//! Credentials of azwib's that no binding records and no grant covers: a binding went while nobody saw it, or what it has left lost
//! its grant. Who acts by one acts without anybody's leave.
//!
//! A listing shows them. Each is looked at again when its grace is over, and deleted if nobody covers it then either.

use std::ops::ControlFlow;
use std::time::Duration;

use azwib_crds::{DeletionPolicy, ManagedIdentityId, ServiceAccountRole, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::deleted_binding::DeletedBinding;
use super::deletion::{delete_found, deletion_place, read};
use super::ownership::is_ours;
use crate::azure::ListedCredential;
use crate::binding::context::Context;
use crate::binding::credential::leftovers::Leftover;
use crate::binding::credential::orphans::unrecorded;
use crate::binding::error::Error;
use crate::binding::failed::{Failed, Next};
use crate::binding::grants::SETTLES;
use crate::ledger::{BindingRef, Ledger};
use crate::runtime::deliberate::Bug;

/// Takes note of those in a listing.
pub fn note(listing: &[ListedCredential], ledger: &Ledger, ctx: &Context) {
    let leftovers = recorded_by_nobody(listing, ledger.id(), ctx)
        .into_iter()
        .filter_map(|it| Leftover::of(it, ledger.id(), &ctx.defaults.issuer))
        .filter(|it| is_ungranted(it, ctx))
        .filter(|_| !Bug::LeftoverKept.is_on() && !Bug::VanishedForgotten.is_on());
    for leftover in leftovers {
        let who = leftover.who();
        // An earlier process may have begun to delete it.
        ledger.take_note_of_deletion(leftover.name.as_str());
        if ctx.leftovers.add(leftover) {
            ledger.wake([who]);
        }
    }
}

/// Looks at a leftover: it is deleted once its grace is over.
pub async fn pass(leftover: &Leftover, ctx: &Context) -> Result<Next, Failed> {
    let who = leftover.who();
    let grace = SETTLES + ctx.settings.revocation_grace;
    let left = grace.saturating_sub(leftover.since.elapsed());
    if is_left_over(leftover, ctx) {
        if left > Duration::ZERO {
            return Ok(Some(left));
        }
        let deleted = delete(leftover, ctx).await;
        deleted.map_err(|error| ctx.failed(&who.name, error))?;
    }
    ctx.leftovers.forget(&who);
    ctx.forget(&who.name);
    Ok(None)
}

/// Whether a grant is required for its account, and none covers it.
fn is_ungranted(leftover: &Leftover, ctx: &Context) -> bool {
    let account = (&*leftover.namespace, &*leftover.service_account);
    let ruling = ctx.ruling_on(&leftover.identity, account, None);
    ruling.is_refused() || Bug::LeftoverDespiteGrant.is_on()
}

/// Whether still no binding records it, and no grant covers it. A binding that would give it such a name has no grant either.
fn is_left_over(leftover: &Leftover, ctx: &Context) -> bool {
    let listed = std::slice::from_ref(&leftover.credential);
    let is_unrecorded = !recorded_by_nobody(listed, &leftover.identity, ctx).is_empty();
    is_unrecorded && is_ungranted(leftover, ctx)
}

/// Those of these credentials of an identity that no binding records.
fn recorded_by_nobody<'a>(
    listed: &'a [ListedCredential],
    identity: &ManagedIdentityId,
    ctx: &Context,
) -> Vec<&'a ListedCredential> {
    unrecorded(listed, identity, &ctx.defaults.issuer, &ctx.bindings)
}

async fn delete(leftover: &Leftover, ctx: &Context) -> Result<(), Error> {
    let Leftover {
        identity,
        name,
        namespace,
        service_account,
        ..
    } = leftover;
    let departing = departing(leftover);
    let ledger = ctx.ledgers.of(identity);
    ledger.take_note_of_deletion(name.as_str());
    let place = deletion_place(&departing, &ledger, name, ctx).await?;
    // The place may have taken its time.
    if !is_left_over(leftover, ctx) {
        return Ok(());
    }
    let ControlFlow::Continue(found) = read(&departing, &ledger, &place, name, ctx).await? else {
        return Ok(());
    };
    let subject = Subject::of_service_account(namespace, service_account);
    if found.is_some_and(|found| is_ours(&found, &ctx.defaults.issuer, &subject)) {
        delete_found(&departing, &ledger, place, name, true, ctx).await?;
        tracing::warn!(
            %identity, %name, namespace, service_account,
            "deleted a credential of azwib's that neither a binding nor a grant covers"
        );
    }
    Ok(())
}

/// As a binding that is being deleted: what of one the deletion of a credential needs.
fn departing(leftover: &Leftover) -> DeletedBinding {
    let BindingRef { namespace, name } = leftover.who();
    DeletedBinding {
        metadata: ObjectMeta {
            uid: Some(name.clone()),
            name: Some(name),
            namespace: Some(namespace),
            ..ObjectMeta::default()
        },
        service_account: leftover.service_account.clone(),
        deletion_policy: DeletionPolicy::Delete,
        account_binding: None,
        credentials: vec![],
        identity: None,
        role: ServiceAccountRole::Default,
        suspended: false,
        conditions: vec![],
    }
}
