//! An OCI image layout, read as a container runtime reads it: every digest is checked on the way.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use flate2::read::GzDecoder;
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest};
use sha2::{Digest as _, Sha256};

/// Where the binary lies in the image.
pub(crate) const BINARY: &str = "azwib-operator";

/// An image of one layer.
#[derive(Debug)]
pub(crate) struct Image {
    folder: PathBuf,
    pub(crate) descriptor: Descriptor,
    pub(crate) manifest: ImageManifest,
    pub(crate) config: ImageConfiguration,
    /// The archive of its layer, as large as it is unpacked.
    pub(crate) layer: Vec<u8>,
}

impl Image {
    /// Reads the one image of the layout in this folder.
    ///
    /// # Errors
    /// A file is missing, has another digest than it should, or there is not just one image of one layer.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let layout = folder.join("oci");
        let index = ImageIndex::from_file(layout.join("index.json"))?;
        let [descriptor] = &index.manifests()[..] else {
            anyhow::bail!("not just one image: {index:?}");
        };
        let manifest = blob(&layout, descriptor)?;
        let manifest = ImageManifest::from_reader(&manifest[..])?;
        let config = blob(&layout, manifest.config())?;
        let config = ImageConfiguration::from_reader(&config[..])?;
        let [layer] = &manifest.layers()[..] else {
            anyhow::bail!("not just one layer: {manifest:?}");
        };
        let mut archive = Vec::new();
        GzDecoder::new(&blob(&layout, layer)?[..]).read_to_end(&mut archive)?;
        let digest = format!("sha256:{}", sha256(&archive));
        ensure!(*config.rootfs().diff_ids() == [digest], "{config:?}");
        Ok(Self {
            folder: folder.to_owned(),
            descriptor: descriptor.clone(),
            manifest,
            config,
            layer: archive,
        })
    }

    /// Unpacks the image to a new folder, which goes when this is dropped.
    ///
    /// # Errors
    /// The disk is full.
    pub(crate) fn unpack(&self) -> anyhow::Result<tempfile::TempDir> {
        // Beside the image, since a temporary folder may be on a disk from which nothing may be run.
        let root = tempfile::Builder::new()
            .prefix("root-")
            .tempdir_in(&self.folder)?;
        tar::Archive::new(&self.layer[..]).unpack(root.path())?;
        Ok(root)
    }

    /// A file of the image.
    ///
    /// # Errors
    /// There is no such file.
    pub(crate) fn file(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        for entry in tar::Archive::new(&self.layer[..]).entries()? {
            let mut entry = entry?;
            if entry.path()? == Path::new(path) {
                let mut content = Vec::new();
                entry.read_to_end(&mut content)?;
                return Ok(content);
            }
        }
        anyhow::bail!("the image has no {path}")
    }
}

fn blob(layout: &Path, descriptor: &Descriptor) -> anyhow::Result<Vec<u8>> {
    let digest = descriptor.digest().digest();
    let path = layout.join("blobs/sha256").join(digest);
    let content = fs::read(&path).with_context(|| path.display().to_string())?;
    ensure!(sha256(&content) == digest, "{digest} is another digest");
    ensure!(content.len() as u64 == descriptor.size(), "{descriptor:?}");
    Ok(content)
}

pub(crate) fn sha256(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
