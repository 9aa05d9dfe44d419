//! Measures the operator; see `azwib_e2e::bench`. `make bench` builds what it needs and starts it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Creates many bindings at once on a real API server and the Azure simulator, and measures how long they take to be
/// Ready, and what that costs. Built in release mode, as is what it starts.
#[derive(Parser)]
struct Arguments {
    /// The cases to run, separated by commas, such as 200@0,steady; default: all that end within minutes
    #[arg(long, value_name = "NAMES")]
    cases: Option<String>,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    azwib_e2e::bench::run(arguments.cases.as_deref(), arguments.json.as_deref())
}
