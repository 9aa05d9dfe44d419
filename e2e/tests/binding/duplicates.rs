//! Two bindings that ask for the same: the younger is Ready with the older, and takes over when that goes.

use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::Environment;
use azwib_e2e::environment::{Namespace, annotation, condition, observed};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::shared_account::bind;
use crate::{CLIENT_ID, owners};

/// Bindings that are as old as each other stand in the order of their names.
const OLD: &str = "a-old";
const NEW: &str = "b-new";
const PROVIDED: &str = "ProvidedByOlderBinding";

fn ready(binding: &WorkloadIdentityBinding) -> &Condition {
    condition(binding, "Ready").unwrap()
}

fn is_ready_for(binding: &WorkloadIdentityBinding, reason: &str) -> bool {
    observed(binding)
        && condition(binding, "Ready").is_some_and(|it| it.status == "True" && it.reason == reason)
}

/// Waits until it is Ready by the doing of that one.
async fn provided(
    shop: &Namespace<'_>,
    name: &str,
    by: &str,
) -> anyhow::Result<WorkloadIdentityBinding> {
    let quoted = format!("\"{by}\"");
    shop.until(name, &format!("provided by {by}"), |binding| {
        is_ready_for(binding, PROVIDED) && ready(binding).message.contains(&quoted)
    })
    .await
}

/// Waits until it takes the place of the older one, and gives all that it was meanwhile: it never left Ready.
async fn takes_over(
    shop: &Namespace<'_>,
    from: &WorkloadIdentityBinding,
) -> anyhow::Result<WorkloadIdentityBinding> {
    let versions = shop
        .versions_until(from, "one of its own", |it| is_ready_for(it, "Succeeded"))
        .await?;
    for version in &versions {
        assert_eq!(ready(version).status, "True", "{:?}", version.status);
        for type_ in ["Ready", "CredentialReady", "ServiceAccountReady"] {
            assert_eq!(
                condition(version, type_).unwrap().last_transition_time,
                condition(from, type_).unwrap().last_transition_time,
                "{type_}"
            );
        }
    }
    Ok(versions.last().unwrap().clone())
}

#[tokio::test]
async fn a_new_binding_for_the_same_is_ready_beside_the_old_one_and_stays_so_when_that_goes()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    for (more, parameters) in [
        ("", DeleteParams::background()),
        ("", DeleteParams::foreground()),
        (", deletionPolicy: Retain", DeleteParams::background()),
    ] {
        let shop = env.namespace("rename").await?;
        let orders = shop.identity("orders").await?;
        bind(&shop, OLD, &orders, more).await?;
        let old = shop.ready(OLD).await?;
        let credential = condition(&old, "CredentialReady").unwrap();
        bind(&shop, NEW, &orders, "").await?;
        let new = provided(&shop, NEW, OLD).await?;
        assert_eq!(
            condition(&new, "CredentialReady")
                .unwrap()
                .last_transition_time,
            credential.last_transition_time,
            "the credential has had its propagation time"
        );
        let status = new.status.as_ref().unwrap();
        let identity = status.identity.as_ref().unwrap();
        assert_eq!(identity.client_id, orders.client_id());
        assert_eq!(identity.tenant_id, env.simulator.tenant().to_string());
        let account = shop.service_accounts().get("orders").await?;

        shop.bindings().delete(OLD, &parameters).await?;
        takes_over(&shop, &new).await?;
        shop.until_gone(OLD).await?;
        assert_eq!(
            shop.operator_writes("orders").await?,
            1,
            "the credential was neither deleted nor written again"
        );
        let left = shop.account_until("orders", "its own", |account| {
            account.is_some_and(|account| owners(account) == [NEW])
        });
        let left = left.await?.unwrap();
        assert_eq!(left.uid(), account.uid(), "it was never made anew");
        assert_eq!(
            annotation(&left, CLIENT_ID),
            Some(orders.client_id().as_str())
        );
        shop.unbind(NEW).await?;
        assert_eq!(shop.credentials(&orders).await?, []);
    }
    Ok(())
}

#[tokio::test]
async fn a_duplicate_that_asks_for_something_else_says_what_and_takes_over() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("other").await?;
    let orders = shop.identity("orders").await?;
    bind(&shop, OLD, &orders, "").await?;
    shop.ready(OLD).await?;
    bind(&shop, NEW, &orders, "").await?;
    provided(&shop, NEW, OLD).await?;
    for (change, same, what) in [
        (
            json!({ "credential": { "adoption": "Never" } }),
            json!({ "credential": { "adoption": "IfIdentical" } }),
            "spec.credential.adoption is IfIdentical there and Never here",
        ),
        (
            json!({ "serviceAccount": { "role": "Additional" } }),
            json!({ "serviceAccount": { "role": "Default" } }),
            "spec.serviceAccount.role is Default there and Additional here",
        ),
        (
            json!({ "serviceAccount": { "tokenExpirationSeconds": 7200 } }),
            json!({ "serviceAccount": { "tokenExpirationSeconds": 3600 } }),
            "spec.serviceAccount.tokenExpirationSeconds is 3600 there and 7200 here",
        ),
        (
            json!({ "credential": { "audience": "api://orders" } }),
            json!({}),
            "spec.credential.audience is api://AzureADTokenExchange there and api://orders here",
        ),
    ] {
        shop.change(NEW, change).await?;
        let duplicate = shop
            .failing(NEW, "CredentialReady", "DuplicateBinding")
            .await?;
        for part in [OLD, what] {
            assert!(duplicate.message.contains(part), "{}", duplicate.message);
        }
        if same != json!({}) {
            shop.change(NEW, same).await?;
            provided(&shop, NEW, OLD).await?;
        }
    }
    assert_eq!(shop.operator_writes("orders").await?, 1);

    shop.unbind(OLD).await?;
    shop.ready(NEW).await?;
    let credentials = shop.credentials(&orders).await?;
    assert_eq!(credentials[0].properties.audiences, ["api://orders"]);
    shop.unbind(NEW).await
}

