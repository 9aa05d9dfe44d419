//! Runs the probes; see the library. `make conformance` builds and starts it.

use std::process::ExitCode;

use clap::Parser as _;
use conformance::cli::Arguments;

#[tokio::main]
async fn main() -> ExitCode {
    conformance::run::run(&Arguments::parse()).await
}
