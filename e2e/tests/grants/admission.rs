//! What a binding gets that no grant covers: nothing; and that one is covered by several.

use azwib_e2e::environment::condition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use super::{carried, enforcing, granted, is_granted_by, version};

#[tokio::test]
async fn without_a_grant_nothing_is_asked_of_azure_and_a_tenant_can_read_what_is_missing()
-> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("nothing").await?;
    let orders = shop.identity("orders").await?;
    let before = shop.bindings().list(&ListParams::default()).await?;
    shop.bind_to("orders", &orders).await?;
    let told = shop.failing("orders", "Ready", "NotGranted").await?;
    let id = shop.identity_id("orders");
    for part in [&*id, shop.name(), "\"orders\"", "platform team"] {
        assert!(told.message.contains(part), "{part}: {}", told.message);
    }
    // Not even a read: what is there is nobody's business.
    assert_eq!(shop.asked_of_azure("orders").await?, Vec::<String>::new());
    assert_eq!(carried(&shop).await?, None);

    // And one status says all there is to say, while another binding gets what it asks for.
    let witness = shop.identity("witness").await?;
    let scope = json!([{ "scope": witness.resource_id() }]);
    shop.grant("witness", json!({ "identities": scope }))
        .await?;
    shop.bind_to("witness", &witness).await?;
    shop.ready("witness").await?;
    let mut first = shop.bindings().get("orders").await?;
    first.metadata.resource_version = before.metadata.resource_version;
    let at_once = DeleteParams::default();
    shop.bindings().delete("orders", &at_once).await?;
    let versions = shop
        .versions_until(&first, "deleted", |it| {
            it.metadata.deletion_timestamp.is_some()
        })
        .await?;
    let statuses = versions.iter().filter_map(|it| it.status.as_ref());
    // Not the one that the API server fills in.
    let written = statuses.filter(|it| !it.conditions.is_empty());
    let mut statuses: Vec<_> = written.map(|it| json!(it)).collect();
    statuses.dedup();
    assert_eq!(statuses.len(), 1, "{statuses:?}");
    Ok(())
}

#[tokio::test]
async fn a_grant_admits_a_binding_at_once_and_before_it_came_nothing_was_asked_of_azure()
-> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("admitted").await?;
    let orders = shop.identity("orders").await?;
    // Near misses: another identity, another namespace, another account.
    shop.grant(
        "identity",
        json!({ "identities": [{ "scope": shop.identity_id("orders-2") }] }),
    )
    .await?;
    shop.grant("namespace", json!({ "namespaces": { "names": ["shop"] } }))
        .await?;
    shop.grant(
        "account",
        json!({ "serviceAccounts": { "names": ["orders-*", "order"] } }),
    )
    .await?;
    shop.bind_to("orders", &orders).await?;
    shop.failing("orders", "Ready", "NotGranted").await?;
    assert_eq!(shop.asked_of_azure("orders").await?, Vec::<String>::new());
    assert_eq!(carried(&shop).await?, None);
    shop.grant(
        "orders",
        json!({ "serviceAccounts": { "names": ["ord*"] } }),
    )
    .await?;
    let binding = shop.ready("orders").await?;
    let grant = shop.grant_name("orders");
    assert!(is_granted_by(&binding, &grant), "{:?}", granted(&binding));
    assert_eq!(carried(&shop).await?, Some(orders.client_id()));
    Ok(())
}

#[tokio::test]
async fn the_grant_that_is_named_goes_on_being_named_while_it_covers() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("named").await?;
    let orders = shop.identity("orders").await?;
    shop.grant_all("m").await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    assert!(is_granted_by(&binding, &shop.grant_name("m")));
    // One with an earlier name changes nothing; the operator has seen it once it admits somebody else.
    shop.grant_all("a").await?;
    shop.grant("z", json!({ "serviceAccounts": { "names": ["other"] } }))
        .await?;
    shop.further_listings("orders", 2).await?;
    let same = shop.bindings().get("orders").await?;
    assert_eq!(version(&same), version(&binding));
    // It goes, and the binding stays Ready all the time by the other.
    shop.revoke("m").await?;
    let all = shop
        .versions_until(&binding, "granted by the other", |it| {
            is_granted_by(it, &shop.grant_name("a"))
        })
        .await?;
    for version in &all {
        assert_eq!(condition(version, "Ready").unwrap().status, "True");
    }
    Ok(())
}

#[tokio::test]
async fn a_status_that_says_granted_gives_nothing() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("planted").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.failing("orders", "Ready", "NotGranted").await?;
    let binding = shop.bindings().get("orders").await?;
    let mut status = json!(binding.status);
    for condition in status["conditions"].as_array_mut().unwrap() {
        if condition["type"] == "Granted" {
            condition["status"] = json!("True");
            condition["reason"] = json!("Granted");
            condition["message"] = json!("the IdentityGrant \"planted\" covers it");
        }
        // Whose earlier steps are done would be an applicant.
        if condition["type"] == "ServiceAccountReady" {
            condition["status"] = json!("True");
            condition["reason"] = json!("Applied");
        }
    }
    let patch = Patch::Merge(json!({ "status": status }));
    let by_hand = PatchParams::default();
    let planted = shop
        .bindings()
        .patch_status("orders", &by_hand, &patch)
        .await?;
    env.records
        .note_foreign_status(planted.metadata.uid.as_deref().unwrap(), status)?;
    shop.versions_until(&planted, "refused again", |it| {
        granted(it).1 == "NotGranted"
    })
    .await?;
    assert_eq!(shop.asked_of_azure("orders").await?, Vec::<String>::new());
    assert_eq!(carried(&shop).await?, None);
    Ok(())
}

#[tokio::test]
async fn the_labels_of_a_namespace_admit_its_bindings_and_take_them_back() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("labelled").await?;
    let orders = shop.identity("orders").await?;
    let selector = json!({ "selector": { "matchLabels": { "team": shop.name() } } });
    shop.grant("label", json!({ "namespaces": selector }))
        .await?;
    shop.bind_to("orders", &orders).await?;
    shop.failing("orders", "Ready", "NotGranted").await?;
    shop.label(json!({ "team": shop.name() })).await?;
    shop.ready("orders").await?;
    shop.label(json!({ "team": null })).await?;
    shop.failing("orders", "Ready", "NotGranted").await?;
    Ok(())
}
