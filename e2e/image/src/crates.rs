//! Which crates the operator is made of, told to cargo-auditable.
//!
//! By itself cargo-auditable asks `cargo metadata`, which knows one set of features for the whole workspace: it names crates that only a
//! test tool has, and some that no feature of this workspace brings in. It prefers the precursor of a bill of materials that
//! cargo writes where `build.sbom` is set, which is not stable yet: <https://doc.rust-lang.org/cargo/reference/unstable.html#sbom>.
//! So this writes such a precursor, from what `cargo tree` resolves for the operator alone. It can go when cargo's own is stable.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Node, Package, PackageId};
use clap::Args;
use serde_json::{Value, json};

const OPERATOR: &str = "azwib-operator";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What the operator is built for, such as x86_64-unknown-linux-gnu
    #[arg(long, value_name = "TRIPLE")]
    target: String,
    /// Version of Rust
    #[arg(long, value_name = "VERSION")]
    rust: String,
    /// The file to write, for the variable CARGO_SBOM_PATH
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

/// Writes the precursor.
///
/// # Errors
/// Cargo cannot resolve the workspace in the current folder, or the file cannot be written.
pub(crate) fn write(arguments: &Arguments) -> anyhow::Result<()> {
    let resolved = resolved(&arguments.target)?;
    let platform = ["--locked", "--filter-platform", &arguments.target].map(str::to_owned);
    let metadata = MetadataCommand::new().other_options(platform).exec()?;
    let precursor = precursor(&metadata, &resolved, &arguments.rust)?;
    fs::write(&arguments.output, precursor.to_string())
        .with_context(|| format!("writing {}", arguments.output.display()))
}

/// Names and versions of all crates, as `cargo tree` prints them.
fn resolved(target: &str) -> anyhow::Result<BTreeSet<String>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "tree",
            "--locked",
            "--package",
            OPERATOR,
            "--target",
            target,
        ])
        .args(["--edges=normal,build", "--prefix=none", "--format={p}"])
        .output()
        .context("running cargo tree")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo tree: {errors}");
    let lines = String::from_utf8(output.stdout)?;
    let crates = lines.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some(format!("{} {}", words.next()?, words.next()?))
    });
    Ok(crates.collect())
}

fn as_in_tree(package: &Package) -> String {
    format!("{} v{}", package.name, package.version)
}

/// The format that cargo documents, version 1.
fn precursor(
    metadata: &Metadata,
    resolved: &BTreeSet<String>,
    rust: &str,
) -> anyhow::Result<Value> {
    let mut packages: Vec<&Package> = metadata.packages.iter().collect();
    packages.retain(|it| resolved.contains(&as_in_tree(it)));
    ensure!(
        packages.len() == resolved.len(),
        "two crates have one name and version"
    );
    packages.sort_by_key(|it| as_in_tree(it));
    let numbers = packages
        .iter()
        .zip(0..)
        .map(|(it, number)| (&it.id, number));
    let numbers: BTreeMap<&PackageId, usize> = numbers.collect();
    let nodes = &metadata
        .resolve
        .as_ref()
        .context("nothing is resolved")?
        .nodes;
    let nodes: BTreeMap<_, _> = nodes.iter().map(|it| (&it.id, it)).collect();
    let crates: Vec<Value> = packages
        .iter()
        .map(|it| {
            let node = nodes.get(&it.id).with_context(|| it.id.to_string())?;
            let dependencies = dependencies(node, &numbers);
            Ok(json!({
                "id": it.id.repr, "kind": [], "features": [], "dependencies": dependencies,
            }))
        })
        .collect::<anyhow::Result<_>>()?;
    let root = packages.iter().position(|it| *it.name == OPERATOR);
    Ok(json!({
        "version": 1,
        "root": root.with_context(|| format!("there is no package {OPERATOR}"))?,
        "crates": crates,
        "rustc": {
            "version": rust, "wrapper": null, "workspace_wrapper": null,
            "commit_hash": "", "host": "", "verbose_version": "",
        },
    }))
}

fn dependencies(node: &Node, numbers: &BTreeMap<&PackageId, usize>) -> Vec<Value> {
    let of = |kind: DependencyKind, name: &str| {
        let is_of = |it: &&cargo_metadata::NodeDep| it.dep_kinds.iter().any(|it| it.kind == kind);
        let found = node.deps.iter().filter(is_of);
        let found = found.filter_map(|it| numbers.get(&it.pkg));
        found
            .map(|number| json!({ "index": number, "kind": name }))
            .collect::<Vec<_>>()
    };
    [
        of(DependencyKind::Normal, "normal"),
        of(DependencyKind::Build, "build"),
    ]
    .concat()
}
