//! A status gives nothing and takes nothing from others: a tenant cannot write it, and whoever can gets what the grants say.

use anyhow::Context;
use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::{ManagedIdentity, PATIENCE, condition};
use azwib_e2e::wait;
use futures::future::try_join_all;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{Tenant, assert_unasked, enforcing, is_forbidden, stripped};

/// Somebody with the right to do so writes the status of a binding. The checks after all tests are told.
pub(super) async fn forge(
    tenant: &Tenant<'_>,
    name: &str,
    change: impl Fn(&mut Value),
) -> anyhow::Result<WorkloadIdentityBinding> {
    let bindings = tenant.shop.bindings();
    let mut status = json!(bindings.get(name).await?.status);
    change(&mut status);
    let patch = Patch::Merge(json!({ "status": status }));
    let by_hand = PatchParams::default();
    let forged = bindings.patch_status(name, &by_hand, &patch).await?;
    // What is null is not stored.
    let stored = status.as_object_mut().unwrap();
    stored.retain(|_, value| !value.is_null());
    let uid = forged.uid().unwrap();
    tenant.env().records.note_foreign_status(&uid, status)?;
    Ok(forged)
}

fn set_condition(status: &mut Value, type_: &str, value: &str, reason: &str, since: &str) {
    for condition in status["conditions"].as_array_mut().unwrap() {
        if condition["type"] == type_ {
            condition["status"] = json!(value);
            condition["reason"] = json!(reason);
            condition["lastTransitionTime"] = json!(since);
        }
    }
}

/// A record as that of the credential of this account.
fn record(tenant: &Tenant<'_>, account: &str, identity: &ManagedIdentity) -> Value {
    json!({
        "name": tenant.shop.credential_name(account).unwrap(),
        "resourceId": identity.resource_id(),
        "issuer": tenant.env().issuer(),
        "subject": format!("system:serviceaccount:{}:{account}", tenant.shop.name()),
        "audience": "api://AzureADTokenExchange",
        "origin": "Created",
    })
}

#[tokio::test]
async fn a_tenant_writes_no_status_in_any_way() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "no-status").await?;
    let orders = tenant.shop.identity("orders").await?;
    let status =
        json!({ "observedGeneration": 7, "credentials": [record(&tenant, "orders", &orders)] });
    let bindings = tenant.bindings();
    let spec = json!({ "identity": { "resourceId": orders.resource_id() }, "suspend": true });
    let whole = json!({
        "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding",
        "metadata": { "name": "orders" }, "spec": spec, "status": status,
    });
    // In the object itself it is dropped.
    let new = serde_json::from_value(whole.clone())?;
    let created = bindings.create(&PostParams::default(), &new).await?;
    let merged = tenant.merge("orders", json!({ "status": status })).await?;
    let apply = PatchParams::apply("tenant").force();
    let applied = Patch::Apply(whole.clone());
    let applied = bindings.patch("orders", &apply, &applied).await?;
    for written in [created, merged, applied] {
        let status = written.status.unwrap();
        assert!(status.credentials.is_empty() && status.observed_generation != 7);
    }
    // The subresource is not the tenant's.
    let merge = Patch::Merge(json!({ "status": status }));
    let by_hand = PatchParams::default();
    let answer = bindings.patch_status("orders", &by_hand, &merge).await;
    assert!(is_forbidden(&answer), "{answer:?}");
    let apply_it = Patch::Apply(whole.clone());
    let answer = bindings.patch_status("orders", &apply, &apply_it).await;
    assert!(is_forbidden(&answer), "{answer:?}");
    let mut current = serde_json::from_value::<WorkloadIdentityBinding>(whole)?;
    current.metadata.resource_version = bindings.get("orders").await?.resource_version();
    let update = PostParams::default();
    let answer = bindings.replace_status("orders", &update, &current).await;
    assert!(is_forbidden(&answer), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn a_forged_grant_with_a_record_gives_nothing() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "forged").await?;
    let payments = tenant.shop.identity("payments").await?;
    tenant.bind_to("orders", payments.resource_id()).await?;
    tenant.is_refused("orders").await?;
    let record = record(&tenant, "orders", &payments);
    let forged = forge(&tenant, "orders", |status| {
        for (type_, reason) in [
            ("Granted", "Granted"),
            ("IdentityResolved", "Resolved"),
            ("CredentialReady", "InPlace"),
            ("Ready", "Succeeded"),
        ] {
            set_condition(status, type_, "True", reason, "2026-01-02T03:04:05Z");
        }
        status["identity"] = json!({
            "resourceId": payments.resource_id(), "clientId": payments.client_id(),
            "principalId": payments.ids.principal_id, "tenantId": tenant.env().simulator.tenant(),
        });
        status["credentials"] = json!([record]);
        status["serviceAccount"] = json!({ "name": "orders", "origin": "Created" });
    })
    .await?;
    tenant
        .shop
        .versions_until(&forged, "refused again", |it| {
            let granted = condition(it, "Granted").unwrap();
            granted.reason == "NotGranted" && condition(it, "Ready").unwrap().status == "False"
        })
        .await?;
    tenant.assert_powerless("orders", &payments).await?;
    tenant.unbind("orders").await?;
    tenant.assert_powerless("orders", &payments).await?;
    let writes = tenant.shop.operator_requests("PUT", "payments").await?;
    assert!(writes.is_empty(), "{writes:?}");
    Ok(())
}

