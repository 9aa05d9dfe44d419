//! A rolling update, by the controllers of the API server.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_binding_sees_nothing_of_a_rolling_update_in_which_another_pod_comes_to_lead()
-> anyhow::Result<()> {
    let installed = Installed::start(None).await?;
    let shop = installed.with_a_binding().await?;
    let before: BTreeSet<_> = installed.env.ready_pods().await?.into_iter().collect();
    let led = installed.env.leader().await?;
    let argument = "--propagation-delay=$(AZWIB_PROPAGATION_DELAY)";
    let add = json!([{ "op": "add", "path": format!("{CONTAINER}/args"), "value": [argument] }]);
    // As its strategy says: none may be away.
    shop.undisturbed(2, async {
        installed.patch(add).await?;
        installed.rolled_out().await
    })
    .await?;

    let after: BTreeSet<_> = installed.env.ready_pods().await?.into_iter().collect();
    assert!(before.is_disjoint(&after), "{before:?} {after:?}");
    let leads = installed.env.leader().await?;
    assert!(before.contains(&led) && after.contains(&leads));
    for process in installed.node.running().values() {
        let command = fs::read_to_string(format!("/proc/{}/cmdline", process.pid))?;
        assert_eq!(command, "/azwib-operator\0--propagation-delay=1s\0");
    }
    // The new ones work.
    let invoices = shop.identity("invoices").await?;
    shop.bind_to("invoices", &invoices).await?;
    shop.ready("invoices").await?;
    Ok(())
}

#[tokio::test]
async fn what_cannot_start_leaves_the_old_pods_at_work_until_it_is_undone() -> anyhow::Result<()> {
    let installed = Installed::start(None).await?;
    let shop = installed.with_a_binding().await?;
    let before = installed.env.ready_pods().await?;
    let broken = [
        (
            json!({ "op": "add", "path": format!("{CONTAINER}/args"), "value": ["--no-such-flag"] }),
            "CrashLoopBackOff",
        ),
        (
            json!({ "op": "replace", "path": format!("{CONTAINER}/image"), "value": "registry.example/azwib-operator:none" }),
            "ErrImagePull",
        ),
    ];
    for (change, reason) in broken {
        shop.undisturbed(2, async {
            installed.patch(json!([change])).await?;
            installed.waiting_for(reason).await?;
            let undo = [
                "-n",
                "azwib-system",
                "rollout",
                "undo",
                "deployment/azwib-operator",
            ];
            installed.kubectl(&undo).await?;
            installed.rolled_out().await
        })
        .await?;
        assert_eq!(installed.env.ready_pods().await?, before, "{reason}");
    }
    Ok(())
}
