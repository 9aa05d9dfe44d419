//! The simulator as a process of its own.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use azure_simulator::{Addresses, ServicePrincipal, Simulator, SimulatorConfig, Tunables};
use clap::Parser;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use uuid::Uuid;

/// Simulates Azure Resource Manager, Microsoft Entra and a cluster issuer on this machine.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// Directory for the CA and the signing key; made if it does not exist
    #[arg(long, value_name = "DIR")]
    state_dir: PathBuf,
    /// The tenant
    #[arg(long, value_name = "GUID")]
    tenant: Uuid,
    /// The subscription
    #[arg(long, value_name = "GUID")]
    subscription: Uuid,
    /// A resource group to start with (repeatable)
    #[arg(long = "resource-group", value_name = "NAME", num_args = 1..)]
    resource_groups: Vec<String>,
    /// A service principal that owns the subscription (repeatable)
    #[arg(long = "service-principal", value_name = "CLIENT_ID:SECRET", num_args = 1.., value_parser = parse_principal)]
    service_principals: Vec<ServicePrincipal>,
    /// Address of Resource Manager
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    arm_address: SocketAddr,
    /// Address of Entra
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    entra_address: SocketAddr,
    /// Address of the issuer
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    issuer_address: SocketAddr,
    /// Address of the control API; must be a loopback address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    control_address: SocketAddr,
    /// Time that every request takes, such as 20ms
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    latency: Duration,
    /// Seed of all ids
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Settings of the model, as the control API takes them, such as '{"throttling": {}}' for the published limits
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = parse_tunables)]
    tunables: Tunables,
    /// PEM bundle of CAs that Entra trusts when it fetches an issuer's documents (repeatable)
    #[arg(long = "trusted-ca", value_name = "PATH")]
    trusted_cas: Vec<PathBuf>,
}

fn parse_tunables(text: &str) -> Result<Tunables, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn parse_principal(text: &str) -> Result<ServicePrincipal, String> {
    let (client_id, secret) = text
        .split_once(':')
        .ok_or("expected CLIENT_ID:SECRET".to_owned())?;
    if secret.is_empty() {
        return Err("the secret is empty".to_owned());
    }
    Ok(ServicePrincipal {
        client_id: Uuid::try_parse(client_id)
            .map_err(|_| "the client id is not a GUID".to_owned())?,
        secret: Some(secret.to_owned()),
    })
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .init();
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let simulator = Simulator::start(SimulatorConfig {
        state_dir: Some(cli.state_dir),
        tenant: cli.tenant,
        subscription: cli.subscription,
        resource_groups: cli.resource_groups,
        service_principals: cli.service_principals,
        addresses: Addresses {
            arm: cli.arm_address,
            entra: cli.entra_address,
            issuer: cli.issuer_address,
            control: cli.control_address,
        },
        latency: cli.latency,
        seed: cli.seed,
        tunables: cli.tunables,
        trusted_cas: cli.trusted_cas,
    })
    .await?;
    let line = json!({
        "arm": simulator.arm_url(),
        "entra": simulator.entra_url(),
        "issuer": simulator.issuer_url(),
        "control": simulator.control_url(),
        "ca": std::path::absolute(simulator.ca_path())?,
    });
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .context("writing the addresses to stdout")?;
    drop(stdout);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.stop().await;
    Ok(())
}
