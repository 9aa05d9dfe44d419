//! Azure cannot be reached, or something else answers in its place.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use azure_simulator::control::api::{FaultAction, Latency, Matcher};
use azwib_e2e::environment::interference::service_unavailable;
use azwib_e2e::environment::{Namespace, PATIENCE, condition};
use azwib_e2e::supervisor::Exit;
use azwib_e2e::{Environment, EnvironmentOptions, wait};
use futures::future::try_join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

#[tokio::test]
async fn a_binding_made_while_azure_is_down_says_so_and_becomes_ready_afterwards()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    for (purpose, action) in [
        ("azure-answers-503", service_unavailable()),
        ("azure-hangs-up", FaultAction::DropConnection),
        ("azure-talks-nonsense", FaultAction::InvalidBody),
    ] {
        let shop = env.namespace(purpose).await?;
        let orders = shop.identity("orders").await?;
        let outage = shop.outage(action).await?;
        shop.bind_to("orders", &orders).await?;
        is_waiting_for_azure(&shop, "orders").await?;
        outage.end().await?;
        shop.ready("orders").await?;
        assert_eq!(shop.credentials(&orders).await?.len(), 1);
    }
    Ok(())
}

/// A loopback port on which nobody listens yet: connections are refused.
fn closed_port() -> anyhow::Result<(TcpSocket, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

/// Opens the port and passes every connection on.
fn open(port: TcpSocket, target: SocketAddr) -> anyhow::Result<()> {
    let listener = port.listen(16)?;
    tokio::spawn(async move {
        while let Ok((mut inbound, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut outbound = TcpStream::connect(target).await?;
                copy_bidirectional(&mut inbound, &mut outbound).await
            });
        }
    });
    Ok(())
}

#[tokio::test]
async fn an_operator_started_before_resource_manager_can_be_reached_recovers_by_itself()
-> anyhow::Result<()> {
    let env = Environment::start(EnvironmentOptions {
        start_operator: false,
        ..EnvironmentOptions::default()
    })
    .await?;
    let (port, address) = closed_port()?;
    let mut flags = env.operator_flags();
    flags.retain(|flag| !flag.starts_with("--resource-manager-endpoint="));
    flags.push(format!("--resource-manager-endpoint=https://{address}"));
    let operator = env.operator_with(flags, BTreeMap::new(), None).await?;
    let shop = env.namespace("closed-port").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    is_waiting_for_azure(&shop, "orders").await?;
    operator.probe_until("/readyz", 200, "ok").await?;
    let resource_manager = env.simulator.arm().trim_start_matches("https://");
    open(port, resource_manager.trim_end_matches('/').parse()?)?;
    shop.ready("orders").await?;
    assert_eq!(operator.exit(), None);
    Ok(())
}

#[tokio::test]
async fn an_answer_with_a_part_that_cannot_be_of_azure_is_no_answer() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("malformed").await?;
    let orders = shop.identity("orders").await?;
    let body = json!({
        "id": orders.resource_id(),
        "name": "orders",
        "location": "westeurope",
        "properties": {
            "tenantId": "not a tenant\u{7}",
            "principalId": "44444444-4444-4444-8444-444444444444",
            "clientId": "00000000-0000-0000-0000-000000000000",
        },
    });
    let outage = shop
        .outage(FaultAction::Respond {
            status: 200,
            code: String::new(),
            message: String::new(),
            headers: Vec::new(),
            body: Some(body),
        })
        .await?;
    shop.bind_to("orders", &orders).await?;
    let unavailable = shop
        .failing("orders", "IdentityResolved", "AzureUnavailable")
        .await?;
    assert!(
        unavailable.message.contains("azure's answer lacks"),
        "{}",
        unavailable.message
    );
    let accounts = shop.service_accounts();
    assert!(accounts.get_opt("orders").await?.is_none());
    outage.end().await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_told_with_what_to_do() -> anyhow::Result<()> {
    let env = Environment::start(EnvironmentOptions {
        start_operator: false,
        ..EnvironmentOptions::default()
    })
    .await?;
    let mut flags = env.operator_flags();
    flags.retain(|flag| !flag.starts_with("--ca-file="));
    let _operator = env.operator_with(flags, BTreeMap::new(), None).await?;
    let shop = env.namespace("untrusted").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let unavailable = shop
        .failing("orders", "IdentityResolved", "AzureUnavailable")
        .await?;
    for part in ["cannot connect to 127.0.0.1", "certificate", "--ca-file"] {
        assert!(
            unavailable.message.contains(part),
            "{}",
            unavailable.message
        );
    }
    assert!(!unavailable.message.contains("without you doing"));
    Ok(())
}

