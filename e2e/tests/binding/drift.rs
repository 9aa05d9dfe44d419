//! What others change in Azure is put back, and where nothing differs nothing is written.

use azure_simulator::control::api::{Fault, FaultAction, Matcher, When};
use azwib_e2e::Environment;
use azwib_e2e::environment::arm::ArmCredential;
use azwib_e2e::environment::{ManagedIdentity, Namespace, PATIENCE};
use azwib_e2e::wait;
use kube::ResourceExt;
use serde_json::json;

use crate::{AUDIENCE, subject};

#[tokio::test]
async fn a_credential_that_was_removed_is_restored() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("credential-gone").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let before = shop.credentials(&orders).await?;

    let (arm, name) = (env.arm().await?, &before[0].name);
    let id = orders.resource_id();
    arm.delete(&format!("{id}/federatedIdentityCredentials/{name}"))
        .await?;
    until_credentials_are(&shop, &orders, &before).await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_credential_that_was_changed_is_put_back() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("credential-changed").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let before = shop.credentials(&orders).await?;

    let (arm, name) = (env.arm().await?, &before[0].name);
    let (issuer, subject) = (env.issuer(), subject(&shop, "orders"));
    for (issuer, subject, audience) in [
        ("https://issuer.example/", subject.as_str(), AUDIENCE),
        (issuer, "system:serviceaccount:elsewhere:orders", AUDIENCE),
        (issuer, subject.as_str(), "api://elsewhere"),
    ] {
        arm.put_credential(orders.resource_id(), name, issuer, subject, audience)
            .await?;
        until_credentials_are(&shop, &orders, &before).await?;
        shop.ready("orders").await?;
    }
    Ok(())
}

async fn until_credentials_are(
    shop: &Namespace<'_>,
    orders: &ManagedIdentity,
    wanted: &[ArmCredential],
) -> anyhow::Result<()> {
    wait::until("the credential to be as it was", PATIENCE, async || {
        Ok((shop.credentials(orders).await? == wanted).then_some(()))
    })
    .await
}

#[tokio::test]
async fn where_nothing_differs_nothing_is_written() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("steady").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    let account = shop.service_accounts().get("orders").await?;
    let writes = shop.operator_writes("orders").await?;
    assert_eq!(writes, 1, "the one that made the credential");

    // The event about Ready comes after the status.
    shop.further_listings("orders", 1).await?;
    let seen = operator_writes_to_the_cluster(&shop)?;
    shop.further_listings("orders", 3).await?;
    assert_eq!(operator_writes_to_the_cluster(&shop)?, seen);
    let after = shop.bindings().get("orders").await?;
    assert_eq!(after.resource_version(), binding.resource_version());
    let after = shop.service_accounts().get("orders").await?;
    assert_eq!(after.resource_version(), account.resource_version());
    assert_eq!(shop.operator_writes("orders").await?, writes);
    Ok(())
}

/// What the operator wrote in the namespace so far, writes that changed nothing included.
fn operator_writes_to_the_cluster(shop: &Namespace<'_>) -> anyhow::Result<Vec<String>> {
    let operator = "system:serviceaccount:azwib-system:azwib-operator";
    let reads = ["get", "list", "watch"];
    let events = shop.environment().control_plane.audit_log()?.into_iter();
    let writes = events
        .filter(|event| event.user.username == operator && !reads.contains(&event.verb.as_str()))
        .filter(|event| {
            let object = event.object_ref.as_ref();
            object.and_then(|object| object.namespace.as_deref()) == Some(shop.name())
        });
    Ok(writes
        .map(|event| format!("{} {}", event.verb, event.request_uri))
        .collect())
}

/// The next answer to a list of the identity's credentials is one of before they were made.
async fn answer_one_listing_without_credentials(
    shop: &Namespace<'_>,
    orders: &ManagedIdentity,
) -> anyhow::Result<()> {
    let fault = Fault {
        matcher: Matcher {
            method: Some("GET".to_owned()),
            path: Some(format!(
                "{}/federatedIdentityCredentials",
                orders.resource_id()
            )),
            ..Matcher::default()
        },
        skip: 0,
        times: Some(1),
        when: When::BeforeEffect,
        action: FaultAction::Respond {
            status: 200,
            code: String::new(),
            message: String::new(),
            headers: Vec::new(),
            body: Some(json!({ "value": [] })),
        },
    };
    shop.environment().control().add_fault(&fault).await?;
    Ok(())
}

#[tokio::test]
async fn one_stale_listing_neither_takes_ready_away_nor_causes_a_write() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("stale-listing").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let before = shop.ready("orders").await?;
    let writes = shop.operator_writes("orders").await?;

    answer_one_listing_without_credentials(&shop, &orders).await?;
    // The stale one, the one that is asked for to be sure, and that of a later pass.
    shop.further_listings("orders", 3).await?;
    assert_eq!(shop.operator_writes("orders").await?, writes);
    let after = shop.bindings().get("orders").await?;
    assert_eq!(after.status, before.status);
    assert_eq!(after.resource_version(), before.resource_version());
    Ok(())
}
