//! Gives the account of a binding that goes the state that the remaining ones ask for.

use azwib_crds::DeletionPolicy;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use super::deleted_binding::DeletedBinding;
use super::lost;
use crate::binding::account::api::{account_now, apply_account};
use crate::binding::account::contests::Admission;
use crate::binding::account::error::ServiceAccountError;
use crate::binding::account::{
    AccountConfiguration, Difference, ExistingAccount, account_binding, configuration_after,
    why_left,
};
use crate::binding::context::Context;
use crate::binding::error::Error;
use crate::binding::read_only::withhold;
use crate::binding::status::reason::ConditionType;
use crate::runtime::deliberate::Bug;

/// Gives the account the state that the remaining bindings ask for. `made` says that the binding has made a credential,
/// and so its account, whatever is left of its status.
pub(super) async fn release_account(
    departing: &DeletedBinding,
    made: bool,
    ctx: &Context,
) -> Result<(), Error> {
    let (namespace, name) = (departing.namespace(), &departing.service_account);
    if departing.account_binding.is_none() && !made && !lost::owns_account(departing, ctx).await? {
        return Ok(());
    }
    // The watch may lag behind an apply of a moment ago.
    let Some(existing) = account_now(namespace, name, ctx).await? else {
        return Ok(());
    };
    let leaving = departing.account_binding.clone();
    let leaving = leaving.unwrap_or_else(|| departing.as_account_shows(&existing));
    let bindings_of_account = ctx.bindings_of_account(namespace, name);
    let remaining: Vec<_> = bindings_of_account
        .iter()
        .filter(|other| other.metadata.uid != departing.metadata.uid)
        .filter_map(account_binding)
        .collect();
    // It stays as it is; a binding that remains and wants it otherwise says so itself. Written here as well, with each try of a
    // cleanup that something holds up, it would go back and forth between the two.
    if leaving.deletion_policy == DeletionPolicy::Retain && !remaining.is_empty() {
        return Ok(());
    }
    let mut configuration = configuration_after(&leaving, &remaining, &existing);
    let is_orphaned = departing.is_orphaning();
    if is_orphaned && !Bug::OwnerPutBack.is_on() {
        // The garbage collector may take it off between the read of the account and this write.
        configuration
            .owner_references
            .retain(|owner| owner.uid != departing.uid());
    }
    let left = why_left(&leaving, is_orphaned, &configuration, &existing);
    let left = left.filter(|_| remaining.is_empty());
    // It was released before, and somebody changes it again and again while something else holds up the cleanup.
    let is_contested = || {
        let drift = || configuration.drift(Some(&existing));
        let admission = ctx.contests.admit((namespace, name), &configuration, drift);
        matches!(admission, Admission::Refused(_))
    };
    if !configuration.is_in_place(&existing) {
        withhold(
            ConditionType::ServiceAccountReady,
            || format!("change the service account {namespace}/{name}"),
            ctx,
        )?;
    }
    if !configuration.is_in_place(&existing) && !is_contested() {
        match apply_account(namespace, name, configuration, ctx).await {
            Ok((written, answer)) => {
                let stays = left.is_some() || !remaining.is_empty();
                let differs = altered(&written, (&existing, &answer), stays);
                tell_what_was_altered(departing, differs, ctx).await;
            }
            Err(ServiceAccountError::NamespaceTerminating) => {}
            // What another manager holds is not ours to take away.
            Err(ServiceAccountError::OwnedByManager { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(why) = left
        && !is_going(namespace, ctx).await?
    {
        ctx.events
            .account_left(&departing.metadata, name, &why)
            .await;
    }
    Ok(())
}

/// In what an account came back otherwise than it was written, if it did. What was to be taken off matters where the account
/// stays.
fn altered(
    written: &AccountConfiguration,
    (before, answer): (&ExistingAccount, &ExistingAccount),
    stays: bool,
) -> Option<Difference> {
    let mut unreleased = written.unreleased(before, answer).filter(|_| stays);
    written
        .differences(answer)
        .next()
        .or_else(|| unreleased.next())
        .filter(|_| !Bug::AnswerUnread.is_on())
}

/// The cleanup goes on: whoever has made that policy has decided, and no more tries would change it.
async fn tell_what_was_altered(
    departing: &DeletedBinding,
    differs: Option<Difference>,
    ctx: &Context,
) {
    let Some(difference) = differs else { return };
    if !ctx.told.is_news(departing.uid(), "account altered") {
        return;
    }
    let (account, told) = (&departing.service_account, difference.told());
    tracing::warn!(
        account,
        altered = told,
        "a policy or webhook changed what azwib wrote to the account of a deleted binding"
    );
    ctx.events
        .account_altered(&departing.metadata, account, &told)
        .await;
}

/// Whether a namespace is being deleted, with all that is in it.
async fn is_going(namespace: &str, ctx: &Context) -> Result<bool, kube::Error> {
    let namespaces: Api<Namespace> = Api::all(ctx.client.clone());
    let found = namespaces.get_metadata_opt(namespace).await?;
    Ok(found.is_none_or(|found| found.metadata.deletion_timestamp.is_some()))
}
