//! Evictions: the API server asks the disruption budget.

use azwib_e2e::wait::{PATIENCE, until};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::EvictParams;

use super::*;

#[tokio::test]
async fn a_drain_takes_one_of_two_pods_and_is_refused_the_last() -> anyhow::Result<()> {
    let installed = Installed::start(None).await?;
    let shop = installed.with_a_binding().await?;
    let drain = [
        "drain",
        "node-1",
        "--pod-selector=app.kubernetes.io/component=operator",
        "--timeout=15s",
    ];
    // The node is cordoned: what is evicted finds no other one.
    let refused = shop
        .undisturbed(1, async { Ok(installed.kubectl(&drain).await) })
        .await?;
    let said = format!("{:#}", refused.expect_err("the last one is kept"));
    let budget = "Cannot evict pod as it would violate the pod's disruption budget";
    assert!(said.contains(budget), "{said}");
    let left = installed.env.ready_pods().await?;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(installed.env.leader().await?, left[0]);

    // Now the second one is there again, and the first may go.
    installed.kubectl(&["uncordon", "node-1"]).await?;
    installed.rolled_out().await?;
    let budgets: Api<PodDisruptionBudget> =
        Api::namespaced(installed.env.client().await?, "azwib-system");
    until("the budget to allow one", PATIENCE, async || {
        let status = budgets.get("azwib-operator").await?.status;
        Ok(status.filter(|it| it.disruptions_allowed == 1).map(drop))
    })
    .await?;
    let pods = installed.env.pods().await?;
    shop.undisturbed(1, async {
        pods.evict(&left[0], &EvictParams::default()).await?;
        until("the pod to be gone", PATIENCE, async || {
            Ok(pods.get_opt(&left[0]).await?.is_none().then_some(()))
        })
        .await?;
        installed.rolled_out().await
    })
    .await?;
    assert_ne!(installed.env.leader().await?, left[0]);
    Ok(())
}
