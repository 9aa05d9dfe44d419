//! Writes the container image of the operator: `azwib-image --help` names what it is made of. `make image` calls it.

mod build;
mod crates;
mod layer;
mod layout;
mod sbom;
mod third_party;

use std::process::ExitCode;

use clap::Parser;

/// Parts of `make image`.
#[derive(Debug, Parser)]
enum Command {
    /// Write which crates the operator is made of, for cargo-auditable
    Crates(crates::Arguments),
    /// Write the container image of the operator as an OCI image layout, and the same as an archive
    Build(build::Arguments),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Crates(arguments) => crates::write(&arguments),
        Command::Build(arguments) => build::build(&arguments).map(|built| println!("{built}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("azwib-image: {error:#}");
            ExitCode::FAILURE
        }
    }
}
