//! Azure takes one write at a time for the credentials of an identity.

use azure_simulator::control::api::Latency;
use azwib_e2e::Environment;
use futures::future::try_join_all;
use kube::api::{DeleteParams, ListParams};

const BINDINGS: usize = 10;

#[tokio::test]
async fn writes_to_one_identity_never_overlap() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("one-writer").await?;
    let orders = shop.identity("orders").await?;
    let slow = ["PUT", "DELETE"].map(|method| Latency {
        matcher: shop.requests_to(method, "orders"),
        milliseconds: 100,
        jitter_milliseconds: 0,
    });
    // They replace all latencies: no other test of this program may set any.
    env.control().set_latencies(&slow).await?;
    let names: Vec<_> = ('a'..).take(BINDINGS).map(String::from).collect();
    shop.bind_all_to(&names, &orders).await?;
    try_join_all(names.iter().map(|name| shop.ready(name))).await?;
    shop.bindings()
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await?;
    try_join_all(names.iter().map(|name| shop.until_gone(name))).await?;

    let mut writes = shop.operator_requests("PUT", "orders").await?;
    assert_eq!(writes.len(), BINDINGS, "{writes:?}");
    writes.extend(shop.operator_requests("DELETE", "orders").await?);
    assert_eq!(writes.len(), 2 * BINDINGS, "{writes:?}");
    writes.sort_by_key(|write| write.started);
    for pair in writes.windows(2) {
        let ended = pair[0].ended.unwrap();
        assert!(ended <= pair[1].started, "{pair:?}");
    }
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}
