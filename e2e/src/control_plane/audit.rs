//! The API server's audit log: who did what, in the order of completion.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;

/// Every request, without bodies; only when it is complete. What is written to a Lease is there, too: who led when.
pub(super) const POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1",
  "kind": "Policy",
  "omitStages": ["RequestReceived"],
  "rules": [
    {
      "level": "RequestResponse",
      "verbs": ["create", "update", "patch"],
      "resources": [{ "group": "coordination.k8s.io", "resources": ["leases"] }]
    },
    { "level": "Metadata" }
  ]
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
    /// What a write to a Lease has left there; of all other requests it is not kept.
    pub response_object: Option<Value>,
    /// What authorization and admission noted.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// RFC 3339 with microseconds.
    pub request_received_timestamp: String,
    /// RFC 3339 with microseconds.
    pub stage_timestamp: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct AuditUser {
    /// Empty where the API server did not take the token, as one may that has just started.
    #[serde(default)]
    pub username: String,
    /// What authentication noted besides.
    #[serde(default)]
    pub extra: BTreeMap<String, Vec<String>>,
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

impl AuditEvent {
    /// What was asked for, as a role names it: `verb resource/subresource.group`, or `verb /path` where it is no resource.
    pub fn permission(&self) -> String {
        let resource = self.object_ref.as_ref().and_then(|object| {
            let name = object.resource.as_deref()?;
            let subresource = object.subresource.iter().map(|it| format!("/{it}"));
            let name = std::iter::once(name.to_owned()).chain(subresource);
            let group = object.api_group.as_deref().unwrap_or_default();
            Some(permission(&self.verb, &name.collect::<String>(), group))
        });
        resource.unwrap_or_else(|| {
            let path = self.request_uri.split('?').next().unwrap_or_default();
            format!("{} {path}", self.verb)
        })
    }

    /// Which token of a ServiceAccount was shown: its processes share a user, and each has a token of its own.
    pub fn credential(&self) -> Option<&str> {
        let shown = self
            .user
            .extra
            .get("authentication.kubernetes.io/credential-id")?;
        shown.first().map(String::as_str)
    }

    /// Whether authorization refused it. An answer of 403 alone does not say so: admission gives it too.
    pub fn is_forbidden(&self) -> bool {
        let decision = self.annotations.get("authorization.k8s.io/decision");
        decision.is_some_and(|decision| decision == "forbid")
    }
}

/// A permission in one line; `resource` with its subresource, as in a role.
pub(crate) fn permission(verb: &str, resource: &str, group: &str) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    format!("{verb} {resource}{dot}{group}")
}

/// Reads the log bit by bit while it is written, over restarts of the API server, and to its end once it is deleted.
#[derive(Debug)]
pub(crate) struct AuditTail {
    path: PathBuf,
    file: File,
    /// A line that is not complete yet.
    rest: Vec<u8>,
    is_over: bool,
}

impl AuditTail {
    /// # Errors
    /// There is no log.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self {
            file: File::open(&path)?,
            path,
            rest: Vec::new(),
            is_over: false,
        })
    }

    /// What was logged since the last reading.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn read_on(&mut self) -> io::Result<Vec<AuditEvent>> {
        // Looked at before reading: nothing is written any more to a file that was rotated away or deleted by now.
        let current = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            metadata => Some(metadata?.ino()),
        };
        self.file.read_to_end(&mut self.rest)?;
        match current {
            None => self.is_over = true,
            Some(current) if current != self.file.metadata()?.ino() => {
                self.file = File::open(&self.path)?;
                self.file.read_to_end(&mut self.rest)?;
            }
            Some(_) => {}
        }
        let end = self.rest.iter().rposition(|byte| *byte == b'\n');
        let complete: Vec<u8> = self.rest.drain(..end.map_or(0, |end| end + 1)).collect();
        let lines = complete.split(|byte| *byte == b'\n');
        // An API server that is killed may leave half a line, which the next one goes on from.
        Ok(lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect())
    }

    /// Whether the log was deleted, and all of it is read.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }
}

/// The events so far. A line that is being written just now is left for the next reading.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<AuditEvent>> {
    let mut events = Vec::new();
    for_each(path, |event| events.push(event))?;
    Ok(events)
}

