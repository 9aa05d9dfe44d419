//! A binding that is deleted while its status does not say what it has made.

use azure_simulator::control::api::{FaultAction, Matcher};
use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::Environment;
use azwib_e2e::environment::{ManagedIdentity, Namespace, condition, observed};
use kube::api::DeleteParams;
use serde_json::json;

use super::{a_good_one, put_status, ready, wrong_statuses};

#[tokio::test]
async fn a_credential_whose_record_was_lost_goes_with_its_binding() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    for (number, what) in (0..).zip(["emptied", "without a record", "of a foreign name"]) {
        let shop = env.namespace("lost-record").await?;
        let orders = shop.identity("orders").await?;
        let first = env.operator_with_other(&[]).await?;
        shop.bind_to("orders", &orders).await?;
        let good = json!(shop.ready("orders").await?.status);
        first.kill().await?;
        let (_, status) = wrong_statuses(&good).swap_remove(number);
        put_status(&shop, status).await?;
        shop.bindings()
            .delete("orders", &DeleteParams::default())
            .await?;
        let second = env.operator_with_other(&[]).await?;
        shop.until_gone("orders").await?;
        assert_eq!(shop.credentials(&orders).await?, [], "{what}");
        second.kill().await?;
    }
    Ok(())
}

fn forbidden() -> FaultAction {
    FaultAction::Respond {
        status: 403,
        code: "AuthorizationFailed".to_owned(),
        message: "The client 'azwib' does not have authorization to perform action 'read' over scope 'orders'.".to_owned(),
        headers: Vec::new(),
        body: None,
    }
}

/// A binding that went and left its credential, as it was to.
async fn retained(shop: &Namespace<'_>, orders: &ManagedIdentity) -> anyhow::Result<()> {
    let spec = |more: &str| format!("identity: {{resourceId: {}}}{more}", orders.resource_id());
    shop.bind("orders", &spec(", deletionPolicy: Retain"))
        .await?;
    shop.ready("orders").await?;
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(orders).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn who_has_never_made_a_credential_deletes_none_that_another_has_left() -> anyhow::Result<()>
{
    let env = Environment::without_operator().await?;
    let first = env.operator_with_other(&[]).await?;
    let shop = env.namespace("retained").await?;
    let orders = shop.identity("orders").await?;
    let id = orders.resource_id();
    retained(&shop, &orders).await?;
    let left = shop.credentials(&orders).await?;

    let suspended = format!("identity: {{resourceId: {id}}}, suspend: true");
    shop.bind("orders", &suspended).await?;
    let says = |reason: &'static str| {
        move |binding: &WorkloadIdentityBinding| {
            condition(binding, "Ready").is_some_and(|it| it.reason == reason)
        }
    };
    shop.until("orders", "suspended", says("Suspended")).await?;
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, left, "suspended");

    // The identity cannot be read, by a process that has not read it yet; its credentials could be.
    first.kill().await?;
    let identity_alone = Matcher {
        method: Some("GET".to_owned()),
        path: Some(id.to_owned()),
        ..Matcher::default()
    };
    let outage = env.outage(identity_alone, forbidden()).await?;
    let _second = env.operator_with_other(&[]).await?;
    shop.bind_to("orders", &orders).await?;
    shop.until("orders", "not resolved", says("AuthorizationFailed"))
        .await?;
    shop.unbind("orders").await?;
    outage.end().await?;
    assert_eq!(shop.credentials(&orders).await?, left, "never resolved");

    // Whichever live binding of that account and identity is there has it.
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}

#[tokio::test]
async fn a_credential_that_may_be_left_behind_a_suspended_binding_is_told() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    // A process that has known the record, and one that has not.
    for is_restarted in [false, true] {
        let mut operator = env.operator_with_other(&[]).await?;
        let (shop, orders, _) = a_good_one(&env, "suspended-leak").await?;
        shop.change("orders", json!({ "suspend": true })).await?;
        let observed = |it: &WorkloadIdentityBinding| observed(it) && ready(it);
        shop.until("orders", "suspended and Ready", observed)
            .await?;
        let credential = Matcher {
            method: Some("GET".to_owned()),
            path: Some(format!("{}/**", orders.resource_id())),
            ..Matcher::default()
        };
        let outage = env.outage(credential, forbidden()).await?;
        if is_restarted {
            operator.kill().await?;
        }
        put_status(&shop, json!({ "observedGeneration": -1 })).await?;
        shop.bindings()
            .delete("orders", &DeleteParams::default())
            .await?;
        if is_restarted {
            operator = env.operator_with_other(&[]).await?;
        }
        shop.until_gone("orders").await?;
        let told = shop.event("CredentialLeft").await?;
        let name = shop.credential_name("orders")?;
        for part in [
            &*name,
            "its record was lost, and it cannot be read",
            "AuthorizationFailed",
        ] {
            assert!(told.contains(part), "{told}");
        }
        outage.end().await?;
        assert_eq!(shop.credentials(&orders).await?.len(), 1);
        operator.kill().await?;
    }
    Ok(())
}
