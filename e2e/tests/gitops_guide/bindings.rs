//! Bindings that are kept in Git: what a sync may do, and what it has to wait for.

use azure_simulator::control::api::When;
use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::Environment;
use azwib_e2e::checks::kstatus::{Kstatus, kstatus};
use azwib_e2e::environment::recorder::SeenBinding;
use azwib_e2e::environment::{condition, observed};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::{ARGO_CD, FLUX, HELM, binding_in_git, kubectl, sync_binding};

/// What kstatus, by which the tools wait, makes of a binding.
fn waited_for(binding: &WorkloadIdentityBinding) -> anyhow::Result<Kstatus> {
    let meta = binding.metadata.clone();
    let status = serde_json::to_value(&binding.status)?;
    let seen = SeenBinding {
        namespace: meta.namespace.unwrap_or_default(),
        name: meta.name.unwrap_or_default(),
        uid: meta.uid.unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
        terminating: meta.deletion_timestamp.is_some(),
        status: status.clone(),
    };
    Ok(kstatus(&seen, &serde_json::from_value(status)?))
}

#[tokio::test]
async fn an_edit_to_another_identity_or_account_is_refused_to_every_tool() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("in-place").await?;
    let (orders, stock) = (
        shop.identity("orders").await?,
        shop.identity("stock").await?,
    );
    let before = binding_in_git(&shop, "orders", orders.resource_id());
    let other_identity = binding_in_git(&shop, "orders", stock.resource_id());
    let mut other_account = before.clone();
    other_account["spec"]["serviceAccount"]["name"] = json!("stock");
    for tool in [ARGO_CD, FLUX, HELM] {
        sync_binding(&shop, tool, &before).await?;
        for edit in [&other_identity, &other_account] {
            let dry_run = PatchParams::apply(tool).force().dry_run();
            let bindings = shop.bindings();
            let tried = bindings
                .patch("orders", &dry_run, &Patch::Apply(edit))
                .await
                .unwrap_err();
            let applied = sync_binding(&shop, tool, edit).await.unwrap_err();
            for refused in [tried, applied] {
                let refused = refused.to_string();
                assert!(refused.contains("is immutable"), "{tool}: {refused}");
            }
        }
        // Taken back, it passes again.
        sync_binding(&shop, tool, &before).await?;
    }
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn what_is_applied_onto_a_binding_that_is_going_goes_with_it() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    for tool in [ARGO_CD, FLUX, HELM] {
        let shop = env.namespace("going").await?;
        let orders = shop.identity("orders").await?;
        let mut binding = binding_in_git(&shop, "orders", orders.resource_id());
        let first = sync_binding(&shop, tool, &binding).await?;
        shop.ready("orders").await?;
        let deletion = shop.hold("DELETE", "orders", When::BeforeEffect).await?;
        kubectl(&shop, &["delete", "azwib", "orders", "--wait=false"]).await?;
        deletion.reached().await?;

        binding["metadata"]["labels"] = json!({ "release": "second" });
        let taken = sync_binding(&shop, tool, &binding).await?;
        assert_eq!(taken.metadata.uid, first.metadata.uid, "{tool}");
        deletion.release().await?;
        shop.until_gone("orders").await?;

        // The next sync brings it back, with all that belongs to it.
        sync_binding(&shop, tool, &binding).await?;
        shop.ready("orders").await?;
        assert_eq!(shop.credentials(&orders).await?.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_suspended_binding_holds_a_wait_only_where_it_was_never_ready() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("held").await?;
    let orders = shop.identity("orders").await?;
    let mut binding = binding_in_git(&shop, "orders", orders.resource_id());
    binding["spec"]["suspend"] = json!(true);
    sync_binding(&shop, FLUX, &binding).await?;
    shop.failing("orders", "Ready", "Suspended").await?;
    let held = shop.bindings().get("orders").await?;
    assert_eq!(waited_for(&held)?, Kstatus::InProgress);
    let wait = [
        "wait",
        "azwib",
        "orders",
        "--for=condition=Ready",
        "--timeout=1s",
    ];
    let timed_out = kubectl(&shop, &wait).await.unwrap_err().to_string();
    assert!(timed_out.contains("timed out"), "{timed_out}");

    binding["spec"]["suspend"] = json!(false);
    sync_binding(&shop, FLUX, &binding).await?;
    let ready = shop.ready("orders").await?;
    assert_eq!(waited_for(&ready)?, Kstatus::Current);
    binding["spec"]["suspend"] = json!(true);
    let suspended = sync_binding(&shop, FLUX, &binding).await?;
    let suspended = shop
        .until("orders", "looked at, suspended", |binding| {
            observed(binding) && binding.metadata.generation == suspended.metadata.generation
        })
        .await?;
    assert_eq!(condition(&suspended, "Ready").unwrap().status, "True");
    assert_eq!(waited_for(&suspended)?, Kstatus::Current);
    Ok(())
}

#[tokio::test]
async fn a_renamed_binding_is_ready_beside_the_old_one_which_goes_last() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("renamed").await?;
    let orders = shop.identity("orders").await?;
    let old = binding_in_git(&shop, "orders", orders.resource_id());
    sync_binding(&shop, ARGO_CD, &old).await?;
    shop.ready("orders").await?;
    let before = shop.credentials(&orders).await?;

    let new = binding_in_git(&shop, "orders-api", orders.resource_id());
    sync_binding(&shop, ARGO_CD, &new).await?;
    let beside = shop.ready("orders-api").await?;
    assert_eq!(waited_for(&beside)?, Kstatus::Current);
    shop.ready("orders").await?;

    // Argo CD prunes in the foreground.
    shop.bindings()
        .delete("orders", &DeleteParams::foreground())
        .await?;
    shop.until_gone("orders").await?;
    let alone = shop.ready("orders-api").await?;
    assert_eq!(waited_for(&alone)?, Kstatus::Current);
    assert_eq!(shop.credentials(&orders).await?, before);
    assert_eq!(shop.operator_writes("orders").await?, 1);
    shop.service_accounts().get("orders").await?;
    Ok(())
}
