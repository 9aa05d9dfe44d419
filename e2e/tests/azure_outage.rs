//! Azure out of reach, or refusing the operator: what that does to bindings, and how they recover.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use azure_simulator::control::api::{FaultAction, Latency, Matcher, RequestRecord};
use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::interference::service_unavailable;
use azwib_e2e::environment::{ManagedIdentity, Namespace, PATIENCE, condition};
use azwib_e2e::supervisor::Exit;
use azwib_e2e::{Environment, EnvironmentOptions, wait};
use futures::future::try_join_all;
use k8s_openapi::jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

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

/// A Ready binding, and the status that an outage must leave as it is.
async fn made_ready(
    shop: &Namespace<'_>,
) -> anyhow::Result<(ManagedIdentity, WorkloadIdentityBinding)> {
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    Ok((orders, binding))
}

/// The status was not written since, and the operator looks after the credential again.
async fn was_left_alone_and_is_looked_after(
    shop: &Namespace<'_>,
    orders: &ManagedIdentity,
    before: &WorkloadIdentityBinding,
) -> anyhow::Result<()> {
    let after = shop.bindings().get("orders").await?;
    assert_eq!(after.status, before.status);
    assert_eq!(after.resource_version(), before.resource_version());
    let name = shop.credential_name("orders")?;
    let path = format!(
        "{}/federatedIdentityCredentials/{name}",
        orders.resource_id()
    );
    shop.environment().arm().await?.delete(&path).await?;
    wait::until(
        "the deleted credential to be restored",
        PATIENCE,
        async || Ok((shop.credentials(orders).await?.len() == 1).then_some(())),
    )
    .await
}

#[tokio::test]
async fn a_ready_binding_stays_ready_through_an_outage_of_azure() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("outage-later").await?;
    let (orders, before) = made_ready(&shop).await?;
    let outage = shop.outage(service_unavailable()).await?;
    let note = shop.event("AzureUnavailable").await?;
    assert!(note.contains("does not answer as it should"), "{note}");
    wait::until("two tries in the outage", PATIENCE, async || {
        let requests = env.control().requests().await?;
        let failed = |it: &&RequestRecord| it.path.contains(shop.name()) && it.status == Some(503);
        Ok((requests.iter().filter(failed).count() >= 2).then_some(()))
    })
    .await?;
    let during = shop.bindings().get("orders").await?;
    assert_eq!(during.resource_version(), before.resource_version());
    outage.end().await?;
    was_left_alone_and_is_looked_after(&shop, &orders, &before).await
}

#[tokio::test]
async fn a_ready_binding_stays_ready_while_the_operator_may_not_read() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("forbidden-later").await?;
    let (orders, before) = made_ready(&shop).await?;
    shop.revoke_operator().await?;
    let note = shop.event("AuthorizationFailed").await?;
    assert!(note.contains("grant the operator"), "{note}");
    let during = shop.bindings().get("orders").await?;
    assert_eq!(during.resource_version(), before.resource_version());
    shop.grant_operator().await?;
    was_left_alone_and_is_looked_after(&shop, &orders, &before).await
}

#[tokio::test]
async fn azure_asking_to_be_asked_again_at_once_is_not_asked_without_a_pause() -> anyhow::Result<()>
{
    let env = Environment::shared().await?;
    let cases = [
        ("retry-after-zero", "0"),
        ("retry-after-past", "Wed, 21 Oct 2015 07:28:00 GMT"),
        ("retry-after-negative", "-1"),
        ("retry-after-word", "soon"),
    ];
    let each = cases.map(async |(purpose, retry_after)| {
        let shop = env.namespace(purpose).await?;
        let orders = shop.identity("orders").await?;
        let outage = shop
            .outage(FaultAction::Respond {
                status: 429,
                code: "TooManyRequests".to_owned(),
                message: "Slow down.".to_owned(),
                headers: vec![("Retry-After".to_owned(), retry_after.to_owned())],
                body: None,
            })
            .await?;
        shop.bind_to("orders", &orders).await?;
        shop.failing("orders", "IdentityResolved", "Throttled")
            .await?;
        let tries = wait::until("four tries", PATIENCE, async || {
            let tries = shop.operator_requests("GET", "orders").await?;
            Ok((tries.len() >= 4).then_some(tries))
        })
        .await?;
        for pair in tries.windows(2) {
            let apart = pair[1].started.duration_since(pair[0].started);
            assert!(apart >= SignedDuration::from_millis(900), "{apart:?}");
        }
        outage.end().await?;
        // After so many failures the next try may be a minute away: somebody asks for one.
        let asks =
            json!({ "metadata": { "annotations": { "azwib.dev/reconcile-requested-at": "now" } } });
        let bindings = shop.bindings();
        bindings
            .patch("orders", &PatchParams::default(), &Patch::Merge(asks))
            .await?;
        shop.ready("orders").await
    });
    try_join_all(each).await?;
    Ok(())
}

