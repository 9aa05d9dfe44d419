//! Bindings that share a ServiceAccount.

use azure_simulator::control::api::RequestRecord;
use azwib_crds::CredentialOrigin;
use azwib_e2e::environment::interference::{Outage, service_unavailable};
use azwib_e2e::environment::rule::Rule;
use azwib_e2e::environment::{ManagedIdentity, Namespace, PATIENCE, annotation, condition};
use azwib_e2e::{Environment, wait};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::{AUDIENCE, CLIENT_ID, owners};

/// Bindings that are as old as each other stand in the order of their names.
const OLDER: &str = "a-older";
const YOUNGER: &str = "b-younger";

/// Binds the ServiceAccount `orders`; `more` goes on with the spec after its `name`.
pub(crate) async fn bind(
    shop: &Namespace<'_>,
    name: &str,
    identity: &ManagedIdentity,
    more: &str,
) -> anyhow::Result<()> {
    let id = identity.resource_id();
    let spec = format!("identity: {{resourceId: {id}}}, serviceAccount: {{name: orders}}{more}");
    shop.bind(name, &spec).await
}

#[tokio::test]
async fn the_younger_duplicate_can_go_and_leaves_the_credential_to_the_older() -> anyhow::Result<()>
{
    let env = Environment::shared().await?;
    let shop = env.namespace("younger-duplicate").await?;
    let orders = shop.identity("orders").await?;
    bind(&shop, OLDER, &orders, "").await?;
    shop.ready(OLDER).await?;
    bind(&shop, YOUNGER, &orders, "").await?;
    shop.ready(YOUNGER).await?;

    shop.unbind(YOUNGER).await?;
    shop.ready(OLDER).await?;
    assert_eq!(shop.operator_writes("orders").await?, 1);
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn of_two_identities_on_one_account_the_younger_waits_for_the_account() -> anyhow::Result<()>
{
    let env = Environment::shared().await?;
    let shop = env.namespace("two-identities").await?;
    let first = shop.identity("first").await?;
    let second = shop.identity("second").await?;
    bind(&shop, OLDER, &first, "").await?;
    shop.ready(OLDER).await?;
    bind(&shop, YOUNGER, &second, "").await?;
    let conflict = shop
        .failing(YOUNGER, "ServiceAccountReady", "ServiceAccountConflict")
        .await?;
    assert!(conflict.message.contains(OLDER), "{}", conflict.message);
    assert_eq!(shop.operator_writes("second").await?, 0);
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(
        annotation(&account, CLIENT_ID),
        Some(first.client_id().as_str())
    );

    shop.unbind(OLDER).await?;
    shop.ready(YOUNGER).await?;
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(
        annotation(&account, CLIENT_ID),
        Some(second.client_id().as_str())
    );
    assert_eq!(shop.credentials(&first).await?, []);
    assert_eq!(shop.credentials(&second).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn one_binding_that_retains_keeps_the_account_for_all() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("mixed").await?;
    let orders = shop.identity("orders").await?;
    bind(&shop, OLDER, &orders, "").await?;
    shop.ready(OLDER).await?;
    bind(&shop, YOUNGER, &orders, ", deletionPolicy: Retain").await?;
    shop.account_until("orders", "without owners", |account| {
        account.is_some_and(|account| owners(account).is_empty())
    })
    .await?;

    shop.unbind(YOUNGER).await?;
    shop.account_until("orders", "owned by the binding that is left", |account| {
        account.is_some_and(|account| owners(account) == [OLDER])
    })
    .await?;
    Ok(())
}

/// The older of two duplicates holds the credential and is deleted while Azure answers nobody.
async fn older_duplicate_gone_in_an_outage(
    shop: &Namespace<'_>,
) -> anyhow::Result<(ManagedIdentity, Outage)> {
    let orders = shop.identity("orders").await?;
    bind(shop, OLDER, &orders, "").await?;
    shop.ready(OLDER).await?;
    bind(shop, YOUNGER, &orders, "").await?;
    shop.ready(YOUNGER).await?;
    let outage = shop.outage(service_unavailable()).await?;
    // What was read before no longer counts after a read that failed: nobody can go on with it.
    let identity = orders.resource_id().to_ascii_lowercase();
    wait::until("a failed read of the identity", PATIENCE, async || {
        let reads = shop.operator_requests("GET", "orders").await?;
        let failed = |read: &&RequestRecord| {
            read.status == Some(503) && read.path.to_ascii_lowercase() == identity
        };
        Ok(reads.iter().find(failed).map(drop))
    })
    .await?;
    shop.unbind(OLDER).await?;
    Ok((orders, outage))
}

#[tokio::test]
async fn duplicates_deleted_one_after_the_other_in_an_outage_leave_no_credential()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("duplicates-outage").await?;
    let (orders, outage) = older_duplicate_gone_in_an_outage(&shop).await?;

    shop.bindings()
        .delete(YOUNGER, &DeleteParams::default())
        .await?;
    shop.until(YOUNGER, "held by a credential to delete", |binding| {
        binding.metadata.deletion_timestamp.is_some()
            && condition(binding, "Ready").is_some_and(|ready| ready.reason == "AzureUnavailable")
    })
    .await?;
    outage.end().await?;
    shop.until_gone(YOUNGER).await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}

#[tokio::test]
async fn a_duplicate_that_takes_over_in_an_outage_has_the_record_at_once_and_cleans_up_in_its_turn()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("duplicate-takes-over").await?;
    let (orders, outage) = older_duplicate_gone_in_an_outage(&shop).await?;

    let younger = shop.bindings().get(YOUNGER).await?;
    let ready = condition(&younger, "Ready").unwrap();
    assert_eq!(ready.status, "True", "{}", ready.message);
    let recorded = younger.status.unwrap();
    let recorded: Vec<_> = recorded.credentials.iter().collect();
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    assert_eq!(recorded[0].name, shop.credential_name("orders")?);
    assert_eq!(recorded[0].origin, CredentialOrigin::Created);

    outage.end().await?;
    shop.ready(YOUNGER).await?;
    assert_eq!(
        shop.operator_writes("orders").await?,
        1,
        "the one that made the credential"
    );
    shop.unbind(YOUNGER).await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}