#[tokio::test]
async fn a_record_of_somebody_elses_credential_does_not_delete_it() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let victim = Tenant::new(env, "victim").await?;
    let tenant = Tenant::new(env, "thief").await?;
    let theirs = victim.shop.identity("theirs").await?;
    let own = tenant.shop.identity("own").await?;
    victim.shop.grant_all("it").await?;
    tenant.shop.grant_all("it").await?;
    victim.bind_to("orders", theirs.resource_id()).await?;
    victim.shop.ready("orders").await?;
    tenant.bind_to("orders", own.resource_id()).await?;
    tenant.shop.ready("orders").await?;
    let record = record(&victim, "orders", &theirs);
    // Suspended, so that nothing puts the status right before the cleanup sees it.
    tenant.change("orders", json!({ "suspend": true })).await?;
    tenant.shop.ready("orders").await?;
    forge(&tenant, "orders", |status| {
        status["credentials"]
            .as_array_mut()
            .unwrap()
            .push(record.clone());
    })
    .await?;
    tenant.unbind("orders").await?;
    let left = victim.shop.credentials(&theirs).await?;
    assert_eq!(left.len(), 1);
    assert!(victim.acts_as("orders", &theirs).await?);
    let deletes = victim.shop.operator_requests("DELETE", "theirs").await?;
    assert!(deletes.is_empty(), "{deletes:?}");
    Ok(())
}

#[tokio::test]
async fn an_old_time_of_transition_takes_nothing_from_a_granted_binding() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "old-time").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    shop.ready("orders").await?;
    let forged = forge(&tenant, "orders", |status| {
        set_condition(
            status,
            "Granted",
            "False",
            "NotGranted",
            "2020-01-02T03:04:05Z",
        );
    })
    .await?;
    shop.versions_until(&forged, "granted again", |it| {
        condition(it, "Granted").unwrap().status == "True"
    })
    .await?;
    shop.ready("orders").await?;
    assert!(tenant.acts_as("orders", &orders).await?);
    assert_eq!(shop.operator_writes("orders").await?, 1, "only the first");
    Ok(())
}

#[tokio::test]
async fn a_time_in_the_future_and_a_forged_grant_prolong_no_revocation() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "future").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    shop.ready("orders").await?;
    shop.revoke("it").await?;
    for (value, reason) in [
        ("False", "NotGranted"),
        ("True", "Granted"),
        ("True", "GrantsNotRequired"),
    ] {
        forge(&tenant, "orders", |status| {
            set_condition(status, "Granted", value, reason, "2099-01-02T03:04:05Z");
        })
        .await?;
    }
    stripped(shop, "orders").await?;
    tenant.assert_powerless("orders", &orders).await?;
    assert!(shop.credentials(&orders).await?.is_empty());
    Ok(())
}

/// Times are written in whole seconds. Another one would look new with each read.
#[tokio::test]
async fn a_fraction_of_a_second_prolongs_no_revocation() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "fraction").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    shop.ready("orders").await?;
    shop.revoke("it").await?;
    let is_refused = |binding: &WorkloadIdentityBinding| {
        condition(binding, "Granted").is_some_and(|it| it.reason == "NotGranted")
    };
    let refused = shop.until("orders", "refused", is_refused).await?;
    let since = &condition(&refused, "Granted").unwrap().last_transition_time;
    let since = json!(since).as_str().unwrap().replace('Z', ".5Z");
    forge(&tenant, "orders", |status| {
        set_condition(status, "Granted", "False", "NotGranted", &since);
    })
    .await?;
    stripped(shop, "orders").await?;
    tenant.assert_powerless("orders", &orders).await?;
    assert!(shop.credentials(&orders).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_forged_record_makes_a_binding_ask_about_no_other_identity() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let victim = Tenant::new(env, "asked").await?;
    let tenant = Tenant::new(env, "asking").await?;
    let theirs = victim.shop.identity("theirs").await?;
    let own = tenant.shop.identity("own").await?;
    tenant.shop.grant_all("it").await?;
    tenant.bind_to("orders", own.resource_id()).await?;
    tenant.shop.ready("orders").await?;
    let record = record(&tenant, "orders", &theirs);
    forge(&tenant, "orders", |status| {
        status["credentials"] = json!([record]);
    })
    .await?;
    tenant.shop.further_listings("own", 2).await?;
    let puts = victim.shop.operator_requests("PUT", "theirs").await?;
    assert!(puts.is_empty(), "{puts:?}");
    assert!(!tenant.acts_as("orders", &theirs).await?);
    assert_unasked(&victim.shop, "theirs").await
}

