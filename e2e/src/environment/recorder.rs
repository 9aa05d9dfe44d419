//! Keeps what the tests saw, for the checks that run after all of them: every status of every binding, every
//! secret that passed the simulator, and what the operator asked the API server for.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use azure_simulator::control::ControlClient;
use futures::{StreamExt, TryStreamExt};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::ControlPlane;
use crate::control_plane::{AuditEvent, AuditTail};

/// Names the folder that records go to; a folder below the build folder when it is not set.
pub const RECORDS_VARIABLE: &str = "AZWIB_E2E_RECORDS";

/// How often the simulator is asked for the secrets it has seen.
const SECRETS_INTERVAL: Duration = Duration::from_millis(250);

/// How often the audit log is read on. What is younger than this is lost when the test's process ends.
const AUDIT_INTERVAL: Duration = Duration::from_millis(250);

/// The user that the operator of an environment is.
pub(super) const OPERATOR: &str = "system:serviceaccount:azwib-system:azwib-operator";

/// How the operator begins the `User-Agent` of its requests.
const OPERATOR_AGENT: &str = "azwib/";

/// The records of one environment.
#[derive(Debug, Clone)]
pub struct Records {
    directory: PathBuf,
}

/// One version of a binding as the API server showed it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SeenBinding {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub generation: i64,
    /// Whether it was being deleted.
    pub terminating: bool,
    pub status: Value,
}

/// A status that a test has written, of the binding with this UID.
#[derive(Debug, Serialize, Deserialize)]
struct ForeignStatus {
    uid: String,
    status: Value,
}

/// Whether authorization let a request of the operator pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Decision {
    Allowed,
    Forbidden,
    /// In an environment whose API server was stopped before. One that starts knows no roles for a moment.
    ForbiddenAfterRestart,
}

/// A kind of request that the operator has made at least once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeenRequest {
    /// As in [`crate::control_plane::AuditEvent::permission`].
    pub permission: String,
    pub decision: Decision,
}

