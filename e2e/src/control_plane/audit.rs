//! The API server's audit log: who did what, in the order of completion.

use std::{fs, io, path::Path};

use anyhow::Context;
use serde::Deserialize;

/// Every request, without bodies; only when it is complete.
pub(super) const POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1",
  "kind": "Policy",
  "omitStages": ["RequestReceived"],
  "rules": [{ "level": "Metadata" }]
}
"#;

/// One request (`audit.k8s.io/v1` Event, the fields that tests look at).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// `ResponseStarted` (a watch begins), `ResponseComplete` or `Panic`.
    pub stage: String,
    /// get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: String,
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    pub user: AuditUser,
    pub user_agent: Option<String>,
    pub object_ref: Option<AuditObject>,
    pub response_status: Option<AuditStatus>,
    /// RFC 3339 with microseconds.
    pub request_received_timestamp: String,
    /// RFC 3339 with microseconds.
    pub stage_timestamp: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct AuditUser {
    pub username: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditObject {
    pub api_group: Option<String>,
    pub resource: Option<String>,
    pub subresource: Option<String>,
    pub namespace: Option<String>,
    /// Absent for lists, and for creations that leave the name to the server.
    pub name: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct AuditStatus {
    pub code: Option<u16>,
}

/// The events so far. A line that is being written just now is left for the next reading.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<AuditEvent>> {
    let content = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.with_context(|| path.display().to_string())?,
    };
    let complete = content.rfind('\n').map_or("", |end| &content[..end]);
    complete
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("audit log: {line}")))
        .collect()
}