/// What is forged once the revocation is announced.
type Forgery = (&'static str, fn(&mut Value));

/// All that a writer of status could say of a record to make it look like somebody else's.
const DISGUISES: [Forgery; 7] = [
    ("adopted", |status| {
        status["credentials"][0]["origin"] = json!("Adopted");
    }),
    ("other-issuer", |status| {
        status["credentials"][0]["issuer"] = json!("https://issuer.example/");
    }),
    ("other-name", |status| {
        status["credentials"][0]["name"] = json!("by-terraform");
    }),
    ("other-subject", |status| {
        status["credentials"][0]["subject"] = json!("system:serviceaccount:other:orders");
    }),
    ("no-record", |status| status["credentials"] = json!([])),
    ("no-condition", |status| status["conditions"] = json!([])),
    ("revoked", |status| {
        set_condition(
            status,
            "CredentialReady",
            "False",
            "Revoked",
            "2026-01-02T03:04:05Z",
        );
        status["credentials"] = json!([]);
        status["serviceAccount"] = Value::Null;
    }),
];

async fn disguise(what: &str, forgery: fn(&mut Value)) -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, what).await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    shop.ready("orders").await?;
    shop.revoke("it").await?;
    tenant.is_refused("orders").await?;
    forge(&tenant, "orders", forgery).await?;
    has_nothing_left(&tenant, &orders).await
}

/// Waits until all is taken away that the tenant had of the identity.
async fn has_nothing_left(tenant: &Tenant<'_>, orders: &ManagedIdentity) -> anyhow::Result<()> {
    let shop = &tenant.shop;
    wait::until("the end of the credential", PATIENCE, async || {
        Ok(shop.credentials(orders).await?.is_empty().then_some(()))
    })
    .await?;
    wait::until("the end of the annotation", PATIENCE, async || {
        Ok(tenant.carried("orders").await?.is_none().then_some(()))
    })
    .await?;
    tenant.assert_powerless("orders", orders).await
}

#[tokio::test]
async fn a_record_in_disguise_keeps_nothing_from_a_revocation() -> anyhow::Result<()> {
    let all = DISGUISES.map(|(what, forgery)| async move {
        let outcome = disguise(what, forgery).await;
        outcome.with_context(|| what.to_owned())
    });
    try_join_all(all).await?;
    Ok(())
}

/// The operator has nothing then but what is stored.
#[tokio::test]
async fn a_disguise_that_is_put_on_while_no_operator_runs_keeps_nothing_either()
-> anyhow::Result<()> {
    let env = super::start().await?;
    let mut all = Vec::new();
    for (what, forgery) in DISGUISES {
        let tenant = Tenant::new(&env, what).await?;
        let orders = tenant.shop.identity("orders").await?;
        tenant.shop.grant_all("it").await?;
        tenant.bind_to("orders", orders.resource_id()).await?;
        tenant.shop.ready("orders").await?;
        all.push((what, forgery, tenant, orders));
    }
    env.kill_operator().await?;
    for (_, forgery, tenant, _) in &all {
        forge(tenant, "orders", forgery).await?;
        tenant.shop.revoke("it").await?;
    }
    env.start_operator().await?;
    let left = all.iter().map(async |(what, _, tenant, orders)| {
        let outcome = has_nothing_left(tenant, orders).await;
        outcome.with_context(|| (*what).to_owned())
    });
    try_join_all(left).await?;
    Ok(())
}

#[tokio::test]
async fn a_forged_account_in_a_status_takes_no_annotation_from_it() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "other-account").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    for name in ["orders", "stock"] {
        tenant.bind_to(name, orders.resource_id()).await?;
        shop.ready(name).await?;
    }
    tenant.change("orders", json!({ "suspend": true })).await?;
    shop.ready("orders").await?;
    forge(&tenant, "orders", |status| {
        status["serviceAccount"]["name"] = json!("stock")
    })
    .await?;
    tenant.unbind("orders").await?;
    shop.further_listings("orders", 1).await?;
    assert_eq!(tenant.carried("stock").await?, Some(orders.client_id()));
    assert!(tenant.acts_as("stock", &orders).await?);
    Ok(())
}
