//! A tenant cannot make azwib leave a credential behind: the finalizer stays on until cleanup is done, and only the platform team
//! lets go of a binding.

use anyhow::Context;
use azwib_e2e::environment::interference::service_unavailable;
use azwib_e2e::environment::{ManagedIdentity, PATIENCE};
use azwib_e2e::wait;
use k8s_openapi::api::core::v1::Namespace as KubernetesNamespace;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::{Tenant, enforcing, is_forbidden};

const FINALIZER: &str = "azwib.dev/cleanup";

fn force_detach() -> Value {
    json!({ "metadata": { "annotations": { "azwib.dev/force-detach": "true" } } })
}

/// A tenant with a Ready binding.
async fn bound(purpose: &str) -> anyhow::Result<(Tenant<'static>, ManagedIdentity)> {
    let tenant = Tenant::new(enforcing().await?, purpose).await?;
    let orders = tenant.shop.identity("orders").await?;
    tenant.shop.grant_all("it").await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    tenant.shop.ready("orders").await?;
    Ok((tenant, orders))
}

/// Whether the policy refuses to take the finalizer off.
fn is_held<T>(answer: &kube::Result<T>) -> bool {
    is_forbidden(answer)
        && matches!(answer, Err(kube::Error::Api(it)) if it.message.contains("azwib-finalizer"))
}

