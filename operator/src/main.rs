//! The operator's process: flags, logs, run, exit code.

use std::error::Error;
use std::process::ExitCode;

use azwib_operator::cli::config::Config;
use azwib_operator::cli::flags::Cli;
use azwib_operator::run::run;
use azwib_operator::runtime::telemetry::{self, LogGuard};
use clap::Parser;

/// Many small strings are kept, and this one keeps them in less room: a tenth less resident memory at 20,000 bindings.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match start(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("azwib-operator: {}", azwib_operator::error_chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn start(cli: Cli) -> Result<(), Box<dyn Error>> {
    telemetry::init(&cli.log_level, cli.log_format, LogGuard::InPlace)?;
    run(Config::from_cli(cli)?).await?;
    tracing::info!("azwib has stopped");
    Ok(())
}
