//! Nothing survives its binding unseen.

use std::time::{Duration, Instant};

use azwib_e2e::environment::condition;
use azwib_e2e::environment::interference::service_unavailable;
use azwib_e2e::environment::rule::Rule;
use azwib_e2e::wait::{self, PATIENCE};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::{enforcing, granted};

#[tokio::test]
async fn a_binding_whose_finalizer_was_taken_off_is_cleaned_up_after() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("stripped").await?;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    // The operator cannot delete the credential at once: the finalizer is still on when somebody takes it off.
    let deletions = shop.requests_to("DELETE", "orders");
    let outage = env.outage(deletions, service_unavailable()).await?;
    let bindings = shop.bindings();
    bindings.delete("orders", &DeleteParams::default()).await?;
    let without = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    bindings
        .patch("orders", &PatchParams::default(), &without)
        .await?;
    shop.until_gone("orders").await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    outage.end().await?;
    wait::until("the credential to be gone", PATIENCE, async || {
        Ok(shop.credentials(&orders).await?.is_empty().then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_binding_that_is_kept_without_its_finalizer_keeps_nothing_beyond_its_grant()
-> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("kept-bare").await?;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let rule = Rule::deny_unless(
        &shop,
        ("azwib.dev", "workloadidentitybindings"),
        "UPDATE",
        "!has(object.metadata.finalizers)",
        "no finalizers here",
    )
    .await?;
    let bindings = shop.bindings();
    let without = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    wait::until("the finalizer to stay off", PATIENCE, async || {
        let nobody = PatchParams::default();
        let binding = bindings.patch("orders", &nobody, &without).await?;
        let ready = condition(&binding, "Ready");
        let told = ready.is_some_and(|it| it.message.contains("no finalizers here"));
        Ok(told.then_some(()))
    })
    .await?;
    shop.revoke("it").await?;
    wait::until("the credential to be gone", PATIENCE, async || {
        Ok(shop.credentials(&orders).await?.is_empty().then_some(()))
    })
    .await?;
    rule.lift().await
}

#[tokio::test]
async fn what_was_retained_is_left_while_a_grant_covers_it_and_deleted_once_none_does()
-> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("left-over").await?;
    let orders = shop.identity("orders").await?;
    let of = |account| json!({ "names": [account] });
    shop.grant(
        "retains",
        json!({ "allowRetain": true, "serviceAccounts": of("orders") }),
    )
    .await?;
    shop.grant("other", json!({ "serviceAccounts": of("api") }))
        .await?;
    let id = orders.resource_id();
    let spec = format!("identity: {{resourceId: {id}}}, deletionPolicy: Retain");
    shop.bind("orders", &spec).await?;
    shop.ready("orders").await?;
    shop.unbind("orders").await?;
    shop.bind_to("api", &orders).await?;
    shop.ready("api").await?;
    shop.further_listings("orders", 3).await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 2);
    let revoked = Instant::now();
    shop.revoke("retains").await?;
    shop.further_listings("orders", 1).await?;
    let only = wait::until("one credential to be left", PATIENCE, async || {
        let left = shop.credentials(&orders).await?;
        Ok(Some(left).filter(|left| left.len() == 1))
    })
    .await?;
    // Ten seconds in which nothing is taken away, and the grace of these tests.
    assert!(revoked.elapsed() >= Duration::from_secs(14));
    let subject = format!("system:serviceaccount:{}:api", shop.name());
    assert_eq!(only[0].properties.subject, subject);
    shop.ready("api").await?;
    Ok(())
}

#[tokio::test]
async fn what_was_let_go_stays_on_the_list_and_goes_once_no_grant_covers_it() -> anyhow::Result<()>
{
    let env = enforcing().await?;
    let shop = env.namespace("let-go").await?;
    let orders = shop.identity("orders").await?;
    for account in ["orders", "api"] {
        let of_account = json!({ "serviceAccounts": { "names": [account] } });
        shop.grant(account, of_account).await?;
        shop.bind_to(account, &orders).await?;
        shop.ready(account).await?;
    }
    let deletes = shop.requests_to("DELETE", "orders");
    let outage = env.outage(deletes, service_unavailable()).await?;
    let let_go = json!({ "metadata": { "annotations": { "azwib.dev/force-detach": "true" } } });
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(shop.client().clone());
    namespaces
        .patch(shop.name(), &PatchParams::default(), &Patch::Merge(let_go))
        .await?;
    shop.unbind("orders").await?;
    outage.end().await?;
    shop.further_listings("orders", 3).await?;
    assert_eq!(
        shop.credentials(&orders).await?.len(),
        2,
        "a grant covers it"
    );
    shop.revoke("orders").await?;
    let only = wait::until("one credential to be left", PATIENCE, async || {
        let left = shop.credentials(&orders).await?;
        Ok(Some(left).filter(|left| left.len() == 1))
    })
    .await?;
    let subject = format!("system:serviceaccount:{}:api", shop.name());
    assert_eq!(only[0].properties.subject, subject);
    shop.ready("api").await?;
    Ok(())
}

#[tokio::test]
async fn a_grant_tells_how_many_bindings_it_covers() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("told").await?;
    let orders = shop.identity("orders").await?;
    for name in ["a", "b"] {
        shop.bind_to(name, &orders).await?;
    }
    shop.grant_all("it").await?;
    for name in ["a", "b"] {
        assert_eq!(granted(&shop.ready(name).await?).1, "Granted");
    }
    shop.grant_until("it", "in force for two", |status| {
        let ready = &status.conditions[0];
        ready.status == "True" && ready.reason == "InForce" && status.bindings == Some(2)
    })
    .await?;
    let shown = env
        .control_plane
        .kubectl(&["get", "azgrant", &shop.grant_name("it")])
        .await?;
    let rows: Vec<Vec<_>> = shown
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["NAME", "READY", "BINDINGS", "MAX", "AGE"]);
    let name = shop.grant_name("it");
    assert_eq!(rows[1][..3], [&*name, "True", "2"], "{shown}");
    Ok(())
}
