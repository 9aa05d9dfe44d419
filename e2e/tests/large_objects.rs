//! Objects as large as the API server takes them: the operator holds of them what it reads.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use azwib_e2e::environment::{Namespace, PATIENCE, large};
use azwib_e2e::{Environment, EnvironmentOptions, wait};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// A tenth of what they hold, and less than half of the limit of config/manager.
const MOST_MEMORY_MIB: f64 = 100.0;

async fn change(shop: &Namespace<'_>, account: &str, metadata: Value) -> anyhow::Result<()> {
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    let by_hand = PatchParams::default();
    shop.service_accounts()
        .patch(account, &by_hand, &patch)
        .await?;
    Ok(())
}

#[tokio::test]
async fn objects_as_large_as_can_be_cost_what_is_read_of_them() -> anyhow::Result<()> {
    let options = EnvironmentOptions {
        start_operator: false,
        ..EnvironmentOptions::default()
    };
    let env = Environment::start(options).await?;
    let shop = env.namespace("large").await?;
    let identity = shop.identity("orders").await?;
    let (client, name) = (shop.client(), shop.name());
    large::make_accounts(client, name, "account", 60).await?;
    large::make_bindings(client, name, "binding", identity.resource_id(), 6).await?;
    let accounts: Api<ServiceAccount> = shop.service_accounts();
    let many = (0..8_000).map(|number| {
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": number.to_string() })
    });
    let owned =
        json!({ "metadata": { "name": "owned", "ownerReferences": many.collect::<Vec<_>>() } });
    let owned = serde_json::from_value(owned)?;
    accounts.create(&PostParams::default(), &owned).await?;

    let operator = env
        .operator_with(env.operator_flags(), Default::default(), None)
        .await?;
    operator.probe_until("/readyz", 200, "ok").await?;
    shop.ready("binding-00000").await?;
    let innocent = shop.identity("innocent").await?;
    shop.bind_to("innocent", &innocent).await?;
    shop.ready("innocent").await?;
    // An account that is large is annotated like any other.
    let client_id = "azure.workload.identity/client-id";
    shop.bind(
        "account-00000",
        &format!("identity: {{resourceId: {}}}", innocent.resource_id()),
    )
    .await?;
    shop.ready("account-00000").await?;
    // A change of 200 kB is seen, and put back.
    for account in ["binding-00000", "innocent"] {
        change(
            &shop,
            account,
            json!({ "annotations": { client_id: "x".repeat(200_000) } }),
        )
        .await?;
        wait::until("the annotation to be put back", PATIENCE, async || {
            let account = accounts.get(account).await?;
            let annotations = account.metadata.annotations.unwrap_or_default();
            Ok((annotations.get(client_id).is_some_and(|it| it.len() == 36)).then_some(()))
        })
        .await?;
    }
    let memory = operator.peak_memory_mib()?;
    assert!(memory < MOST_MEMORY_MIB, "{memory} MiB");
    Ok(())
}

#[tokio::test]
async fn a_crowd_of_finalizers_loses_none_of_them() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("finalizers").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let before = |number: usize| -> Vec<String> {
        let others = (0..number).map(|it| format!("example.com/finalizer-{it:03}"));
        others.chain(["azwib.dev/cleanup".to_owned()]).collect()
    };
    let crowd = before(200);
    let of_orders = async |finalizers: &[String]| {
        let patch = Patch::Merge(json!({ "metadata": { "finalizers": finalizers } }));
        let by_hand = PatchParams::default();
        let bindings = shop.bindings();
        anyhow::Ok(bindings.patch_metadata("orders", &by_hand, &patch).await?)
    };
    of_orders(&crowd).await?;
    shop.bindings()
        .delete("orders", &DeleteParams::default())
        .await?;
    wait::until("the credential to go", PATIENCE, async || {
        let left = shop.credentials(&orders).await?;
        Ok(left.is_empty().then_some(()))
    })
    .await?;
    // It cannot be let go while there are more than are read; nothing is taken from the others meanwhile.
    let orders_now = shop.bindings().get_metadata("orders").await?;
    assert_eq!(orders_now.metadata.finalizers, Some(crowd));
    of_orders(&before(3)).await?;
    wait::until("ours to be taken off", PATIENCE, async || {
        let left = shop.bindings().get_metadata("orders").await?;
        Ok((left.metadata.finalizers.unwrap_or_default() == before(3)[..3]).then_some(()))
    })
    .await?;
    of_orders(&[]).await?;
    Ok(())
}
