//! A deletion that is undone before anybody has noticed, as a Git revert does.

use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::{PATIENCE, annotation};
use azwib_e2e::{Environment, wait};
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::CLIENT_ID;

async fn delete_and_make_again(policy: &str, writes: usize) -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("revert").await?;
    let orders = shop.identity("orders").await?;
    let id = orders.resource_id();
    let spec = format!("identity: {{resourceId: {id}}}, deletionPolicy: {policy}");
    shop.bind("orders", &spec).await?;
    let before = shop.ready("orders").await?;
    let bindings = shop.bindings();
    let again: WorkloadIdentityBinding = serde_json::from_value(json!({
        "apiVersion": "azwib.dev/v1alpha1",
        "kind": "WorkloadIdentityBinding",
        "metadata": { "name": "orders" },
        "spec": before.spec,
    }))?;

    bindings.delete("orders", &DeleteParams::default()).await?;
    // Refused only as long as the old one is there.
    wait::until(
        "the new binding to be taken",
        PATIENCE,
        async || match bindings.create(&PostParams::default(), &again).await {
            Err(kube::Error::Api(answer)) if answer.code == 409 => Ok(None),
            taken => Ok(Some(taken?)),
        },
    )
    .await?;
    let after = shop.ready("orders").await?;
    assert_ne!(after.metadata.uid, before.metadata.uid);
    let expected = match policy {
        "Delete" => vec![after.metadata.uid.clone().unwrap()],
        _ => vec![],
    };
    // The garbage collector may yet take what the old binding owned; then it is made again.
    shop.account_until("orders", "of the new binding only", |account| {
        account.is_some_and(|account| {
            let references = account.metadata.owner_references.iter().flatten();
            let owners: Vec<_> = references.map(|owner| owner.uid.clone()).collect();
            let client_id = annotation(account, CLIENT_ID);
            owners == expected && client_id == Some(orders.client_id().as_str())
        })
    })
    .await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    assert_eq!(shop.operator_writes("orders").await?, writes);
    Ok(())
}

#[tokio::test]
async fn a_binding_that_is_made_again_at_once_works_again() -> anyhow::Result<()> {
    // Written, deleted, written.
    delete_and_make_again("Delete", 3).await
}

#[tokio::test]
async fn a_retained_binding_that_is_made_again_at_once_finds_everything_as_it_was()
-> anyhow::Result<()> {
    delete_and_make_again("Retain", 1).await
}
