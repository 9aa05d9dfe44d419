//! A real Kubernetes control plane on loopback: etcd, kube-apiserver with RBAC and an audit log, kube-controller-manager.
//! There is no kubelet: pods are admitted but do not run, unless a node is added (`crate::pods`).

mod audit;
mod components;
mod kubeconfig;
mod options;
mod port;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::{sync::Mutex, task::spawn_blocking};
use uuid::Uuid;

pub use self::audit::{AuditEvent, AuditObject, AuditStatus, AuditUser};
pub(crate) use self::audit::{AuditTail, permission};
pub(crate) use self::kubeconfig::write_private;
pub use self::options::ControlPlaneOptions;
use self::{components::Layout, port::ReservedPort};
use crate::{
    assets,
    supervisor::{Command, Process, Supervisor},
    wait::until,
};

/// Three seconds are usual; a machine that compiles on all cores at once takes a multiple.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Lifetime of the tokens that the harness asks for, in seconds: longer than any test.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

/// A running control plane. All of it is gone when this is dropped, or the process ends.
#[derive(Debug)]
pub struct ControlPlane {
    layout: Layout,
    /// Locked while the API server is stopped or started.
    api_server: Mutex<Process>,
    /// Whether the API server was ever stopped.
    was_stopped: Arc<AtomicBool>,
    port: ReservedPort,
    supervisor: Supervisor,
}

impl ControlPlane {
    /// Starts a control plane and waits until it is ready: about three seconds, minutes when the programs are to be built
    /// first (see [`assets::control_plane`]).
    ///
    /// # Errors
    /// A program cannot be built or started, ends, or is not ready in time: with the end of its log.
    pub async fn start(options: ControlPlaneOptions) -> anyhow::Result<Self> {
        let assets = spawn_blocking(assets::control_plane).await??;
        let supervisor = Supervisor::start()?;
        let port = ReservedPort::new()?;
        let layout = Layout::write(supervisor.directory(), assets, &options, port.number())?;
        let etcd = supervisor.spawn(layout.etcd()).await?;
        let api_server = supervisor.spawn(layout.api_server(None)).await?;
        let client = client(&layout.admin_kubeconfig()).await?;
        await_api_server(&client, &[&etcd, &api_server]).await?;
        if let Some(crds) = &options.crds {
            let folder = crds.to_string_lossy();
            kubectl(&supervisor, &layout, &["apply", "-k", &folder], None).await?;
        }
        let controller_manager = supervisor.spawn(layout.controller_manager()).await?;
        await_controllers(&client, &[&etcd, &api_server, &controller_manager]).await?;
        Ok(Self {
            layout,
            api_server: Mutex::new(api_server),
            was_stopped: Arc::default(),
            port,
            supervisor,
        })
    }

    /// The environment's temporary directory: logs, kubeconfigs, room for a test's own files.
    pub fn directory(&self) -> &Path {
        self.supervisor.directory()
    }

    /// The supervisor that the control plane runs below, for further processes of the same environment.
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// A kubeconfig for a user in `system:masters`.
    pub fn kubeconfig(&self) -> PathBuf {
        self.layout.admin_kubeconfig()
    }

    /// The port of the API server on the loopback interface.
    pub(crate) fn api_server_port(&self) -> u16 {
        self.port.number()
    }

    /// A new client of a user in `system:masters`, for the runtime that this is called on: a client works only on its own.
    ///
    /// # Errors
    /// The kubeconfig cannot be read.
    pub async fn client(&self) -> anyhow::Result<Client> {
        client(&self.kubeconfig()).await
    }

    /// A new client of a ServiceAccount that exists: what its RBAC allows and no more.
    ///
    /// # Errors
    /// As for [`Self::kubeconfig_for_service_account`].
    pub async fn client_for_service_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> anyhow::Result<Client> {
        client(&self.kubeconfig_for_service_account(namespace, name).await?).await
    }

    /// A kubeconfig with a token of a ServiceAccount that exists; valid for 24 hours.
    ///
    /// # Errors
    /// The account does not exist, or the API server does not answer.
    pub async fn kubeconfig_for_service_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> anyhow::Result<PathBuf> {
        let token = self.service_account_token(namespace, name, &[]).await?;
        let path = self
            .layout
            .file(&format!("{namespace}.{name}.{}.kubeconfig", Uuid::new_v4()));
        self.layout
            .cluster()
            .write_kubeconfig(&path, name, &token)?;
        Ok(path)
    }

    /// A file with a token of a ServiceAccount that exists, for the given audience; valid for 24 hours. It stands for the
    /// projected volume that a kubelet would fill.
    ///
    /// # Errors
    /// As for [`Self::kubeconfig_for_service_account`].
    pub async fn token_file_for_service_account(
        &self,
        namespace: &str,
        name: &str,
        audience: &str,
    ) -> anyhow::Result<PathBuf> {
        let token = self
            .service_account_token(namespace, name, &[audience])
            .await?;
        let path = self
            .layout
            .file(&format!("{namespace}.{name}.{}.token", Uuid::new_v4()));
        write_private(&path, &token)?;
        Ok(path)
    }

