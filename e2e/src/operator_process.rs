//! The operator as a process of its own, with no more than its ServiceAccount may do.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::{
    ApiProxy, ControlPlane,
    bench::process,
    control_plane::write_private,
    supervisor::{Exit, Process, binary_beside},
    wait,
};

/// Names another operator than the one built beside the tests.
const BINARY_VARIABLE: &str = "AZWIB_OPERATOR_BIN";

/// Audience of the token that the operator signs in to Azure with.
const AZURE_AUDIENCE: &str = "api://AzureADTokenExchange";

/// Longest wait for a sign of life: the operator logs and answers probes within a second of its start.
const PROBE_PATIENCE: Duration = Duration::from_secs(30);

/// What Prometheus accepts.
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

/// How the operator is started.
#[derive(Debug, Clone)]
pub struct OperatorOptions {
    /// `AZWIB_OPERATOR_BIN`, or what is built beside the running binary, when none.
    pub binary: Option<PathBuf>,
    /// Namespace of its ServiceAccount, which must exist.
    pub namespace: String,
    /// Its ServiceAccount, which must exist.
    pub service_account: String,
    /// What it shows to the API server and to Azure; asked for at the start when none.
    pub access: Option<OperatorAccess>,
    pub args: Vec<String>,
    /// Added to KUBECONFIG, AZURE_FEDERATED_TOKEN_FILE, RUST_LOG=trace, AZWIB_LEADER_ELECT=false, AZWIB_METRICS_SECURE=false and
    /// AZWIB_VERIFY_ISSUER=false, over which it wins. Most tests have one operator at a time, and would wait for a lease at each start; and who may scrape is asked for
    /// in one test, and stands in the audit log of none other. A flag wins over all of these.
    pub env: BTreeMap<String, String>,
    /// Appended to. `operator.log` in the environment's directory when none.
    pub log_file: Option<PathBuf>,
}

impl Default for OperatorOptions {
    fn default() -> Self {
        Self {
            binary: None,
            namespace: "azwib-system".to_owned(),
            service_account: "azwib-operator".to_owned(),
            access: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            log_file: None,
        }
    }
}

/// The tokens of the operator's ServiceAccount, in files. A kubelet would have brought them.
#[derive(Debug, Clone)]
pub struct OperatorAccess {
    kubeconfig: PathBuf,
    federated_token: PathBuf,
}

impl OperatorAccess {
    /// Asks the API server for both tokens.
    ///
    /// # Errors
    /// The ServiceAccount does not exist, or the API server does not answer.
    pub async fn request(
        control_plane: &ControlPlane,
        namespace: &str,
        service_account: &str,
    ) -> anyhow::Result<Self> {
        let kubeconfig = control_plane
            .kubeconfig_for_service_account(namespace, service_account)
            .await?;
        let federated_token = control_plane
            .token_file_for_service_account(namespace, service_account, AZURE_AUDIENCE)
            .await?;
        Ok(Self {
            kubeconfig,
            federated_token,
        })
    }

    /// How it reaches the API server.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The same, by way of a proxy: what it shows to the API server stays what it is.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn through(mut self, proxy: &ApiProxy) -> anyhow::Result<Self> {
        let mut kubeconfig: Value = serde_json::from_slice(&fs::read(&self.kubeconfig)?)?;
        kubeconfig["clusters"][0]["cluster"] = json!({
            "server": proxy.server(), "certificate-authority": proxy.ca_file(),
        });
        self.kubeconfig = proxy.ca_file().with_extension("kubeconfig");
        write_private(&self.kubeconfig, &kubeconfig.to_string())?;
        Ok(self)
    }

    /// How the API server's audit log names the token of this access ([`AuditEvent::credential`]).
    ///
    /// # Errors
    /// The file cannot be read, or the token has no id.
    ///
    /// [`AuditEvent::credential`]: crate::control_plane::AuditEvent::credential
    pub fn credential(&self) -> anyhow::Result<String> {
        let [token, _] = self.secrets()?;
        let claims = token.split('.').nth(1).context("the token is no JWT")?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
        let id = claims["jti"].as_str().context("the token has no id")?;
        Ok(format!("JTI={id}"))
    }

    /// Both tokens themselves, for a search of logs.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn secrets(&self) -> anyhow::Result<[String; 2]> {
        let kubeconfig: Value = serde_json::from_slice(&fs::read(&self.kubeconfig)?)?;
        let token = kubeconfig["users"][0]["user"]["token"]
            .as_str()
            .context("the kubeconfig has no token")?;
        let federated_token = fs::read_to_string(&self.federated_token)?;
        Ok([token.to_owned(), federated_token.trim().to_owned()])
    }
}

/// A running operator. It ends with the control plane's environment at the latest.
#[derive(Debug)]
pub struct OperatorProcess {
    process: Process,
}

