//! Kubeconfig files: one cluster, one user with a bearer token.

use std::io::Write;
use std::{fs, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::Context;
use serde_json::json;

/// Where a cluster is and how to trust it.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) server: String,
    /// Path of the certificate authority, PEM.
    pub(super) ca_file: String,
}

impl Cluster {
    /// Writes a kubeconfig that only its owner can read.
    pub(super) fn write_kubeconfig(
        &self,
        path: &Path,
        user: &str,
        token: &str,
    ) -> anyhow::Result<()> {
        // JSON is YAML.
        let content = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "local", "cluster": { "server": self.server, "certificate-authority": self.ca_file } }],
            "users": [{ "name": user, "user": { "token": token } }],
            "contexts": [{ "name": "local", "context": { "cluster": "local", "user": user } }],
            "current-context": "local",
        });
        write_private(path, &serde_json::to_string_pretty(&content)?)
    }
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, content: &str) -> anyhow::Result<()> {
    let open = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path);
    open.and_then(|mut file| file.write_all(content.as_bytes()))
        .with_context(|| path.display().to_string())
}
