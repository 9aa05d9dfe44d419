//! `kubectl replace`, which is what Argo CD's `Replace=true` does.

use std::fs;

use azwib_e2e::environment::{Namespace, annotation};
use azwib_e2e::{Environment, EnvironmentOptions};
use kube::api::DeleteParams;
use serde_json::Value;

use crate::{ARGO_CD, CLIENT_ID, account_in_git, binding_in_git, kubectl, ready_with_account_of};

const FINALIZER: &str = "azwib.dev/cleanup";

/// Replaces an object by what is in Git, and gives it as the API server answers.
async fn replace(shop: &Namespace<'_>, object: &Value) -> anyhow::Result<Value> {
    let directory = shop.environment().control_plane.directory();
    let name = format!("{}-{}.json", shop.name(), object["kind"].as_str().unwrap());
    let file = directory.join(name);
    fs::write(&file, object.to_string())?;
    let file = file.to_string_lossy();
    let answer = kubectl(shop, &["replace", "-o", "json", "-f", &file]).await?;
    Ok(serde_json::from_str(&answer)?)
}

#[tokio::test]
async fn a_replacement_drops_finalizer_and_annotations_and_they_come_back() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("replace").await?;
    let orders = ready_with_account_of(&shop, ARGO_CD).await?;
    let binding = binding_in_git(&shop, "orders", orders.resource_id());
    let replaced = replace(&shop, &binding).await?;
    assert_eq!(replaced["metadata"]["finalizers"], Value::Null);
    shop.until("orders", "with its finalizer", |binding| {
        binding.metadata.finalizers.as_deref() == Some(&[FINALIZER.to_owned()])
    })
    .await?;

    let replaced = replace(&shop, &account_in_git()).await?;
    assert_eq!(replaced["metadata"]["annotations"], Value::Null);
    let own = orders.client_id();
    shop.account_until("orders", "annotated", |account| {
        account.and_then(|account| annotation(account, CLIENT_ID)) == Some(own.as_str())
    })
    .await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_binding_that_is_deleted_right_after_a_replacement_leaves_its_credential()
-> anyhow::Result<()> {
    let env = Environment::start(EnvironmentOptions::default()).await?;
    let shop = env.namespace("replaced").await?;
    let orders = ready_with_account_of(&shop, ARGO_CD).await?;
    // Both come before azwib looks.
    env.kill_operator().await?;
    let binding = binding_in_git(&shop, "orders", orders.resource_id());
    replace(&shop, &binding).await?;
    shop.bindings()
        .delete("orders", &DeleteParams::default())
        .await?;
    shop.until_gone("orders").await?;
    env.start_operator().await?;
    // A neighbour's cleanup shows that the operator is at work, and knows of no other.
    let stock = shop.identity("stock").await?;
    shop.bind_to("stock", &stock).await?;
    shop.ready("stock").await?;
    shop.unbind("stock").await?;
    assert_eq!(shop.credentials(&stock).await?, []);
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    Ok(())
}