#[tokio::test]
async fn a_server_of_plain_http_in_the_place_of_azure_is_told_with_what_to_do() -> anyhow::Result<()>
{
    let env = Environment::without_operator().await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let endpoint = format!("https://{}", listener.local_addr()?);
    let _plain = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut hello = [0; 1024];
            let _ = client.read(&mut hello).await;
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let flag = format!("--resource-manager-endpoint={endpoint}");
    let _operator = env.operator_with_other(&[flag]).await?;
    let shop = env.namespace("plain-http").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let unavailable = shop
        .failing("orders", "IdentityResolved", "AzureUnavailable")
        .await?;
    let message = unavailable.message;
    for part in [
        "cannot connect to 127.0.0.1",
        "does not speak TLS",
        "host and port",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("network policies"), "{message}");
    Ok(())
}

#[tokio::test]
async fn an_identity_whose_requests_hang_holds_up_neither_other_identities_nor_the_end()
-> anyhow::Result<()> {
    // More than are worked on at once.
    const HANGING: usize = 16;
    let env = Environment::start(EnvironmentOptions {
        start_operator: false,
        ..EnvironmentOptions::default()
    })
    .await?;
    let mut flags = env.operator_flags();
    flags.push("--request-timeout=2s".to_owned());
    let operator = env.operator_with(flags, BTreeMap::new(), None).await?;
    let shop = env.namespace("hanging").await?;
    let hanging = shop.identity("hanging").await?;
    let healthy = shop.identity("healthy").await?;
    let far_above_the_time_out = Latency {
        matcher: Matcher {
            path: Some(format!("{}{{,/**}}", hanging.resource_id())),
            ..Matcher::default()
        },
        milliseconds: 600_000,
        jitter_milliseconds: 0,
    };
    env.control()
        .set_latencies(&[far_above_the_time_out])
        .await?;
    let names: Vec<_> = ('a'..)
        .take(HANGING)
        .map(|letter| format!("hanging-{letter}"))
        .collect();
    shop.bind_all_to(&names, &hanging).await?;
    wait::until("a request that hangs", PATIENCE, async || {
        let requests = shop.operator_requests("GET", "hanging").await?;
        Ok((!requests.is_empty()).then_some(()))
    })
    .await?;
    shop.bind_to("healthy", &healthy).await?;
    shop.ready("healthy").await?;
    let in_vain = shop.operator_requests("GET", "hanging").await?.len();
    // One after the other they would be as many as there are bindings, and the healthy one behind them.
    assert!(in_vain < HANGING, "{in_vain} before it was Ready");

    let failing = |name| shop.failing(name, "IdentityResolved", "AzureUnavailable");
    try_join_all(names.iter().map(|name| failing(name))).await?;
    let in_vain = shop.operator_requests("GET", "hanging").await?.len();
    assert!(in_vain < HANGING, "{in_vain} until all had failed");

    let exit = operator.terminate().await?;
    assert_eq!(exit, Exit::Code(0), "{}", operator.log_tail());
    Ok(())
}

/// What a status says while Azure does not answer: it goes on by itself, and nobody has to do anything.
async fn is_waiting_for_azure(shop: &Namespace<'_>, name: &str) -> anyhow::Result<()> {
    let unavailable = shop
        .failing(name, "IdentityResolved", "AzureUnavailable")
        .await?;
    assert!(
        unavailable.message.contains("tried again"),
        "{}",
        unavailable.message
    );
    let binding = shop.bindings().get(name).await?;
    let reconciling = condition(&binding, "Reconciling").unwrap();
    assert_eq!(reconciling.reason, "AzureUnavailable");
    assert!(condition(&binding, "Stalled").is_none());
    let accounts = shop.service_accounts();
    assert!(accounts.get_opt(name).await?.is_none());
    Ok(())
}