impl Records {
    /// A new folder below the one that [`RECORDS_VARIABLE`] names.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let directory = Self::root()?.join(Uuid::new_v4().to_string());
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("making {}", directory.display()))?;
        Ok(Self { directory })
    }

    /// Records in this folder.
    pub(crate) fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The records of all environments that were started with the same folder.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn all() -> anyhow::Result<Vec<Self>> {
        let root = Self::root()?;
        let entries =
            std::fs::read_dir(&root).with_context(|| format!("reading {}", root.display()))?;
        entries
            .map(|entry| {
                Ok(Self {
                    directory: entry?.path(),
                })
            })
            .collect()
    }

    fn root() -> anyhow::Result<PathBuf> {
        match std::env::var_os(RECORDS_VARIABLE) {
            Some(root) => Ok(root.into()),
            // Beside the test programs: target/<profile>/deps/<test> or target/<profile>/<bin>.
            None => {
                let program = std::env::current_exe()?;
                let target = program
                    .ancestors()
                    .find(|folder| folder.ends_with("target"));
                Ok(target
                    .context("the program is not below a target folder")?
                    .join("e2e-records"))
            }
        }
    }

    /// The folder, which tells one environment from another.
    pub fn name(&self) -> String {
        self.directory.display().to_string()
    }

    /// Where processes of the operator log.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a process of the operator logs.
    pub fn operator_log(&self) -> PathBuf {
        self.directory
            .join(format!("operator-{}.log", Uuid::new_v4()))
    }

    /// Where a collector keeps what the operator has sent it.
    pub fn traces(&self) -> PathBuf {
        self.directory
            .join(format!("traces-{}.otlp", Uuid::new_v4()))
    }

    /// The logs of all processes of the operator, and their traces as they were sent.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn operator_logs(&self) -> anyhow::Result<Vec<PathBuf>> {
        let paths = std::fs::read_dir(&self.directory)?.map(|entry| Ok(entry?.path()));
        let is_log = |path: &Path| {
            let extension = path.extension();
            extension.is_some_and(|it| it == "log" || it == "otlp")
        };
        Ok(paths
            .collect::<anyhow::Result<Vec<_>>>()?
            .into_iter()
            .filter(|path| is_log(path))
            .collect())
    }

    /// Notes a secret that no log may contain.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note_secret(&self, secret: &str) -> anyhow::Result<()> {
        append(&self.secrets_file(), secret)
    }

    /// Every secret that was noted.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn secrets(&self) -> anyhow::Result<BTreeSet<String>> {
        let text = std::fs::read_to_string(self.secrets_file())?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Every version of every binding that was seen, in the order of the watch.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn bindings(&self) -> anyhow::Result<Vec<SeenBinding>> {
        let mut seen: Vec<SeenBinding> = lines(&self.bindings_file())?;
        let foreign = self.foreign_statuses_file();
        if foreign.exists() {
            let foreign: Vec<ForeignStatus> = lines(&foreign)?;
            let is_foreign = |it: &SeenBinding| {
                let mut of_it = foreign.iter().filter(|foreign| foreign.uid == it.uid);
                of_it.any(|foreign| foreign.status == it.status)
            };
            seen.retain(|it| !is_foreign(it));
        }
        Ok(seen)
    }

    /// Notes a status that a test has written in the place of the operator: it need not keep the contract.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note_foreign_status(&self, uid: &str, status: Value) -> anyhow::Result<()> {
        let foreign = ForeignStatus {
            uid: uid.to_owned(),
            status,
        };
        let line = serde_json::to_string(&foreign)?;
        append(&self.foreign_statuses_file(), &line)
    }

    /// Every kind of request that the operator was seen to make; none when no operator ran.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn requests(&self) -> anyhow::Result<BTreeSet<SeenRequest>> {
        let requests: Vec<SeenRequest> = lines(&self.requests_file())?;
        Ok(requests.into_iter().collect())
    }

    /// Where what [`Self::note_secret`] notes is, a line each.
    pub(super) fn secrets_file(&self) -> PathBuf {
        self.directory.join("secrets")
    }

    fn bindings_file(&self) -> PathBuf {
        self.directory.join("bindings.jsonl")
    }

    fn foreign_statuses_file(&self) -> PathBuf {
        self.directory.join("foreign-statuses.jsonl")
    }

    fn requests_file(&self) -> PathBuf {
        self.directory.join("requests.jsonl")
    }

    /// Records until the process ends, on a thread of its own: tests come and go with their runtimes.
    ///
    /// # Errors
    /// The thread cannot be started, or there is no audit log.
    pub fn record(
        &self,
        control_plane: &ControlPlane,
        control: ControlClient,
    ) -> anyhow::Result<()> {
        File::create(self.bindings_file())?;
        File::create(self.requests_file())?;
        let kubeconfig = control_plane.kubeconfig();
        let audit_log = control_plane.audit_tail()?;
        let was_stopped = control_plane.was_stopped();
        let records = self.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || {
                let outcome = runtime.block_on(async {
                    tokio::try_join!(
                        records.watch_bindings(&kubeconfig),
                        records.collect_secrets(&control),
                        records.collect_requests(audit_log, &was_stopped)
                    )
                });
                if let Err(error) = outcome {
                    // The checks after the tests find too few records, and this says why.
                    eprintln!("the recorder has stopped: {error:#}");
                }
            })?;
        Ok(())
    }

    async fn watch_bindings(&self, kubeconfig: &Path) -> anyhow::Result<()> {
        let client = client(kubeconfig).await?;
        let kind = GroupVersionKind::gvk("azwib.dev", "v1alpha1", "WorkloadIdentityBinding");
        let resource = ApiResource::from_gvk_with_plural(&kind, "workloadidentitybindings");
        let bindings: Api<DynamicObject> = Api::all_with(client, &resource);
        let mut seen = watcher(bindings, watcher::Config::default())
            .default_backoff()
            .touched_objects()
            .boxed();
        loop {
            // An API server that a test has stopped comes back.
            let Ok(Some(binding)) = seen.try_next().await else {
                continue;
            };
            let seen = SeenBinding {
                namespace: binding.metadata.namespace.clone().unwrap_or_default(),
                name: binding.metadata.name.clone().unwrap_or_default(),
                uid: binding.metadata.uid.clone().unwrap_or_default(),
                generation: binding.metadata.generation.unwrap_or_default(),
                terminating: binding.meta().deletion_timestamp.is_some(),
                status: binding.data.get("status").cloned().unwrap_or_default(),
            };
            append(&self.bindings_file(), &serde_json::to_string(&seen)?)?;
        }
    }

    async fn collect_secrets(&self, control: &ControlClient) -> anyhow::Result<()> {
        let mut noted = 0;
        loop {
            // The simulator of an environment that is over answers no more.
            let Ok(secrets) = control.secrets().await else {
                return Ok(());
            };
            for secret in secrets.iter().skip(noted) {
                self.note_secret(&secret.value)?;
            }
            noted = secrets.len();
            tokio::time::sleep(SECRETS_INTERVAL).await;
        }
    }

    async fn collect_requests(
        &self,
        mut audit_log: AuditTail,
        was_stopped: &AtomicBool,
    ) -> anyhow::Result<()> {
        let mut seen = BTreeSet::new();
        while !audit_log.is_over() {
            let events = audit_log.read_on()?;
            // Asked only now: whatever came after a stop is known to.
            let was_stopped = was_stopped.load(Ordering::SeqCst);
            for event in events {
                let request = SeenRequest {
                    permission: event.permission(),
                    decision: match (event.is_forbidden(), was_stopped) {
                        (false, _) => Decision::Allowed,
                        (true, false) => Decision::Forbidden,
                        (true, true) => Decision::ForbiddenAfterRestart,
                    },
                };
                if is_of_the_operator(&event) && !seen.contains(&request) {
                    append(&self.requests_file(), &serde_json::to_string(&request)?)?;
                    seen.insert(request);
                }
            }
            tokio::time::sleep(AUDIT_INTERVAL).await;
        }
        Ok(())
    }
}

/// Whether a process of the operator asked, and not a test that uses its token.
fn is_of_the_operator(event: &AuditEvent) -> bool {
    let agent = event.user_agent.as_deref().unwrap_or_default();
    event.user.username == OPERATOR && agent.starts_with(OPERATOR_AGENT)
}

async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?;
    Ok(Client::try_from(config)?)
}

/// The objects of a file that has one in each line.
fn lines<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let text = std::fs::read_to_string(path)?;
    text.lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}

fn append(path: &Path, line: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    // One write call a line: two writers never mix theirs.
    Ok(file.write_all(format!("{line}\n").as_bytes())?)
}
