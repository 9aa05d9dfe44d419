//! What the binary says it is made of, against what cargo has made it of.

use std::collections::BTreeSet;
use std::fs;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context;

use auditable_cyclonedx::auditable_serde::Source;
use azwib_e2e::environment::repository;
use cargo_lock::Lockfile;
use cargo_metadata::Message;
use serde_json::Value;

use crate::folder;
use crate::unpacked::{BINARY, Image};

/// What is linked in besides crates.
const TOOLCHAIN: [&str; 2] = ["rust-std", "glibc"];

/// The largest JSON that is taken from the binary, in bytes.
const LIMIT: usize = 8 << 20;

/// The crates that cargo has compiled for the operator, by its own account: names and versions.
fn compiled(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let told = folder.with_file_name(target).join("image/compiled.json");
    let told = fs::File::open(&told).with_context(|| told.display().to_string())?;
    let mut compiled = BTreeSet::new();
    for message in Message::parse_stream(BufReader::new(told)) {
        if let Message::CompilerArtifact(artifact) = message? {
            let (_, name) = artifact
                .package_id
                .repr
                .rsplit_once('#')
                .context("no name")?;
            let (name, version) = name
                .split_once('@')
                .unwrap_or((&artifact.target.name, name));
            compiled.insert(format!("{name} {version}"));
        }
    }
    Ok(compiled)
}

#[test]
fn the_binary_names_every_crate_that_it_is_made_of_and_no_other() -> anyhow::Result<()> {
    let Some(folder) = folder() else {
        return Ok(());
    };
    let binary = Image::read(&folder)?.file(BINARY)?;
    let audit = auditable_info::audit_info_from_slice(&binary, LIMIT)?;
    let packages = audit.packages.iter();
    let said: BTreeSet<_> = packages
        .map(|it| format!("{} {}", it.name, it.version))
        .collect();
    let compiled = compiled(&folder)?;
    let missing: Vec<_> = compiled.difference(&said).collect();
    let more: Vec<_> = said.difference(&compiled).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "missing: {missing:?}, more: {more:?}"
    );

    let lock = Lockfile::load(repository().join("Cargo.lock"))?;
    for package in &audit.packages {
        let locked = lock
            .packages
            .iter()
            .find(|it| it.name.as_str() == package.name && it.version == package.version);
        let locked = locked.unwrap_or_else(|| panic!("not in Cargo.lock: {package:?}"));
        let is_from_crates_io = locked
            .source
            .as_ref()
            .is_some_and(|it| it.is_default_registry());
        assert_eq!(
            package.source == Source::CratesIo,
            is_from_crates_io,
            "{package:?}"
        );
    }
    Ok(())
}

#[test]
fn the_bill_of_materials_in_the_image_says_the_same_and_what_is_no_crate() -> anyhow::Result<()> {
    let Some(folder) = folder() else {
        return Ok(());
    };
    let image = Image::read(&folder)?;
    let audit = auditable_info::audit_info_from_slice(&image.file(BINARY)?, LIMIT)?;
    let bill: Value = serde_json::from_slice(&image.file("usr/share/doc/azwib/sbom.cdx.json")?)?;
    assert_eq!(bill["bomFormat"], "CycloneDX");
    assert_eq!(bill["metadata"]["component"]["name"], BINARY);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let components = bill["components"].as_array().unwrap().iter();
    let (linked, crates): (Vec<_>, Vec<_>) = components
        .map(|it| (text(&it["name"]), text(&it["version"])))
        .partition(|(name, _)| TOOLCHAIN.contains(&name.as_str()));
    let expected = audit.packages.iter().filter(|it| !it.root);
    let expected: BTreeSet<_> = expected
        .map(|it| (it.name.clone(), it.version.to_string()))
        .collect();
    assert_eq!(crates.into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(linked.len(), TOOLCHAIN.len(), "{linked:?}");
    Ok(())
}
