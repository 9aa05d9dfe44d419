//! The software bill of materials: what cargo-auditable wrote into the binary, as CycloneDX, and what it does not know of.

use std::str::FromStr as _;

use anyhow::{anyhow, bail};
use auditable_cyclonedx::auditable_serde::VersionInfo;
use auditable_cyclonedx::auditable_to_minimal_cdx;
use auditable_cyclonedx::cyclonedx_bom::external_models::uri::Purl;
use auditable_cyclonedx::cyclonedx_bom::models::component::{
    Classification, Component, Components,
};

/// What is linked into the binary beside the crates.
#[derive(Debug)]
pub(crate) struct Toolchain {
    /// Version of Rust, and so of its standard library.
    pub(crate) rust: String,
    libc_name: String,
    libc_version: String,
}

impl Toolchain {
    /// From a version of Rust, and name and version of a C library as `getconf GNU_LIBC_VERSION` has them.
    ///
    /// # Errors
    /// The C library has no version.
    pub(crate) fn new(rust: &str, libc: &str) -> anyhow::Result<Self> {
        let Some((name, version)) = libc.split_once(' ') else {
            bail!("--libc={libc:?} is not a name and a version, such as `glibc 2.36`");
        };
        Ok(Self {
            rust: rust.to_owned(),
            libc_name: name.to_owned(),
            libc_version: version.to_owned(),
        })
    }

    /// Name and version of the C library.
    pub(crate) fn libc(&self) -> String {
        format!("{} {}", self.libc_name, self.libc_version)
    }

    fn components(&self) -> anyhow::Result<[Component; 2]> {
        let component = |name: &str, version: &str| {
            let purl = format!("pkg:generic/{name}@{version}");
            let mut component = Component::new(
                Classification::Library,
                name,
                version,
                Some(name.to_owned()),
            );
            let parsed = Purl::from_str(&purl);
            component.purl = Some(parsed.map_err(|()| anyhow!("{purl} is no package URL"))?);
            anyhow::Ok(component)
        };
        Ok([
            component("rust-std", &self.rust)?,
            component(&self.libc_name, &self.libc_version)?,
        ])
    }
}

/// CycloneDX 1.5 as JSON. It has no time and no serial number, so that two builds give one digest.
///
/// # Errors
/// The toolchain has a version that cannot be part of a package URL.
pub(crate) fn sbom(audit: &VersionInfo, toolchain: &Toolchain) -> anyhow::Result<Vec<u8>> {
    let mut bom = auditable_to_minimal_cdx(audit);
    let components = bom.components.get_or_insert_with(|| Components(Vec::new()));
    components.0.extend(toolchain.components()?);
    let mut json = Vec::new();
    bom.output_as_json_v1_5(&mut json)?;
    json.push(b'\n');
    Ok(json)
}
