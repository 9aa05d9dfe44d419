//! From the binary and what is known of its build to the image: the order of the steps.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use auditable_info::audit_info_from_file;
use clap::Args;
use jiff::Timestamp;
use oci_spec::image::Arch;

use crate::layer::{File, Layer};
use crate::layout::{Description, Layout};
use crate::sbom::{Toolchain, sbom};
use crate::third_party::third_party_licenses;

/// Where texts about the image lie in it.
const DOC: &str = "usr/share/doc/azwib";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The operator, linked statically and built by cargo-auditable
    #[arg(long, value_name = "FILE")]
    binary: PathBuf,
    /// What it was built for, such as x86_64-unknown-linux-gnu
    #[arg(long, value_name = "TRIPLE")]
    target: String,
    /// The commit that it was built from
    #[arg(long, value_name = "COMMIT")]
    revision: String,
    /// The time that the image and every file in it carry: that of the commit, in seconds since 1970
    #[arg(long, value_name = "SECONDS")]
    created: i64,
    /// Version of Rust, whose standard library is linked in
    #[arg(long, value_name = "VERSION")]
    rust: String,
    /// The C library that is linked in, such as `glibc 2.36`
    #[arg(long, value_name = "NAME VERSION")]
    libc: String,
    /// The licence of azwib
    #[arg(long, value_name = "FILE")]
    license: PathBuf,
    /// The licence texts of all crates in the binary, as cargo-about writes them
    #[arg(long, value_name = "FILE")]
    crate_licenses: PathBuf,
    /// Registry and repository of the image
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Folder for the layout `oci`, the archive `azwib-operator.tar` and the file `digest`; what it had is replaced
    #[arg(long, value_name = "FOLDER")]
    output: PathBuf,
}

/// What was built, for the one who reads the terminal.
#[derive(Debug)]
pub(crate) struct Built {
    reference: String,
    digest: String,
    binary_bytes: u64,
    layer_bytes: u64,
    compressed_bytes: u64,
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(f, "{}@{}", self.reference, self.digest)?;
        write!(
            f,
            "binary {:.1} MiB, image {:.1} MiB, compressed {:.1} MiB",
            mib(self.binary_bytes),
            mib(self.layer_bytes),
            mib(self.compressed_bytes)
        )
    }
}

/// Builds the image.
///
/// # Errors
/// A file cannot be read or written; the binary has no data of cargo-auditable; the target is not one of Linux on amd64 or arm64.
pub(crate) fn build(arguments: &Arguments) -> anyhow::Result<Built> {
    let read =
        |path: &PathBuf| fs::read(path).with_context(|| format!("reading {}", path.display()));
    let audit = audit_info_from_file(&arguments.binary, auditable_info::Limits::default())
        .with_context(|| {
            format!(
                "{} does not say which crates it is made of: build it by cargo auditable",
                arguments.binary.display()
            )
        })?;
    let root = audit.packages.iter().find(|it| it.root);
    let version = root.context("no crate is the root")?.version.to_string();
    let created = Timestamp::from_second(arguments.created)
        .with_context(|| format!("--created={} is no time", arguments.created))?;
    let toolchain = Toolchain::new(&arguments.rust, &arguments.libc)?;

    let binary = read(&arguments.binary)?;
    let binary_bytes = binary.len() as u64;
    let texts = third_party_licenses(&read(&arguments.crate_licenses)?, &toolchain)?;
    let layer = Layer::new(
        arguments.created,
        vec![
            File::program("azwib-operator", binary),
            File::text("etc/group", "nonroot:x:65532:\n"),
            File::text(
                "etc/passwd",
                "nonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin\n",
            ),
            File::text(format!("{DOC}/LICENSE"), read(&arguments.license)?),
            File::text(format!("{DOC}/THIRD-PARTY-LICENSES"), texts),
            File::text(format!("{DOC}/sbom.cdx.json"), sbom(&audit, &toolchain)?),
        ],
    )?;
    let (layer_bytes, compressed_bytes) = (layer.uncompressed_bytes, layer.blob.len() as u64);
    let description = Description {
        name: arguments.name.clone(),
        version,
        revision: arguments.revision.clone(),
        created,
        architecture: architecture(&arguments.target)?,
        toolchain,
    };
    let layout = Layout::new(&description, layer)?;
    layout.write(&arguments.output)?;
    Ok(Built {
        reference: description.reference(),
        digest: layout.digest().to_owned(),
        binary_bytes,
        layer_bytes,
        compressed_bytes,
    })
}

fn architecture(target: &str) -> anyhow::Result<Arch> {
    match target.split_once("-unknown-linux-") {
        Some(("x86_64", _)) => Ok(Arch::Amd64),
        Some(("aarch64", _)) => Ok(Arch::ARM64),
        _ => bail!(
            "there is no image for {target}: use x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu"
        ),
    }
}
