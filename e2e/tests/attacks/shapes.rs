//! However many, large or odd the objects are that a tenant writes, they cost Azure no request, and what others are granted is as it
//! was.

use std::collections::BTreeMap;

use azwib_crds::IdentityGrant;
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::{Tenant, assert_unasked, enforcing, is_forbidden, is_invalid};

/// As many labels as this, each with the longest value.
fn labels(count: usize) -> BTreeMap<String, String> {
    let label = |at| (format!("l{at:05}"), "v".repeat(63));
    (0..count).map(label).collect()
}

/// As many names of namespaces as this; none of them is there.
fn names(count: usize) -> Vec<String> {
    let name = |at| format!("{at:05}-{}", "n".repeat(57));
    (0..count).map(name).collect()
}

/// The grant of the greatest size, with these at the end of its lists.
fn largest(group: &str, identity: &str, namespace: &str, account: &str) -> Value {
    let group_of = |at| json!({ "scope": format!("{group}-{at:02}{}", "x".repeat(30)) });
    let mut identities: Vec<_> = (0..63).map(group_of).collect();
    identities.push(json!({ "scope": identity }));
    let mut namespaces = names(255);
    namespaces.push(namespace.to_owned());
    let account_of = |at| format!("{at:02}{}", "a".repeat(251));
    let mut accounts: Vec<_> = (0..63).map(account_of).collect();
    accounts.push(account.to_owned());
    json!({
        "identities": identities,
        "namespaces": { "names": namespaces, "selector": { "matchLabels": labels(16) } },
        "serviceAccounts": { "names": accounts },
        "maxCredentialsPerIdentity": 20,
    })
}

#[tokio::test]
async fn a_grant_of_the_greatest_size_gives_what_it_says_to_the_last_entry() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "largest").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    let payments = shop.identity("payments").await?;
    let group = shop.resource_group_id();
    let spec = largest(&group, orders.resource_id(), shop.name(), "orders");
    shop.grant("largest", spec.clone()).await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    tenant
        .bind_to("other-account", orders.resource_id())
        .await?;
    let identity = json!({ "resourceId": payments.resource_id() });
    let account = json!({ "name": "orders" });
    let other = json!({ "identity": identity, "serviceAccount": account });
    tenant.bind("other-identity", other).await?;
    shop.ready("orders").await?;
    tenant.is_refused("other-account").await?;
    tenant.is_refused("other-identity").await?;
    assert_unasked(shop, "payments").await?;

    // One more of anything is refused, and nothing is cut off without a word.
    for (list, one_more) in [
        ("/identities", json!({ "scope": format!("{group}-more") })),
        ("/namespaces/names", json!("more")),
        ("/serviceAccounts/names", json!("more")),
    ] {
        let mut more = spec.clone();
        let entries = more.pointer_mut(list).unwrap();
        entries.as_array_mut().unwrap().push(one_more);
        assert!(is_invalid(&grant(&tenant, more).await), "{list}");
    }
    let mut more = spec;
    more["namespaces"]["selector"]["matchLabels"] = json!(labels(17));
    assert!(is_invalid(&grant(&tenant, more).await));
    Ok(())
}

/// Creates a grant and gives the API server's answer.
async fn grant(tenant: &Tenant<'_>, spec: Value) -> kube::Result<IdentityGrant> {
    let name = tenant.shop.grant_name("more");
    let grant = json!({ "metadata": { "name": name }, "spec": spec });
    let grant = serde_json::from_value(grant).map_err(kube::Error::SerdeError)?;
    let grants = tenant.shop.grants();
    grants.create(&PostParams::default(), &grant).await
}

#[tokio::test]
async fn five_hundred_bindings_without_a_grant_cost_azure_no_request() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let tenant = Tenant::new(env, "crowd").await?;
    let neighbour = Tenant::new(env, "beside").await?;
    let orders = tenant.shop.identity("orders").await?;
    for at in 0..500 {
        let name = format!("many-{at}");
        tenant.bind_to(&name, orders.resource_id()).await?;
        if at == 250 {
            // In the midst of it somebody else is served.
            neighbour.witness().await?;
        }
    }
    for at in 0..500 {
        tenant.is_refused(&format!("many-{at}")).await?;
    }
    assert_unasked(&tenant.shop, "orders").await?;
    let accounts = tenant.shop.service_accounts();
    let all = ListParams::default();
    let made = accounts.list_metadata(&all).await?.items;
    assert!(made.iter().all(|it| !it.name_any().starts_with("many-")));
    Ok(())
}

/// An identity, for the namespaces with these labels.
fn selected(labels: Value, identity: &str) -> Value {
    json!({
        "identities": [{ "scope": identity }],
        "namespaces": { "selector": { "matchLabels": labels } },
    })
}

