//! Shows azwib at work on this machine; see `azwib_e2e::demo`. `make demo` builds what it needs and starts it.

use std::process::ExitCode;

use clap::Parser;

/// Brings up a local control plane, Azure's simulator, the webhook and the operator, applies examples/, and shows what
/// comes of it.
#[derive(Parser)]
struct Arguments {
    /// End when all is shown; exit code 1 when something did not work
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    azwib_e2e::demo::run(Arguments::parse().once)
}