#[tokio::test]
async fn bindings_whose_statuses_are_refused_agree_on_their_account() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("unwritten-duplicates").await?;
    let orders = shop.identity("orders").await?;
    let arm = env.arm().await?;
    // Who gets no slot comes to the account without a record.
    for number in 0..20 {
        let (name, subject) = (format!("foreign-{number}"), format!("repo:{number}"));
        let issuer = "https://token.actions.example";
        arm.put_credential(orders.resource_id(), &name, issuer, &subject, AUDIENCE)
            .await?;
    }
    let statuses = ("azwib.dev", "workloadidentitybindings/status");
    let rule = Rule::deny(&shop, statuses, "UPDATE", "no statuses here").await?;
    let spec = format!(
        "identity: {{resourceId: {}}}, suspend: true, serviceAccount: {{name: probe}}",
        orders.resource_id()
    );
    shop.bind("probe", &spec).await?;
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({ "status": { "observedGeneration": 7 } }));
    // The API server takes note of a rule a moment after it was made.
    wait::until("the rule to be in force", PATIENCE, async || {
        let refused = shop.bindings().patch_status("probe", &dry, &patch).await;
        Ok(refused.is_err().then_some(()))
    })
    .await?;
    let names = ["a", "b", "c"];
    for name in names {
        bind(&shop, name, &orders, "").await?;
    }

    let of_all = |account: Option<&ServiceAccount>| {
        let mut found = account.map_or_else(Vec::new, owners);
        found.sort_unstable();
        found == names
    };
    shop.account_until("orders", "of all three", of_all).await?;
    // Each look would be one more, were they not of one mind.
    shop.further_listings("orders", 2).await?;
    let operator = "system:serviceaccount:azwib-system:azwib-operator";
    let events = env.control_plane.audit_log()?.into_iter();
    let applied = events.filter(|event| {
        let object = event.object_ref.as_ref();
        event.user.username == operator
            && event.verb == "patch"
            && object.is_some_and(|it| {
                it.resource.as_deref() == Some("serviceaccounts")
                    && it.namespace.as_deref() == Some(shop.name())
            })
    });
    let applied = applied.count();
    assert!(applied <= 6, "the account was applied {applied} times");

    rule.lift().await?;
    shop.failing("a", "CredentialReady", "CredentialLimitReached")
        .await?;
    Ok(())
}