    async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        audiences: &[&str],
    ) -> anyhow::Result<String> {
        let audiences = audiences.iter().map(ToString::to_string).collect();
        request_token(
            &self.client().await?,
            namespace,
            name,
            audiences,
            TOKEN_SECONDS,
            None,
        )
        .await
    }

    /// Runs kubectl as a user in `system:masters` and gives its standard output.
    ///
    /// # Errors
    /// It ends with another exit code than 0: with its standard error.
    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        self.run_kubectl(args, None).await
    }

    /// `kubectl apply -f -` of the given manifest.
    ///
    /// # Errors
    /// As for [`Self::kubectl`].
    pub async fn apply(&self, manifest: &str) -> anyhow::Result<String> {
        let file = self
            .layout
            .file(&format!("manifest-{}.yaml", Uuid::new_v4()));
        write_private(&file, manifest)?;
        let output = self
            .run_kubectl(&["apply", "-f", "-"], Some(file.clone()))
            .await;
        fs::remove_file(file)?;
        output
    }

    async fn run_kubectl(&self, args: &[&str], stdin: Option<PathBuf>) -> anyhow::Result<String> {
        kubectl(&self.supervisor, &self.layout, args, stdin).await
    }

    /// Ends the API server at once, as an outage does: connections break, new ones are refused.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub async fn stop_api_server(&self) -> anyhow::Result<()> {
        self.was_stopped.store(true, Ordering::SeqCst);
        self.api_server.lock().await.kill().await?;
        Ok(())
    }

    /// Starts the API server again, on the same address, and waits until it is ready.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub async fn start_api_server(&self) -> anyhow::Result<()> {
        self.start_issuing(None).await
    }

    /// Starts the API server again so that its tokens carry another issuer from now on; those of the one that it had are still
    /// taken. One that is no https URL leaves it without a discovery document.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub async fn start_api_server_issuing(&self, issuer: &str) -> anyhow::Result<()> {
        self.start_issuing(Some(issuer)).await
    }

    async fn start_issuing(&self, issuer: Option<&str>) -> anyhow::Result<()> {
        let mut api_server = self.api_server.lock().await;
        let command = self.layout.api_server(issuer);
        *api_server = self.supervisor.spawn(command).await?;
        await_api_server(&self.client().await?, &[&api_server]).await
    }

    /// Every request that the API server has answered so far, without bodies.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn audit_log(&self) -> anyhow::Result<Vec<AuditEvent>> {
        audit::read(&self.layout.audit_log())
    }

    /// The same one by one, for a log that is too large to be held.
    ///
    /// # Errors
    /// As for [`Self::audit_log`].
    pub fn for_each_audited(&self, take: impl FnMut(AuditEvent)) -> anyhow::Result<()> {
        audit::for_each(&self.layout.audit_log(), take)
    }

    /// The same, for somebody who reads on while requests come.
    pub(crate) fn audit_tail(&self) -> anyhow::Result<AuditTail> {
        Ok(AuditTail::open(self.layout.audit_log())?)
    }

    /// Set before the API server is stopped for the first time.
    pub(crate) fn was_stopped(&self) -> Arc<AtomicBool> {
        self.was_stopped.clone()
    }

    /// A command in this environment, to be completed and started by [`Self::supervisor`].
    pub(crate) fn command(&self, program: &Path, name: &str, args: Vec<String>) -> Command {
        self.layout.command(program, name, args)
    }
}

async fn kubectl(
    supervisor: &Supervisor,
    layout: &Layout,
    args: &[&str],
    stdin: Option<PathBuf>,
) -> anyhow::Result<String> {
    let command = layout.kubectl(args, stdin, Uuid::new_v4());
    let (stdout, stderr) = (
        command.stdout.clone().unwrap_or_default(),
        command.log.clone(),
    );
    let exit = supervisor.spawn(command).await?.wait_exit().await?;
    let (output, errors) = (fs::read_to_string(&stdout)?, fs::read_to_string(&stderr)?);
    fs::remove_file(stdout)?;
    fs::remove_file(stderr)?;
    if !exit.is_success() {
        bail!("kubectl {}: {exit}: {}", args.join(" "), errors.trim_end());
    }
    Ok(output)
}

async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // A test sees an outage as it is.
    config.default_retry = false;
    config.proxy_url = None;
    Ok(Client::try_from(config)?)
}

/// Asks for a token of a ServiceAccount; no audiences stands for the API server's own.
pub(crate) async fn request_token(
    client: &Client,
    namespace: &str,
    service_account: &str,
    audiences: Vec<String>,
    expiration_seconds: i64,
    bound_to: Option<BoundObjectReference>,
) -> anyhow::Result<String> {
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences,
            expiration_seconds: Some(expiration_seconds),
            bound_object_ref: bound_to,
        },
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let answer = accounts
        .create_token_request(service_account, &PostParams::default(), &request)
        .await
        .with_context(|| {
            format!("asking for a token of ServiceAccount {namespace}/{service_account}")
        })?;
    Ok(answer
        .status
        .context("the API server answered without a token")?
        .token)
}

async fn await_api_server(client: &Client, needed: &[&Process]) -> anyhow::Result<()> {
    until("the API server to be ready", READY_LIMIT, async || {
        all_running(needed)?;
        let readyz = http::Request::get("/readyz").body(Vec::new())?;
        Ok(client.request_text(readyz).await.ok().map(|_| ()))
    })
    .await
    .with_context(|| logs(needed))
}

/// The controllers work when the `default` namespace has its `default` ServiceAccount: pods need it.
async fn await_controllers(client: &Client, needed: &[&Process]) -> anyhow::Result<()> {
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
    until("the controllers to work", READY_LIMIT, async || {
        all_running(needed)?;
        Ok(accounts.get_opt("default").await?.map(|_| ()))
    })
    .await
    .with_context(|| logs(needed))
}

fn all_running(processes: &[&Process]) -> anyhow::Result<()> {
    for process in processes {
        if let Some(exit) = process.exit() {
            bail!("{} ended with {exit}", process.log_file().display());
        }
    }
    Ok(())
}

fn logs(processes: &[&Process]) -> String {
    processes
        .iter()
        .map(|process| process.log_tail())
        .collect::<Vec<_>>()
        .join("\n")
}
