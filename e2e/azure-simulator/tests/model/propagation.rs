use azure_simulator::Tunables;
use azure_simulator::control::api::NewIdentity;

use crate::support::{Azure, Cluster, SUBJECT, credential, credential_path};

/// Longer than any test takes.
const DAY: u64 = 86_400;

async fn set(azure: &Azure, tunables: Tunables) {
    azure.control.set_tunables(&tunables).await.unwrap();
}

async fn put(azure: &Azure, cluster: &Cluster, name: &str, subject: &str) {
    let path = credential_path("orders", name);
    let body = credential(&cluster.issuer, subject);
    let reply = azure.owner().await.put(&path, body).await;
    assert!(reply.status < 300, "{reply:?}");
}

/// Exchanges a token so many times; the AADSTS codes, 0 where there is a token.
async fn exchanges(
    azure: &Azure,
    identity: &NewIdentity,
    cluster: &Cluster,
    count: usize,
) -> Vec<u64> {
    let assertion = cluster.token();
    let mut codes = Vec::new();
    for _ in 0..count {
        let reply = azure.exchange(identity.client_id, &assertion).await;
        codes.push(reply.aadsts().1);
    }
    codes
}

#[tokio::test]
async fn a_failed_exchange_is_remembered_for_a_while() {
    let azure = Azure::start().await;
    let cluster = Cluster::register(&azure).await;
    let identity = azure.identity("orders").await;
    let caching = |seconds| Tunables {
        negative_cache_seconds: seconds,
        ..Tunables::default()
    };
    set(&azure, caching(DAY)).await;
    // Asked too early: what was seen then stays.
    assert_eq!(exchanges(&azure, &identity, &cluster, 1).await, [70_025]);
    put(&azure, &cluster, "shop-orders", SUBJECT).await;
    assert_eq!(
        exchanges(&azure, &identity, &cluster, 3).await,
        [70_025, 70_025, 70_025]
    );
    // Who did not ask before the credential was there finds it.
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    set(&azure, caching(DAY)).await;
    assert_eq!(exchanges(&azure, &identity, &cluster, 2).await, [0, 0]);
    // A cache of a second is soon forgotten.
    let other = azure.identity("billing").await;
    set(&azure, caching(1)).await;
    assert_eq!(exchanges(&azure, &other, &cluster, 1).await, [70_025]);
    let path = credential_path("billing", "shop-orders");
    let body = credential(&cluster.issuer, SUBJECT);
    azure.owner().await.put(&path, body).await;
    let written = std::time::Instant::now();
    while exchanges(&azure, &other, &cluster, 1).await != [0] {
        assert!(written.elapsed().as_secs() < 10, "it is never forgotten");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_change_arrives_at_some_parts_of_the_directory_before_others() {
    let azure = Azure::start().await;
    let cluster = Cluster::register(&azure).await;
    let identity = azure.identity("orders").await;
    put(&azure, &cluster, "another", "another").await;
    set(
        &azure,
        Tunables {
            convergence_seconds: 10,
            ..Tunables::default()
        },
    )
    .await;
    put(&azure, &cluster, "shop-orders", SUBJECT).await;
    let mut codes = Vec::new();
    // In the beginning hardly any request meets a part that knows the change, in the end all do.
    let written = std::time::Instant::now();
    // A failure after a success: the arrival is not monotonic.
    while !codes.windows(2).any(|pair| pair == [0, 700_213]) {
        assert!(written.elapsed().as_secs() < 10, "{codes:?}");
        codes.extend(exchanges(&azure, &identity, &cluster, 5).await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    set(&azure, Tunables::default()).await;
    assert_eq!(exchanges(&azure, &identity, &cluster, 5).await, [0; 5]);
}

#[tokio::test]
async fn a_few_exchanges_fail_without_a_reason() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    set(
        &azure,
        Tunables {
            exchange_failures_per_mille: 300,
            ..Tunables::default()
        },
    )
    .await;
    let codes = exchanges(&azure, &identity, &cluster, 40).await;
    let failed = codes.iter().filter(|code| **code == 700_213).count();
    let passed = codes.iter().filter(|code| **code == 0).count();
    assert_eq!(failed + passed, 40);
    assert!(failed > 0 && passed > failed, "{codes:?}");
}