/// What Azure answers, with this code and these headers.
fn answer(status: u16, code: &str, headers: &[(&str, &str)]) -> FaultAction {
    FaultAction::Respond {
        status,
        code: code.to_owned(),
        message: "Azure's own words.".to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: None,
    }
}

#[tokio::test]
async fn a_ready_binding_stays_ready_whatever_a_read_is_refused_with() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let cases = [
        ("read-conflict", 409, "Conflict"),
        ("read-going", 409, "ResourceGroupBeingDeleted"),
        ("read-bad", 400, "BadRequest"),
        ("read-untyped", 404, "InvalidResourceType"),
        ("read-odd", 418, "NeverSeenBefore"),
        ("read-forbidden", 403, "NeverSeenBefore"),
    ];
    let each = cases.map(async |(purpose, status, code)| {
        let shop = env.namespace(purpose).await?;
        let (orders, before) = made_ready(&shop).await?;
        let outage = shop.outage(answer(status, code, &[])).await?;
        wait::until("two tries", PATIENCE, async || {
            let requests = env.control().requests().await?;
            let failed =
                |it: &&RequestRecord| it.path.contains(shop.name()) && it.status == Some(status);
            Ok((requests.iter().filter(failed).count() >= 2).then_some(()))
        })
        .await?;
        let during = shop.bindings().get("orders").await?;
        assert_eq!(
            during.resource_version(),
            before.resource_version(),
            "{code}"
        );
        outage.end().await?;
        was_left_alone_and_is_looked_after(&shop, &orders, &before).await
    });
    try_join_all(each).await?;
    Ok(())
}

#[tokio::test]
async fn a_ready_binding_stays_ready_under_a_deny_assignment() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("denied-later").await?;
    let (orders, before) = made_ready(&shop).await?;
    let control = env.control();
    let denial = control
        .assign_denial(&shop.resource_group_id(), &["*"])
        .await?;
    let note = shop.event("AuthorizationFailed").await?;
    assert!(note.contains("DenyAssignmentAuthorizationFailed"), "{note}");
    let during = shop.bindings().get("orders").await?;
    assert_eq!(during.resource_version(), before.resource_version());
    control.delete_denial(denial).await?;
    was_left_alone_and_is_looked_after(&shop, &orders, &before).await
}

#[tokio::test]
async fn a_wait_of_years_is_told_with_the_time_of_the_next_try() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    for (purpose, retry_after) in [
        ("retry-after-years", "315360000"),
        ("retry-after-2-to-64", "18446744073709551615"),
        ("retry-after-year-9999", "Fri, 31 Dec 9999 23:59:59 GMT"),
    ] {
        let shop = env.namespace(purpose).await?;
        let orders = shop.identity("orders").await?;
        let headers = [("Retry-After", retry_after)];
        let action = answer(429, "TooManyRequests", &headers);
        let outage = shop.outage(action).await?;
        let asked = Timestamp::now();
        shop.bind_to("orders", &orders).await?;
        let first = shop
            .failing("orders", "IdentityResolved", "Throttled")
            .await?;
        let (_, at) = first.message.split_once("is asked again at ").unwrap();
        let at: Timestamp = at[..16]
            .parse::<DateTime>()?
            .to_zoned(TimeZone::UTC)?
            .timestamp();
        let wait = at.duration_since(asked);
        assert!(
            (SignedDuration::from_mins(14)..SignedDuration::from_mins(18)).contains(&wait),
            "{wait:?}: {}",
            first.message
        );
        assert!(
            first.message.contains("Azure's own words"),
            "{}",
            first.message
        );
        // Whoever comes later reads the same.
        shop.bind_to("later", &orders).await?;
        let later = shop
            .failing("later", "IdentityResolved", "Throttled")
            .await?;
        assert!(later.message.contains(" at 2"), "{}", later.message);
        outage.end().await?;
    }
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
