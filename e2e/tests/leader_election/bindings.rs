//! Bindings, and what is true of them whoever leads.

use azure_simulator::control::api::When;
use azwib_e2e::environment::interference::HeldRequest;
use kube::api::{DeleteParams, PostParams};
use tokio::time::sleep;

use super::*;

/// A binding that is Ready, and its identity.
pub(super) async fn settled<'a>(
    operators: &Operators,
    purpose: &str,
) -> anyhow::Result<(Namespace<'a>, ManagedIdentity)> {
    let env: &'static Environment = operators.env;
    let shop = env.namespace(purpose).await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    Ok((shop, orders))
}

/// Two bindings whose credentials are to be deleted: one DELETE is under way, and nothing but the claim keeps the other one back.
pub(super) const BOTH: [&str; 2] = ["first", "second"];

/// Binds these to an identity beside the binding `orders`, and deletes them once all are Ready. The first DELETE is held on its way.
pub(super) async fn with_a_deletion_under_way<'a>(
    operators: &Operators,
    purpose: &str,
    names: &[&str],
) -> anyhow::Result<(Namespace<'a>, ManagedIdentity, HeldRequest)> {
    let (shop, orders) = settled(operators, purpose).await?;
    for name in names {
        shop.bind_to(name, &orders).await?;
        shop.ready(name).await?;
    }
    let delete = shop.hold("DELETE", "orders", When::BeforeEffect).await?;
    for name in names {
        let how = DeleteParams::default();
        shop.bindings().delete(name, &how).await?;
    }
    delete.reached().await?;
    Ok((shop, orders, delete))
}

/// The most bindings of [`while_busy`].
const BUSY: usize = 100;

/// Between two of them.
const BUSY_EVERY: Duration = Duration::from_millis(100);

/// Binds one identity after the other while something happens, so that there is always something to write. All of them get
/// Ready, and each is written once.
pub(super) async fn while_busy<T>(
    shop: &Namespace<'_>,
    purpose: &str,
    what: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let mut bound = Vec::new();
    let busy = async {
        loop {
            if bound.len() == BUSY {
                std::future::pending::<()>().await;
            }
            let name = format!("{purpose}-{}", bound.len());
            let identity = shop.identity(&name).await?;
            let binding = serde_json::from_value(json!({
                "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding", "metadata": { "name": name },
                "spec": { "identity": { "resourceId": identity.resource_id() } },
            }))?;
            bound.push(name);
            let how = PostParams::default();
            shop.bindings().create(&how, &binding).await?;
            sleep(BUSY_EVERY).await;
        }
    };
    let came_of_it = tokio::select! {
        failed = busy => return failed,
        came_of_it = what => came_of_it?,
    };
    // The last one may not be there yet.
    bound.pop();
    for name in bound {
        shop.ready(&name).await?;
        assert_eq!(shop.operator_writes(&name).await?, 1, "{name}");
    }
    Ok(came_of_it)
}

/// How many credentials of an identity were deleted. A DELETE that found nothing is none: the next leader makes sure of a deletion
/// that it has not seen.
pub(super) async fn deleted(shop: &Namespace<'_>, identity: &str) -> anyhow::Result<usize> {
    let deletions = shop.operator_requests("DELETE", identity).await?;
    Ok(deletions.iter().filter(|it| it.status == Some(200)).count())
}

/// Whoever leads now makes one more binding Ready, and what was settled before was written once.
pub(super) async fn works(shop: &Namespace<'_>, name: &str) -> anyhow::Result<()> {
    works_beside(shop, name, 1).await
}

/// The same where so many writes to the first identity were in order.
pub(super) async fn works_beside(
    shop: &Namespace<'_>,
    name: &str,
    writes: usize,
) -> anyhow::Result<()> {
    let identity = shop.identity(name).await?;
    shop.bind_to(name, &identity).await?;
    shop.ready(name).await?;
    assert_eq!(shop.operator_writes(name).await?, 1, "{name}");
    assert_eq!(shop.operator_writes("orders").await?, writes);
    Ok(())
}
