//! The ports that every pod may reach: whoever misuses them keeps neither memory nor the next probe.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use azwib_e2e::{Environment, OperatorProcess};
use futures::{StreamExt, future, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const CONNECTIONS: usize = 1_500;

/// More than the system's queue holds would never reach the operator.
const AT_ONCE: usize = 100;

/// As the kubelet asks, which gives up after a second.
async fn probes_answer(operator: &OperatorProcess) -> anyhow::Result<()> {
    let began = Instant::now();
    let answer = operator.probe("/readyz").await?;
    let took = began.elapsed();
    assert_eq!(answer, (200, "ok".to_owned()));
    assert!(took < Duration::from_secs(1), "{took:?}");
    Ok(())
}

/// A connection that has sent this, and waits for nothing.
async fn begun(address: SocketAddr, sent: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    // Whoever is turned away does not care.
    let _ = timeout(Duration::from_secs(2), stream.write_all(sent)).await;
    Some(stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_requests_take_neither_memory_nor_the_next_probe() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let operator = env
        .operator_with(env.operator_flags(), Default::default(), None)
        .await?;
    operator.probe_until("/readyz", 200, "ok").await?;
    let before = operator.peak_memory_mib()?;
    let long = format!(
        "GET /metrics HTTP/1.1\r\nHost: a\r\nX: {}",
        "x".repeat(300_000)
    );
    let short = "GET /readyz HTTP/1.1\r\nHost: a\r\n".to_owned();
    for server in ["metrics", "probes"] {
        let address = operator.address_of(server).await?;
        for sent in [&long, &short, &String::new()] {
            let connections = (0..CONNECTIONS).map(|_| begun(address, sent.as_bytes()));
            let held = stream::iter(connections).buffered(AT_ONCE);
            let held: Vec<_> = held.filter_map(future::ready).collect().await;
            assert!(held.len() > CONNECTIONS / 2, "{}", held.len());
            probes_answer(&operator).await?;
            assert!(operator.metrics().await?.contains("azwib_build_info"));
            // Each is closed, by an answer or without one, although its other side goes on waiting.
            for mut stream in held.into_iter().rev().take(300) {
                let mut answer = Vec::new();
                let ended = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
                assert!(ended.await.is_ok(), "{server}: a connection stays open");
            }
        }
    }
    let grown = operator.peak_memory_mib()? - before;
    assert!(grown < 40.0, "{grown} MiB more");
    Ok(())
}

#[tokio::test]
async fn a_connection_serves_one_request() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let operator = env
        .operator_with(env.operator_flags(), Default::default(), None)
        .await?;
    operator.probe_until("/readyz", 200, "ok").await?;
    let address = operator.address_of("probes").await?;
    let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut stream = begun(address, request).await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await??;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    Ok(())
}