#[tokio::test]
async fn a_tenant_takes_the_finalizer_off_neither_before_nor_during_a_deletion()
-> anyhow::Result<()> {
    let (tenant, orders) = bound("strip").await?;
    let shop = &tenant.shop;
    let failing = shop.outage(service_unavailable()).await?;
    for deleted in [false, true] {
        if deleted {
            tenant.delete("orders").await?;
        }
        for finalizers in [json!([]), Value::Null, json!(["example.com/other"])] {
            let none = json!({ "metadata": { "finalizers": finalizers } });
            let answer = tenant.merge("orders", none).await;
            // No new finalizer comes on what is being deleted, whoever asks for it.
            let is_new = deleted && finalizers == json!(["example.com/other"]);
            let refused = is_new && answer.is_err() || is_held(&answer);
            assert!(refused, "{finalizers}, deleted {deleted}: {answer:?}");
        }
        // The operator may write its status in between.
        let answer = wait::until("an update without a race", PATIENCE, async || {
            let mut read = tenant.bindings().get("orders").await?;
            read.metadata.finalizers = None;
            let update = PostParams::default();
            let answer = tenant.bindings().replace("orders", &update, &read).await;
            let raced = matches!(&answer, Err(kube::Error::Api(it)) if it.code == 409);
            Ok((!raced).then_some(answer))
        })
        .await?;
        assert!(is_held(&answer), "deleted {deleted}: {answer:?}");
    }
    assert_eq!(
        shop.bindings().get("orders").await?.finalizers(),
        [FINALIZER]
    );
    failing.end().await?;
    shop.until_gone("orders").await?;
    tenant.assert_powerless("orders", &orders).await?;
    assert!(shop.credentials(&orders).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_binding_that_asks_to_be_let_go_is_cleaned_up_all_the_same() -> anyhow::Result<()> {
    let (tenant, orders) = bound("let-go").await?;
    let shop = &tenant.shop;
    tenant.merge("orders", force_detach()).await?;
    let deletes = shop.requests_to("DELETE", "orders");
    let env = tenant.env();
    let failing = env.outage(deletes, service_unavailable()).await?;
    tenant.delete("orders").await?;
    let told = shop
        .failing("orders", "CredentialReady", "AzureUnavailable")
        .await?;
    assert!(told.message.contains("annotate its Namespace"), "{told:?}");
    // It asks once more, now that it is known that the cleanup fails.
    tenant
        .merge(
            "orders",
            json!({ "metadata": { "annotations": { "azwib.dev/reconcile-requested-at": "now" } } }),
        )
        .await?;
    let deletes = async || shop.operator_requests("DELETE", "orders").await;
    let before = deletes().await?.len();
    wait::until("another try", PATIENCE, async || {
        Ok((deletes().await?.len() > before).then_some(()))
    })
    .await?;
    assert_eq!(
        shop.bindings().get("orders").await?.finalizers(),
        [FINALIZER]
    );
    failing.end().await?;
    shop.until_gone("orders").await?;
    assert!(shop.credentials(&orders).await?.is_empty());
    tenant.assert_powerless("orders", &orders).await
}

#[tokio::test]
async fn a_tenant_cannot_write_to_its_namespace() -> anyhow::Result<()> {
    let (tenant, _) = bound("namespace").await?;
    let namespaces: Api<KubernetesNamespace> = Api::all(tenant.client.clone());
    let by_hand = PatchParams::default();
    let labels = json!({ "metadata": { "labels": { "team": "payments" } } });
    for patch in [force_detach(), labels] {
        let patch = Patch::Merge(patch);
        let name = tenant.shop.name();
        let answer = namespaces.patch(name, &by_hand, &patch).await;
        assert!(is_forbidden(&answer), "{answer:?}");
    }
    Ok(())
}

/// As `docs/security.md` says of it ("Who may take the finalizer off"). It is what an administrator can do, and no tenant.
#[tokio::test]
async fn what_an_administrator_strips_is_cleaned_up_after_and_gives_nobody_anything()
-> anyhow::Result<()> {
    let (tenant, orders) = bound("stripped").await?;
    let shop = &tenant.shop;
    shop.revoke("it").await?;
    let deletes = shop.requests_to("DELETE", "orders");
    let failing = tenant.env().outage(deletes, service_unavailable()).await?;
    tenant.delete("orders").await?;
    let by_hand = PatchParams::default();
    let none = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    shop.bindings().patch("orders", &by_hand, &none).await?;
    shop.until_gone("orders").await?;
    assert!(tenant.acts_as("orders", &orders).await?, "it works on");
    let heir = json!({
        "identity": { "resourceId": orders.resource_id() }, "serviceAccount": { "name": "orders" },
    });
    tenant.bind("heir", heir).await?;
    tenant.is_refused("heir").await?;
    tenant.witness().await?;
    let status = tenant.bindings().get("heir").await?.status.unwrap();
    assert!(status.credentials.is_empty());
    failing.end().await?;
    wait::until("the end of the credential", PATIENCE, async || {
        Ok(shop.credentials(&orders).await?.is_empty().then_some(()))
    })
    .await?;
    tenant.assert_powerless("orders", &orders).await?;
    let puts = shop.operator_requests("PUT", "orders").await?;
    assert_eq!(puts.len(), 1, "only the first one's: {puts:?}");
    Ok(())
}

/// However fast it is: before the operator looks at the deletion, while it looks, and after that.
#[tokio::test]
async fn a_binding_that_is_stripped_and_deleted_at_once_is_cleaned_up_after() -> anyhow::Result<()>
{
    let tenant = Tenant::new(enforcing().await?, "at-once").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    let names: Vec<_> = (0..12).map(|it| format!("orders-{it}")).collect();
    for name in &names {
        tenant.bind_to(name, orders.resource_id()).await?;
    }
    for name in &names {
        shop.ready(name).await?;
    }
    let by_hand = PatchParams::default();
    let none = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    let (bindings, delete) = (shop.bindings(), DeleteParams::default());
    for (at, name) in names.iter().enumerate() {
        if at % 2 == 0 {
            bindings.patch(name, &by_hand, &none).await?;
            bindings.delete(name, &delete).await?;
        } else {
            bindings.delete(name, &delete).await?;
            // The operator may have been faster.
            let _ = bindings.patch(name, &by_hand, &none).await;
        }
        shop.until_gone(name).await?;
    }
    let mut left = Vec::new();
    let gone = wait::until("the end of the credentials", PATIENCE, async || {
        left = shop.credentials(&orders).await?;
        Ok(left.is_empty().then_some(()))
    });
    let gone = gone.await;
    gone.with_context(|| format!("{left:?} of {names:?}"))
}
