//! Holds a pod's namespaces: see `azwib_e2e::pods`.

use azwib_e2e::pods::sandbox::Sandbox;
use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    Sandbox::parse().serve().await
}
