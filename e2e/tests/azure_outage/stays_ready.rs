//! A binding that was Ready before Azure went away, or refused the operator.

use azure_simulator::control::api::RequestRecord;
use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::interference::service_unavailable;
use azwib_e2e::environment::{ManagedIdentity, Namespace, PATIENCE};
use azwib_e2e::{Environment, wait};
use futures::future::try_join_all;
use kube::ResourceExt;

use super::answer;

/// A Ready binding, and the status that an outage must leave as it is.
async fn made_ready(
    shop: &Namespace<'_>,
) -> anyhow::Result<(ManagedIdentity, WorkloadIdentityBinding)> {
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    Ok((orders, binding))
}

/// The status was not written since, and the operator looks after the credential again.
async fn was_left_alone_and_is_looked_after(
    shop: &Namespace<'_>,
    orders: &ManagedIdentity,
    before: &WorkloadIdentityBinding,
) -> anyhow::Result<()> {
    let after = shop.bindings().get("orders").await?;
    assert_eq!(after.status, before.status);
    assert_eq!(after.resource_version(), before.resource_version());
    let name = shop.credential_name("orders")?;
    let path = format!(
        "{}/federatedIdentityCredentials/{name}",
        orders.resource_id()
    );
    shop.environment().arm().await?.delete(&path).await?;
    wait::until(
        "the deleted credential to be restored",
        PATIENCE,
        async || Ok((shop.credentials(orders).await?.len() == 1).then_some(())),
    )
    .await
}

#[tokio::test]
async fn a_ready_binding_stays_ready_through_an_outage_of_azure() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("outage-later").await?;
    let (orders, before) = made_ready(&shop).await?;
    let outage = shop.outage(service_unavailable()).await?;
    let note = shop.event("AzureUnavailable").await?;
    assert!(note.contains("does not answer as it should"), "{note}");
    wait::until("two tries in the outage", PATIENCE, async || {
        let requests = env.control().requests().await?;
        let failed = |it: &&RequestRecord| it.path.contains(shop.name()) && it.status == Some(503);
        Ok((requests.iter().filter(failed).count() >= 2).then_some(()))
    })
    .await?;
    let during = shop.bindings().get("orders").await?;
    assert_eq!(during.resource_version(), before.resource_version());
    outage.end().await?;
    was_left_alone_and_is_looked_after(&shop, &orders, &before).await
}

#[tokio::test]
async fn a_ready_binding_stays_ready_while_the_operator_may_not_read() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("forbidden-later").await?;
    let (orders, before) = made_ready(&shop).await?;
    shop.revoke_operator().await?;
    let note = shop.event("AuthorizationFailed").await?;
    assert!(note.contains("grant the operator"), "{note}");
    let during = shop.bindings().get("orders").await?;
    assert_eq!(during.resource_version(), before.resource_version());
    shop.grant_operator().await?;
    was_left_alone_and_is_looked_after(&shop, &orders, &before).await
}

#[tokio::test]
async fn a_ready_binding_stays_ready_whatever_a_read_is_refused_with() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let cases = [
        ("read-conflict", 409, "Conflict"),
        ("read-going", 409, "ResourceGroupBeingDeleted"),
        ("read-bad", 400, "BadRequest"),
        ("read-untyped", 404, "InvalidResourceType"),
        ("read-odd", 418, "NeverSeenBefore"),
        ("read-forbidden", 403, "NeverSeenBefore"),
    ];
    let each = cases.map(async |(purpose, status, code)| {
        let shop = env.namespace(purpose).await?;
        let (orders, before) = made_ready(&shop).await?;
        let outage = shop.outage(answer(status, code, &[])).await?;
        wait::until("two tries", PATIENCE, async || {
            let requests = env.control().requests().await?;
            let failed =
                |it: &&RequestRecord| it.path.contains(shop.name()) && it.status == Some(status);
            Ok((requests.iter().filter(failed).count() >= 2).then_some(()))
        })
        .await?;
        let during = shop.bindings().get("orders").await?;
        assert_eq!(
            during.resource_version(),
            before.resource_version(),
            "{code}"
        );
        outage.end().await?;
        was_left_alone_and_is_looked_after(&shop, &orders, &before).await
    });
    try_join_all(each).await?;
    Ok(())
}

#[tokio::test]
async fn a_ready_binding_stays_ready_under_a_deny_assignment() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("denied-later").await?;
    let (orders, before) = made_ready(&shop).await?;
    let control = env.control();
    let denial = control
        .assign_denial(&shop.resource_group_id(), &["*"])
        .await?;
    let note = shop.event("AuthorizationFailed").await?;
    assert!(note.contains("DenyAssignmentAuthorizationFailed"), "{note}");
    let during = shop.bindings().get("orders").await?;
    assert_eq!(during.resource_version(), before.resource_version());
    control.delete_denial(denial).await?;
    was_left_alone_and_is_looked_after(&shop, &orders, &before).await
}
