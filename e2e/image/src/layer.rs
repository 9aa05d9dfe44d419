//! The one layer of the image: a tar archive in which nothing depends on the machine or the moment.

use std::collections::BTreeSet;
use std::path::Path;

use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

/// A file of the image. Root owns it, and everybody may read it.
#[derive(Debug)]
pub(crate) struct File {
    path: String,
    mode: u32,
    content: Vec<u8>,
}

impl File {
    pub(crate) fn program(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            mode: 0o755,
            content: content.into(),
        }
    }

    pub(crate) fn text(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            mode: 0o644,
            content: content.into(),
        }
    }
}

/// A compressed layer.
#[derive(Debug)]
pub(crate) struct Layer {
    /// The archive, compressed by gzip, which every container runtime reads.
    pub(crate) blob: Vec<u8>,
    /// SHA-256 of the archive before it was compressed, in hexadecimal digits.
    pub(crate) uncompressed_sha256: String,
    /// The size of the archive before it was compressed.
    pub(crate) uncompressed_bytes: u64,
}

impl Layer {
    /// The folders of these files, then the files, in the order of their names. All carry this time, in seconds since 1970.
    ///
    /// # Errors
    /// A path is too long for the tar format.
    pub(crate) fn new(time: i64, mut files: Vec<File>) -> anyhow::Result<Self> {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut archive = tar::Builder::new(Vec::new());
        for folder in folders(&files) {
            let mut header = header(time, EntryType::Directory, 0o755);
            archive.append_data(&mut header, folder, &[][..])?;
        }
        for file in &files {
            let mut header = header(time, EntryType::Regular, file.mode);
            header.set_size(file.content.len() as u64);
            archive.append_data(&mut header, &file.path, &file.content[..])?;
        }
        let archive = archive.into_inner()?;
        Ok(Self {
            blob: compressed(&archive)?,
            uncompressed_sha256: sha256(&archive),
            uncompressed_bytes: archive.len() as u64,
        })
    }
}

/// All folders above these files, each of them after the one that it is in.
fn folders(files: &[File]) -> BTreeSet<String> {
    let above = |file: &File| {
        let ancestors = Path::new(&file.path).ancestors().skip(1);
        let named = ancestors.map(|it| format!("{}/", it.display()));
        named.filter(|it| it != "/").collect::<Vec<_>>()
    };
    files.iter().flat_map(above).collect()
}

/// Of root, at this time.
fn header(time: i64, kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(time.unsigned_abs());
    header.set_size(0);
    header
}

/// By gzip, whose header is to name neither a time nor a file.
fn compressed(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let gzip = GzBuilder::new().mtime(0);
    let mut encoder = gzip.write(Vec::new(), Compression::best());
    std::io::Write::write_all(&mut encoder, content)?;
    encoder.finish()
}

/// In hexadecimal digits.
pub(crate) fn sha256(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
