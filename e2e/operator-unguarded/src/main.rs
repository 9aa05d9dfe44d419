//! The operator without the guards that keep tokens out of its log; for the end-to-end tests alone.
//!
//! The log filter is always lifted. With `AZWIB_TOKEN_INSIDE_THE_CLIENT` set, the old Azure client gets the token itself.
//! A package of its own, so that the other end-to-end tests do not link the operator.

use anyhow::Context;
use azwib_operator::azure::auth::Authorization;
use azwib_operator::cli::config::Config;
use azwib_operator::cli::flags::Cli;
use azwib_operator::run;
use azwib_operator::runtime::telemetry::{self, LogGuard};
use azwib_operator::traces::Traces;
use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let log_level = telemetry::init(&cli.log_level, cli.log_format, LogGuard::Lifted, None)?;
    let mut config = Config::from_cli(cli)?;
    if std::env::var_os("AZWIB_TOKEN_INSIDE_THE_CLIENT").is_some() {
        config.authorization = Authorization::InsideTheClient;
    }
    run::run(config, log_level, Traces::default())
        .await
        .context("the operator has failed")
}