#[tokio::test]
async fn labels_that_are_almost_those_of_the_grant_select_nothing() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "almost").await?;
    let shop = &tenant.shop;
    let payments = shop.identity("payments").await?;
    let team = shop.name();
    shop.label(json!(labels(60))).await?;
    shop.label(json!({ "team": team })).await?;
    for (purpose, labels) in [
        ("value", json!({ "team": format!("{team}-2") })),
        ("case", json!({ "Team": team })),
        ("two", json!({ "team": team, "stage": "production" })),
        ("empty", json!({ "team": "" })),
        ("prefix", json!({ "example.com/team": team })),
        ("another", json!({ "l00060": "v".repeat(63) })),
    ] {
        let spec = selected(labels, payments.resource_id());
        shop.grant(purpose, spec).await?;
    }
    tenant.bind_to("payments", payments.resource_id()).await?;
    tenant.is_refused("payments").await?;
    tenant.witness().await?;
    tenant.is_refused("payments").await?;
    assert_unasked(shop, "payments").await
}

#[tokio::test]
async fn a_namespace_with_hundreds_of_labels_is_selected_by_any_of_them() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "labels").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    shop.label(json!(labels(200))).await?;
    shop.label(json!({ "team": shop.name() })).await?;
    let mut sixteen: BTreeMap<_, _> = labels(200).into_iter().rev().take(15).collect();
    sixteen.insert("team".to_owned(), shop.name().to_owned());
    let spec = selected(json!(sixteen), orders.resource_id());
    shop.grant("sixteen", spec).await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_binding_of_the_greatest_size_is_treated_like_any_other() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "heavy").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    let payments = shop.identity("payments").await?;
    let scope = json!({ "identities": [{ "scope": orders.resource_id() }] });
    shop.grant("orders", scope).await?;
    // All annotations together may have 256 KiB.
    let load = "x".repeat(255 * 1024);
    for (name, identity) in [("orders", &orders), ("payments", &payments)] {
        let binding = json!({
            "metadata": { "name": name, "annotations": { "example.com/load": load }, "labels": labels(200) },
            "spec": {
                "identity": { "resourceId": identity.resource_id() },
                "credential": { "audience": format!("api://{}", "a".repeat(594)) },
            },
        });
        let binding = serde_json::from_value(binding)?;
        tenant
            .bindings()
            .create(&PostParams::default(), &binding)
            .await?;
    }
    shop.ready("orders").await?;
    tenant.is_refused("payments").await?;
    assert_unasked(shop, "payments").await?;
    for name in ["orders", "payments"] {
        tenant.unbind(name).await?;
    }
    assert!(shop.credentials(&orders).await?.is_empty());
    assert_unasked(shop, "payments").await
}

#[tokio::test]
async fn what_looks_like_a_grant_in_a_tenants_namespace_is_none() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "no-grant").await?;
    let orders = tenant.shop.identity("orders").await?;
    let grant = json!({
        "apiVersion": "azwib.dev/v1alpha1", "kind": "IdentityGrant",
        "metadata": { "name": tenant.shop.grant_name("own") },
        "spec": {
            "identities": [{ "scope": orders.resource_id() }],
            "namespaces": { "names": [tenant.shop.name()] },
        },
    });
    // Written as what it is, which is the platform team's; and as if it were of the namespace, which does not exist.
    let kind = GroupVersionKind::gvk("azwib.dev", "v1alpha1", "IdentityGrant");
    let kind = ApiResource::from_gvk(&kind);
    let object: DynamicObject = serde_json::from_value(grant)?;
    let (client, post) = (&tenant.client, PostParams::default());
    let whole: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
    let answer = whole.create(&post, &object).await;
    assert!(is_forbidden(&answer), "{answer:?}");
    let inside: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), tenant.shop.name(), &kind);
    let answer = inside.create(&post, &object).await;
    assert!(answer.is_err(), "{answer:?}");
    // And in what a tenant may write.
    tenant.bind_to("orders", orders.resource_id()).await?;
    let annotations = json!({ "azwib.dev/grant": "own", "azwib.dev/granted": "true" });
    tenant
        .merge(
            "orders",
            json!({ "metadata": { "annotations": annotations, "labels": annotations } }),
        )
        .await?;
    tenant.is_refused("orders").await?;
    tenant.witness().await?;
    tenant.is_refused("orders").await?;
    assert_unasked(&tenant.shop, "orders").await
}

#[tokio::test]
async fn asking_for_a_look_again_and_again_costs_azure_no_request() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "asks").await?;
    let orders = tenant.shop.identity("orders").await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    tenant.is_refused("orders").await?;
    for at in 0..50 {
        let annotations = json!({ "azwib.dev/reconcile-requested-at": at.to_string() });
        let patch = json!({ "metadata": { "annotations": annotations } });
        tenant.merge("orders", patch).await?;
    }
    tenant.witness().await?;
    tenant.is_refused("orders").await?;
    assert_unasked(&tenant.shop, "orders").await
}
