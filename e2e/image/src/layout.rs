//! The OCI image layout: <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::{fs, io};

use anyhow::Context;
use jiff::Timestamp;
use oci_spec::image::{
    ANNOTATION_CREATED, ANNOTATION_DESCRIPTION, ANNOTATION_DOCUMENTATION, ANNOTATION_LICENSES,
    ANNOTATION_REF_NAME, ANNOTATION_REVISION, ANNOTATION_SOURCE, ANNOTATION_TITLE,
    ANNOTATION_VERSION, Arch, ConfigBuilder, Descriptor, HistoryBuilder, ImageConfiguration,
    ImageConfigurationBuilder, ImageIndexBuilder, ImageManifest, ImageManifestBuilder, MediaType,
    OciLayoutBuilder, Os, PlatformBuilder, RootFsBuilder, SCHEMA_VERSION, Sha256Digest,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::layer::{Layer, sha256};
use crate::sbom::Toolchain;

const REPOSITORY: &str = "https://github.com/azwib/azwib";

/// Uid and gid of the operator, as numbers: a kubelet can tell only by a number that a user is not root (`runAsNonRoot`).
const USER: &str = "65532:65532";

/// By what containerd names an image that it imports.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// What the image says about itself.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) revision: String,
    pub(crate) created: Timestamp,
    pub(crate) architecture: Arch,
    pub(crate) toolchain: Toolchain,
}

impl Description {
    /// Name and tag.
    pub(crate) fn reference(&self) -> String {
        format!("{}:{}", self.name, self.version)
    }

    /// The labels of the image. Its manifest has the same as annotations: which of them a tool shows differs.
    fn labels(&self) -> HashMap<String, String> {
        let labels = [
            (ANNOTATION_TITLE, "azwib-operator".to_owned()),
            (
                ANNOTATION_DESCRIPTION,
                "Makes Azure workload identity federation declarative on any Kubernetes cluster"
                    .to_owned(),
            ),
            (ANNOTATION_VERSION, self.version.clone()),
            (ANNOTATION_REVISION, self.revision.clone()),
            (ANNOTATION_SOURCE, REPOSITORY.to_owned()),
            (
                ANNOTATION_DOCUMENTATION,
                format!("{REPOSITORY}/blob/main/docs/image.md"),
            ),
            (ANNOTATION_LICENSES, "Apache-2.0".to_owned()),
            (ANNOTATION_CREATED, self.created.to_string()),
            ("dev.azwib.rust", self.toolchain.rust.clone()),
            ("dev.azwib.libc", self.toolchain.libc()),
        ];
        labels
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// A whole layout: paths in it, and what lies there.
#[derive(Debug)]
pub(crate) struct Layout {
    files: BTreeMap<String, Vec<u8>>,
    digest: String,
    /// What `docker load` reads of the archive.
    docker_manifest: Vec<u8>,
}

impl Layout {
    /// One image of one layer.
    ///
    /// # Errors
    /// A part of the description is nothing that the specification knows.
    pub(crate) fn new(description: &Description, layer: Layer) -> anyhow::Result<Self> {
        let mut layout = Self {
            files: BTreeMap::new(),
            digest: String::new(),
            docker_manifest: Vec::new(),
        };
        let config = json(&configuration(description, &layer)?)?;
        let config = layout.add(MediaType::ImageConfig, config)?;
        let layer = layout.add(MediaType::ImageLayerGzip, layer.blob)?;
        let manifest = manifest(description, config.clone(), layer.clone())?;
        let mut image = layout.add(MediaType::ImageManifest, json(&manifest)?)?;
        layout.digest = image.digest().to_string();

        let platform = PlatformBuilder::default()
            .os(Os::Linux)
            .architecture(description.architecture.clone());
        image.set_platform(Some(platform.build()?));
        image.set_annotations(Some(HashMap::from([
            (ANNOTATION_REF_NAME.to_owned(), description.version.clone()),
            (CONTAINERD_NAME.to_owned(), description.reference()),
        ])));
        let index = ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageIndex)
            .manifests(vec![image])
            .build()?;
        layout.files.insert("index.json".to_owned(), json(&index)?);
        let version = OciLayoutBuilder::default().image_layout_version("1.0.0");
        let version = json(&version.build()?)?;
        layout.files.insert("oci-layout".to_owned(), version);
        layout.docker_manifest = json(&json!([{
            "Config": path_of(&config),
            "RepoTags": [description.reference()],
            "Layers": [path_of(&layer)],
        }]))?;
        Ok(layout)
    }

    /// Takes a blob in.
    fn add(&mut self, kind: MediaType, blob: Vec<u8>) -> anyhow::Result<Descriptor> {
        let digest: Sha256Digest = sha256(&blob).parse()?;
        let descriptor = Descriptor::new(kind, blob.len() as u64, digest);
        self.files.insert(path_of(&descriptor), blob);
        Ok(descriptor)
    }

    /// By what a registry and a Deployment name the image: the digest of its manifest.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Writes the layout `oci`, the archive `azwib-operator.tar` and the file `digest`, and removes what was there before.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", folder.display()));
            }
            _ => {}
        }
        let oci = folder.join("oci");
        for (path, content) in &self.files {
            write(&oci.join(path), content)?;
        }
        write(&folder.join("azwib-operator.tar"), &self.archive()?)?;
        write(
            &folder.join("digest"),
            format!("{}\n", self.digest).as_bytes(),
        )
    }

    /// The layout as an archive, with the file beside it that makes it one of `docker save`.
    fn archive(&self) -> io::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        let docker = ("manifest.json".to_owned(), self.docker_manifest.clone());
        for (path, content) in self.files.iter().chain([(&docker.0, &docker.1)]) {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, &content[..])?;
        }
        archive.into_inner()
    }
}

fn path_of(descriptor: &Descriptor) -> String {
    format!("blobs/sha256/{}", descriptor.digest().digest())
}

fn configuration(description: &Description, layer: &Layer) -> anyhow::Result<ImageConfiguration> {
    let config = ConfigBuilder::default()
        .user(USER)
        .entrypoint(["/azwib-operator".to_owned()])
        .working_dir("/")
        .labels(description.labels());
    let root = RootFsBuilder::default()
        .typ("layers")
        .diff_ids([format!("sha256:{}", layer.uncompressed_sha256)]);
    let history = HistoryBuilder::default()
        .created(description.created.to_string())
        .created_by("make image");
    let configuration = ImageConfigurationBuilder::default()
        .created(description.created.to_string())
        .os(Os::Linux)
        .architecture(description.architecture.clone())
        .config(config.build()?)
        .rootfs(root.build()?)
        .history([history.build()?]);
    Ok(configuration.build()?)
}

fn manifest(
    description: &Description,
    config: Descriptor,
    layer: Descriptor,
) -> anyhow::Result<ImageManifest> {
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(vec![layer])
        .annotations(description.labels());
    Ok(manifest.build()?)
}

/// Its JSON with the names in their order: those of a hash map come in another one each time.
fn json(value: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    let mut value: Value = serde_json::to_value(value)?;
    value.sort_all_objects();
    Ok(serde_json::to_vec(&value)?)
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("no folder")?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, content))
        .with_context(|| format!("writing {}", path.display()))
}
