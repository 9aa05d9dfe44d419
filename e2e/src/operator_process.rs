//! The operator as a process of its own, with no more than its ServiceAccount may do.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::Context;

use crate::{
    ControlPlane,
    supervisor::{Exit, Process, sibling_binary},
};

/// Names another operator than the one built beside the tests.
const BINARY_VARIABLE: &str = "AZWIB_OPERATOR_BIN";

/// Audience of the token that the operator signs in to Azure with.
const AZURE_AUDIENCE: &str = "api://AzureADTokenExchange";

/// How the operator is started.
#[derive(Debug, Clone)]
pub struct OperatorOptions {
    /// `AZWIB_OPERATOR_BIN`, or what is built beside the running binary, when none.
    pub binary: Option<PathBuf>,
    /// Namespace of its ServiceAccount, which must exist.
    pub namespace: String,
    /// Its ServiceAccount, which must exist.
    pub service_account: String,
    pub args: Vec<String>,
    /// Added to KUBECONFIG, AZURE_FEDERATED_TOKEN_FILE and RUST_LOG=trace, over which it wins.
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
            args: Vec::new(),
            env: BTreeMap::new(),
            log_file: None,
        }
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
            args,
            env,
            log_file,
        } = options;
        let binary = match binary.or_else(|| std::env::var_os(BINARY_VARIABLE).map(PathBuf::from)) {
            Some(binary) => binary,
            None => sibling_binary("azwib-operator", "cargo build -p azwib-operator")?,
        };
        let kubeconfig = control_plane
            .kubeconfig_for_service_account(&namespace, &service_account)
            .await?;
        let token = control_plane
            .token_file_for_service_account(&namespace, &service_account, AZURE_AUDIENCE)
            .await?;
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        let mut command = control_plane.command(&binary, "operator", args);
        command.env.extend([
            ("KUBECONFIG".to_owned(), path(kubeconfig)),
            ("AZURE_FEDERATED_TOKEN_FILE".to_owned(), path(token)),
            ("RUST_LOG".to_owned(), "trace".to_owned()),
            ("RUST_BACKTRACE".to_owned(), "1".to_owned()),
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

    /// The operator's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
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

    /// All it has written so far, standard output and standard error.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        let bytes = fs::read(self.process.log_file())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
