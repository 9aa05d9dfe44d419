//! What is in the image, and what it says about itself.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;

use auditable_cyclonedx::auditable_serde::Source;
use azwib_e2e::environment::repository;

use crate::folder;
use crate::unpacked::{BINARY, Image, sha256};

/// The most that the binary, the unpacked and the compressed image may have, in bytes.
const LIMIT: usize = 25 << 20;

/// Roots that Azure's certificates come from: <https://learn.microsoft.com/azure/security/fundamentals/azure-certificate-authority-details>.
const ROOTS_OF_AZURE: [&str; 3] = [
    "DigiCert Global Root G2",
    "DigiCert Global Root G3",
    "Microsoft RSA Root Certificate Authority 2017",
];

fn contains(content: &[u8], text: &str) -> bool {
    content.windows(text.len()).any(|it| it == text.as_bytes())
}

#[test]
fn the_image_runs_the_operator_as_a_user_by_number_and_says_where_it_is_from() -> anyhow::Result<()>
{
    let Some(folder) = folder() else {
        return Ok(());
    };
    let image = Image::read(&folder)?;
    let config = image.config.config().as_ref().unwrap();
    assert_eq!(config.user().as_deref(), Some("65532:65532"));
    let entrypoint = ["/azwib-operator".to_owned()];
    assert_eq!(config.entrypoint().as_deref(), Some(&entrypoint[..]));
    assert_eq!(image.config.os().to_string(), "linux");
    let expected = if cfg!(target_arch = "x86_64") {
        "amd64"
    } else {
        "arm64"
    };
    assert_eq!(image.config.architecture().to_string(), expected);

    let labels = config.labels().as_ref().unwrap();
    assert_eq!(image.manifest.annotations().as_ref(), Some(labels));
    let label = |name: &str| labels[&format!("org.opencontainers.image.{name}")].clone();
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("title"), BINARY);
    assert_eq!(label("licenses"), "Apache-2.0");
    assert_eq!(Some(label("created")), image.config.created().clone());
    assert!(label("source").starts_with("https://"), "{labels:?}");
    let revision = label("revision");
    let commit = revision.strip_suffix("-dirty").unwrap_or(&revision);
    assert!(
        commit.len() == 40 && commit.bytes().all(|it| it.is_ascii_hexdigit()),
        "{revision}"
    );

    let digest = fs::read_to_string(folder.join("digest"))?;
    assert_eq!(digest.trim_end(), image.descriptor.digest().to_string());
    let name = &image.descriptor.annotations().as_ref().unwrap()["io.containerd.image.name"];
    let deployment = fs::read_to_string(repository().join("config/manager/deployment.yaml"))?;
    assert!(deployment.contains(&format!("image: {name}\n")), "{name}");
    Ok(())
}

#[test]
fn there_is_nothing_in_the_image_but_the_operator_its_user_and_texts() -> anyhow::Result<()> {
    let Some(folder) = folder() else {
        return Ok(());
    };
    let image = Image::read(&folder)?;
    let mut found = Vec::new();
    for entry in tar::Archive::new(&image.layer[..]).entries()? {
        let entry = entry?;
        let header = entry.header();
        let path = entry.path()?.to_string_lossy().into_owned();
        assert_eq!((header.uid()?, header.gid()?), (0, 0), "{path}");
        found.push(format!("{:o} {path}", header.mode()?));
    }
    let expected = [
        "755 etc/",
        "755 usr/",
        "755 usr/share/",
        "755 usr/share/doc/",
        "755 usr/share/doc/azwib/",
        "755 azwib-operator",
        "644 etc/group",
        "644 etc/passwd",
        "644 usr/share/doc/azwib/LICENSE",
        "644 usr/share/doc/azwib/THIRD-PARTY-LICENSES",
        "644 usr/share/doc/azwib/sbom.cdx.json",
    ];
    assert_eq!(found, expected);
    let compressed = image.manifest.layers()[0].size();
    for bytes in [
        image.file(BINARY)?.len(),
        image.layer.len(),
        usize::try_from(compressed)?,
    ] {
        assert!(bytes < LIMIT, "{bytes} bytes");
    }
    Ok(())
}

#[test]
fn the_binary_has_the_roots_of_azure_and_no_path_of_the_machine_that_built_it() -> anyhow::Result<()>
{
    let Some(folder) = folder() else {
        return Ok(());
    };
    let binary = Image::read(&folder)?.file(BINARY)?;
    for root in ROOTS_OF_AZURE {
        assert!(contains(&binary, root), "{root}");
    }
    let home = std::env::var("HOME")?;
    for path in [home, repository().to_string_lossy().into_owned()] {
        assert!(
            path.len() > 1 && !contains(&binary, &format!("{path}/")),
            "{path}"
        );
    }
    Ok(())
}

#[test]
fn the_licences_of_all_that_is_linked_in_are_there() -> anyhow::Result<()> {
    let Some(folder) = folder() else {
        return Ok(());
    };
    let image = Image::read(&folder)?;
    let own = fs::read(repository().join("LICENSE"))?;
    assert_eq!(image.file("usr/share/doc/azwib/LICENSE")?, own);
    let texts = image.file("usr/share/doc/azwib/THIRD-PARTY-LICENSES")?;
    let texts = String::from_utf8(texts)?;
    let audit = auditable_info::audit_info_from_slice(&image.file(BINARY)?, 8 << 20)?;
    for package in &audit.packages {
        let is_ours = matches!(package.source, Source::Local);
        let line = format!("- {} {}\n", package.name, package.version);
        assert!(is_ours || texts.contains(&line), "{line}");
    }
    for words in [
        "GNU LESSER GENERAL PUBLIC LICENSE",
        "Brian Smith", // ring
    ] {
        assert!(texts.contains(words), "{words}");
    }
    // jemalloc is in the operator on this processor only.
    assert_eq!(texts.contains("Jason Evans"), cfg!(target_arch = "x86_64"));
    Ok(())
}

#[test]
fn the_archive_is_the_layout_and_what_docker_load_asks_for() -> anyhow::Result<()> {
    let Some(folder) = folder() else {
        return Ok(());
    };
    let mut archived = BTreeMap::new();
    let archive = fs::File::open(folder.join("azwib-operator.tar"))?;
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        archived.insert(path, content);
    }
    let docker = archived.remove("manifest.json").unwrap();
    let docker: serde_json::Value = serde_json::from_slice(&docker)?;
    let layer = docker[0]["Layers"][0].as_str().unwrap();
    assert!(layer.ends_with(&sha256(&archived[layer])), "{docker}");
    let config = &archived[docker[0]["Config"].as_str().unwrap()];
    let config = oci_spec::image::ImageConfiguration::from_reader(&config[..])?;
    assert_eq!(config, Image::read(&folder)?.config);
    assert_eq!(archived.len(), 5, "{:?}", archived.keys());
    for (path, content) in archived {
        assert_eq!(fs::read(folder.join("oci").join(&path))?, content, "{path}");
    }
    Ok(())
}
