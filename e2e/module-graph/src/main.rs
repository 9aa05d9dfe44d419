//! Tells of circles among the modules of packages: `module-graph SRC_FOLDER...`. Ends with 1 where there is one.

mod graph;
mod package;
mod paths;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::graph::circles;
use crate::package::Package;

fn main() -> ExitCode {
    match check(std::env::args_os().skip(1).map(PathBuf::from)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("module-graph: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints every circle of these packages, and gives how many there are.
fn check(folders: impl Iterator<Item = PathBuf>) -> anyhow::Result<usize> {
    let mut found = 0;
    for folder in folders {
        let package = Package::read(&folder)
            .with_context(|| format!("reading the package in {}", folder.display()))?;
        for circle in circles(&package) {
            found += 1;
            println!("{}: these modules import each other:", folder.display());
            for import in circle {
                println!("  {} -> {} ({})", import.from, import.to, import.what);
            }
        }
    }
    Ok(found)
}