/// The same one by one, for a log that is too large to be held.
pub(super) fn for_each(path: &Path, mut take: impl FnMut(AuditEvent)) -> anyhow::Result<()> {
    for file in files(path)? {
        let mut log = BufReader::new(File::open(&file)?);
        let mut line = String::new();
        while log.read_line(&mut line)? > 0 && line.ends_with('\n') {
            let event = serde_json::from_str(&line);
            take(event.with_context(|| format!("audit log: {line}"))?);
            line.clear();
        }
    }
    Ok(())
}

/// The files of the log, the oldest first: the API server renames one of 100 MB to `audit-<time>.log` and begins another.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (Some(directory), Some(stem)) = (path.parent(), path.file_stem()) else {
        bail!("{} is no file", path.display());
    };
    let older = format!("{}-", stem.to_string_lossy());
    let is_older = |file: &Path| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&older) && name.ends_with(".log")
    };
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .filter(|file| file.as_ref().map_or(true, |file| is_older(file)))
        .collect::<io::Result<Vec<_>>>()?;
    files.sort();
    files.extend(path.exists().then(|| path.to_owned()));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;

    /// A line of the log.
    fn line(uri: &str, object: serde_json::Value) -> String {
        let event = json!({
            "stage": "ResponseComplete", "verb": "get", "requestURI": uri, "user": { "username": "operator" },
            "objectRef": object, "requestReceivedTimestamp": "", "stageTimestamp": "",
        });
        format!("{event}\n")
    }

    fn paths(events: Vec<AuditEvent>) -> Vec<String> {
        events.into_iter().map(|event| event.request_uri).collect()
    }

    #[test]
    fn a_permission_is_named_as_in_a_role() {
        let named = |object| -> String {
            let event: AuditEvent =
                serde_json::from_str(&line("/version?timeout=1s", object)).unwrap();
            event.permission()
        };
        assert_eq!(named(json!({ "resource": "namespaces" })), "get namespaces");
        assert_eq!(
            named(
                json!({ "resource": "bindings", "subresource": "status", "apiGroup": "azwib.dev" })
            ),
            "get bindings/status.azwib.dev"
        );
        assert_eq!(named(json!(null)), "get /version");
    }

    #[test]
    fn a_log_is_read_once_over_half_lines_a_rotation_and_its_deletion() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let (first, second) = (line("/1", json!(null)), line("/2", json!(null)));
        let (begin, end) = second.split_at(20);
        let mut log = File::create(&path).unwrap();
        let mut tail = AuditTail::open(path.clone()).unwrap();
        assert!(tail.read_on().unwrap().is_empty());

        write!(log, "{first}{begin}").unwrap();
        assert_eq!(paths(tail.read_on().unwrap()), ["/1"]);
        write!(log, "{end}").unwrap();
        assert_eq!(paths(tail.read_on().unwrap()), ["/2"]);
        assert!(tail.read_on().unwrap().is_empty());

        // Killed in the middle of a line, and started again.
        write!(log, "{begin}{first}{second}").unwrap();
        assert_eq!(paths(tail.read_on().unwrap()), ["/2"]);

        write!(log, "{first}").unwrap();
        fs::rename(&path, folder.path().join("audit-old.log")).unwrap();
        fs::write(&path, &second).unwrap();
        assert_eq!(paths(tail.read_on().unwrap()), ["/1", "/2"]);

        let mut log = File::options().append(true).open(&path).unwrap();
        write!(log, "{first}").unwrap();
        assert!(!tail.is_over());
        fs::remove_file(&path).unwrap();
        assert_eq!(paths(tail.read_on().unwrap()), ["/1"]);
        assert!(tail.is_over());
    }

    #[test]
    fn the_log_is_read_over_its_rotated_files_without_the_line_that_is_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        assert!(read(&path).unwrap().is_empty());

        let file = |name: &str, content: String| fs::write(folder.path().join(name), content);
        let lines = |paths: [&str; 2]| paths.map(|it| line(it, json!(null))).concat();
        file("audit-2026-01-02T03-04-06.000.log", lines(["/3", "/4"])).unwrap();
        file("audit-2026-01-02T03-04-05.000.log", lines(["/1", "/2"])).unwrap();
        file("audit-policy.yaml", POLICY.to_owned()).unwrap();
        file("audit.log", lines(["/5", "/6"]) + "{\"stage\"").unwrap();
        assert_eq!(
            paths(read(&path).unwrap()),
            ["/1", "/2", "/3", "/4", "/5", "/6"]
        );
    }
}