#[tokio::test]
async fn what_the_older_changes_for_itself_takes_nothing_from_the_younger() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("aside").await?;
    let orders = shop.identity("orders").await?;
    bind(&shop, OLD, &orders, "").await?;
    shop.ready(OLD).await?;
    bind(&shop, NEW, &orders, "").await?;
    let new = provided(&shop, NEW, OLD).await?;
    for change in [
        json!({ "deletionPolicy": "Retain" }),
        json!({ "deletionPolicy": "Delete" }),
        // Its credential was good when last seen, and the younger sees it.
        json!({ "suspend": true }),
    ] {
        shop.change(OLD, change).await?;
        shop.until(OLD, "observed", observed).await?;
    }
    shop.unbind(OLD).await?;
    takes_over(&shop, &new).await?;
    assert_eq!(shop.operator_writes("orders").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_younger_duplicate_follows_the_older_and_names_what_stops_it() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("follows").await?;
    let orders = shop.identity("orders").await?;
    bind(&shop, OLD, &orders, ", suspend: true").await?;
    shop.failing(OLD, "Ready", "Suspended").await?;
    bind(&shop, NEW, &orders, "").await?;
    let waits = shop.until(NEW, "not Ready with the older one", |binding| {
        condition(binding, "Ready").is_some_and(|it| it.reason == "DuplicateBinding")
    });
    let waits = waits.await?;
    let message = &ready(&waits).message;
    for part in [OLD, "(Suspended)"] {
        assert!(message.contains(part), "{message}");
    }
    shop.change(OLD, json!({ "suspend": false })).await?;
    let new = provided(&shop, NEW, OLD).await?;
    assert_eq!(shop.operator_writes("orders").await?, 1);

    // The credential is lost: the older one has to make it again, and both are Ready then.
    let credential = shop.credential_name("orders")?;
    let id = orders.resource_id();
    env.arm()
        .await?
        .delete(&format!("{id}/federatedIdentityCredentials/{credential}"))
        .await?;
    let ask = json!({ "metadata": { "annotations": { "azwib.dev/reconcile-requested-at": "1" } } });
    shop.bindings()
        .patch(OLD, &PatchParams::default(), &Patch::Merge(ask))
        .await?;
    let versions = shop.versions_until(&new, "not Ready with the older one", |binding| {
        condition(binding, "Ready").is_some_and(|it| it.reason == "DuplicateBinding")
    });
    let lost = versions.await?.pop().unwrap();
    assert!(
        ready(&lost).message.contains(OLD),
        "{}",
        ready(&lost).message
    );
    provided(&shop, NEW, OLD).await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_suspended_duplicate_is_suspended() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("suspended-duplicate").await?;
    let orders = shop.identity("orders").await?;
    bind(&shop, OLD, &orders, "").await?;
    shop.ready(OLD).await?;
    bind(&shop, NEW, &orders, "").await?;
    provided(&shop, NEW, OLD).await?;
    shop.change(NEW, json!({ "suspend": true })).await?;
    shop.failing(NEW, "Ready", "Suspended").await?;
    shop.change(NEW, json!({ "suspend": false })).await?;
    provided(&shop, NEW, OLD).await.map(drop)
}

#[tokio::test]
async fn of_three_the_next_oldest_takes_over_and_provides_for_the_last() -> anyhow::Result<()> {
    const LAST: &str = "c-last";
    let env = Environment::shared().await?;
    let shop = env.namespace("three").await?;
    let orders = shop.identity("orders").await?;
    bind(&shop, OLD, &orders, "").await?;
    shop.ready(OLD).await?;
    for name in [NEW, LAST] {
        bind(&shop, name, &orders, "").await?;
    }
    let new = provided(&shop, NEW, OLD).await?;
    let last = provided(&shop, LAST, OLD).await?;
    shop.unbind(OLD).await?;
    takes_over(&shop, &new).await?;
    let quoted = format!("\"{NEW}\"");
    let versions = shop.versions_until(&last, "provided by the next", |binding| {
        ready(binding).message.contains(&quoted)
    });
    let versions = versions.await?;
    assert!(versions.iter().all(|it| ready(it).status == "True"));
    shop.unbind(NEW).await?;
    takes_over(&shop, versions.last().unwrap()).await?;
    assert_eq!(shop.operator_writes("orders").await?, 1);
    shop.unbind(LAST).await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}