impl OperatorProcess {
    /// Starts the operator. Creates nothing in the cluster: its ServiceAccount and its RBAC must be there.
    ///
    /// # Errors
    /// The binary is not built, its ServiceAccount does not exist, or it cannot be started. That it ends later is seen by
    /// [`Self::wait_exit`].
    pub async fn start(
        control_plane: &ControlPlane,
        options: OperatorOptions,
    ) -> anyhow::Result<Self> {
        let OperatorOptions {
            binary,
            namespace,
            service_account,
            access,
            args,
            env,
            log_file,
        } = options;
        let binary = match binary {
            Some(binary) => binary,
            None => Self::binary()?,
        };
        let OperatorAccess {
            kubeconfig,
            federated_token,
        } = match access {
            Some(access) => access,
            None => OperatorAccess::request(control_plane, &namespace, &service_account).await?,
        };
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        let mut command = control_plane.command(&binary, "operator", args);
        command.env.extend([
            ("KUBECONFIG".to_owned(), path(kubeconfig)),
            (
                "AZURE_FEDERATED_TOKEN_FILE".to_owned(),
                path(federated_token),
            ),
            ("RUST_LOG".to_owned(), "trace".to_owned()),
            ("RUST_BACKTRACE".to_owned(), "1".to_owned()),
            ("AZWIB_LEADER_ELECT".to_owned(), "false".to_owned()),
            // A version that does not know it serves plain http.
            ("AZWIB_METRICS_SECURE".to_owned(), "false".to_owned()),
            // Most tests are about something else, and count requests.
            ("AZWIB_VERIFY_ISSUER".to_owned(), "false".to_owned()),
        ]);
        command.env.extend(env);
        if let Some(log_file) = log_file {
            command.log = log_file;
        }
        let process = control_plane
            .supervisor()
            .spawn(command)
            .await
            .context("starting the operator")?;
        Ok(Self { process })
    }

    /// The operator that the tests run.
    ///
    /// # Errors
    /// It is not built.
    pub fn binary() -> anyhow::Result<PathBuf> {
        match std::env::var_os(BINARY_VARIABLE) {
            Some(binary) => Ok(binary.into()),
            None => binary_beside("azwib-operator", "cargo build -p azwib-operator"),
        }
    }

    /// The operator's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        self.process.exit()
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    ///
    /// # Errors
    /// The environment has ended.
    pub async fn terminate(&self) -> anyhow::Result<Exit> {
        self.process.terminate().await
    }

    /// Ends it at once (SIGKILL).
    ///
    /// # Errors
    /// The environment has ended.
    pub async fn kill(&self) -> anyhow::Result<Exit> {
        self.process.kill().await
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// The environment has ended.
    pub async fn wait_exit(&self) -> anyhow::Result<Exit> {
        self.process.wait_exit().await
    }

    /// The last lines of its log, for an error message.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    /// All it has written so far, standard output and standard error.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        let bytes = fs::read(self.process.log_file())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits until its log says this.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn logs(&self, what: &str) -> anyhow::Result<()> {
        let wanted = format!("the operator's log to say {what:?}");
        wait::until(&wanted, PROBE_PATIENCE, async || {
            Ok(self.log()?.contains(what).then_some(()))
        })
        .await
    }

    /// The answer to a probe, such as `/readyz`: HTTP status and text.
    ///
    /// # Errors
    /// The log names no address in time, or nobody answers there.
    pub async fn probe(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let answer = self.get("probes", path).await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// What Prometheus would scrape.
    ///
    /// # Errors
    /// The log names no address in time, or nobody answers there as Prometheus wants.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        let (type_, scrape) = self.scrape(Some(PROMETHEUS)).await?;
        anyhow::ensure!(
            type_.starts_with("application/openmetrics-text"),
            "the metrics are {type_:?}"
        );
        Ok(scrape)
    }

    /// The media type and the text of a scrape that accepts these.
    ///
    /// # Errors
    /// The log names no address in time, or nobody answers there.
    pub async fn scrape(&self, accept: Option<&str>) -> anyhow::Result<(String, String)> {
        let mut request = self.request("metrics", "/metrics").await?;
        if let Some(accept) = accept {
            request = request.header(http::header::ACCEPT, accept);
        }
        let answer = request.send().await?.error_for_status()?;
        let type_ = answer.headers().get(http::header::CONTENT_TYPE);
        let type_ = type_
            .context("the scrape has no type")?
            .to_str()?
            .to_owned();
        Ok((type_, answer.text().await?))
    }

    /// The most memory (MiB) that the process had resident so far.
    ///
    /// # Errors
    /// It has ended.
    pub fn peak_memory_mib(&self) -> anyhow::Result<f64> {
        process::peak_memory(self.pid())
    }

    async fn get(&self, server: &str, path: &str) -> anyhow::Result<reqwest::Response> {
        Ok(self.request(server, path).await?.send().await?)
    }

    /// The address of one of its servers (`probes`, `metrics`), as the log names it.
    ///
    /// # Errors
    /// The log does not in time.
    pub async fn address_of(&self, server: &str) -> anyhow::Result<SocketAddr> {
        let wanted = format!("the address of {server}");
        wait::until(&wanted, PROBE_PATIENCE, async || {
            let log = self.log()?;
            let address = log.split_once(&format!(" {server}=")).map(|(_, rest)| rest);
            let address = address.and_then(|rest| rest.split_once(char::is_whitespace));
            Ok(address.map(|(address, _)| address.parse()).transpose()?)
        })
        .await
    }

    async fn request(&self, server: &str, path: &str) -> anyhow::Result<reqwest::RequestBuilder> {
        let address = self.address_of(server).await?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(http.get(format!("http://{address}{path}")))
    }

    /// Waits until a probe answers so.
    ///
    /// # Errors
    /// It does not in time: with its last answer.
    pub async fn probe_until(&self, path: &str, status: u16, text: &str) -> anyhow::Result<()> {
        let mut last = None;
        let outcome = wait::until(
            &format!("{path} to answer {status} {text:?}"),
            PROBE_PATIENCE,
            async || {
                let answer = self.probe(path).await?;
                let found = answer.0 == status && answer.1.contains(text);
                last = Some(answer);
                Ok(found.then_some(()))
            },
        )
        .await;
        outcome.with_context(|| format!("the last answer: {last:?}"))
    }
}
