//! The operator of an environment: started, stopped and watched as a kubelet would.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::operator_identity::{BOOTSTRAP_CREDENTIAL, OPERATOR_IDENTITY, trust_operator};
use super::setup::Environment;
use crate::supervisor::Exit;
use crate::wait::{self, PATIENCE};
use crate::{OperatorAccess, OperatorOptions, OperatorProcess};

impl Environment {
    /// The flags that an operator needs in this environment.
    pub fn operator_flags(&self) -> Vec<String> {
        let simulator = &self.simulator;
        let mut flags = vec![
            format!("--issuer={}", self.issuer),
            // It is on this machine, and so is the token endpoint.
            "--allow-private-issuer".to_owned(),
            "--cloud=custom".to_owned(),
            format!("--authority-host={}", simulator.entra()),
            format!("--resource-manager-endpoint={}", simulator.arm()),
            "--resource-manager-audience=https://management.azure.com".to_owned(),
            format!("--ca-file={}", simulator.ca().display()),
            "--auth=workload-identity".to_owned(),
            format!("--azure-client-id={}", self.operator_identity.client_id),
            format!("--azure-tenant-id={}", self.operator_identity.tenant_id),
            "--health-probe-bind-address=127.0.0.1:0".to_owned(),
            "--metrics-bind-address=127.0.0.1:0".to_owned(),
        ];
        flags.extend(self.grants.map(|it| format!("--grants={it}")));
        flags.extend(self.operator_flags.clone());
        flags
    }

    /// The tokens that an operator of this environment shows, with no more than the RBAC of config/rbac. They are
    /// recorded as secrets.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn operator_access(&self) -> anyhow::Result<OperatorAccess> {
        let access =
            OperatorAccess::request(&self.control_plane, "azwib-system", "azwib-operator").await?;
        for secret in access.secrets()? {
            self.records.note_secret(&secret)?;
        }
        Ok(access)
    }

    /// Starts the operator with these flags, with the RBAC of config/rbac, and records its log.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn operator_with(
        &self,
        flags: Vec<String>,
        env: BTreeMap<String, String>,
        binary: Option<PathBuf>,
    ) -> anyhow::Result<OperatorProcess> {
        let access = self.operator_access().await?;
        self.operator_with_access(access, flags, env, binary).await
    }

    /// Starts the operator with these flags in place of those of the same name.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn operator_with_other(&self, flags: &[String]) -> anyhow::Result<OperatorProcess> {
        let all = self.operator_flags_with(flags);
        self.operator_with(all, BTreeMap::new(), None).await
    }

    /// The flags that an operator needs in this environment, with these in place of those of the same name.
    pub fn operator_flags_with(&self, flags: &[String]) -> Vec<String> {
        let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
        let given: Vec<_> = flags.iter().map(|flag| name(flag)).collect();
        let mut all = self.operator_flags();
        all.retain(|flag| !given.contains(&name(flag)));
        all.extend_from_slice(flags);
        all
    }

    /// The same with tokens that were asked for before, which needs no API server.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn operator_with_access(
        &self,
        access: OperatorAccess,
        flags: Vec<String>,
        env: BTreeMap<String, String>,
        binary: Option<PathBuf>,
    ) -> anyhow::Result<OperatorProcess> {
        let options = OperatorOptions {
            access: Some(access),
            binary,
            args: flags,
            env,
            log_file: Some(self.records.operator_log()),
            ..OperatorOptions::default()
        };
        OperatorProcess::start(&self.control_plane, options).await
    }

    /// Starts the operator and keeps it.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start_operator(&self) -> anyhow::Result<()> {
        let (flags, env) = (self.operator_flags(), BTreeMap::new());
        self.start_operator_as(flags, env).await
    }

    /// Starts the operator with these flags, and keeps it.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start_operator_as(
        &self,
        flags: Vec<String>,
        env: BTreeMap<String, String>,
    ) -> anyhow::Result<()> {
        let operator = self.operator_with(flags, env, None).await?;
        *self.operator.lock().await = Some(operator);
        Ok(())
    }

    /// Ends the operator at once (SIGKILL).
    ///
    /// # Errors
    /// None is running.
    pub async fn kill_operator(&self) -> anyhow::Result<()> {
        let operator = self
            .operator
            .lock()
            .await
            .take()
            .context("no operator is running")?;
        operator.kill().await.map(drop)
    }

    /// Asks the operator to stop (SIGTERM) and waits for its end.
    ///
    /// # Errors
    /// None is running.
    pub async fn stop_operator(&self) -> anyhow::Result<Exit> {
        let operator = self
            .operator
            .lock()
            .await
            .take()
            .context("no operator is running")?;
        operator.terminate().await
    }

    /// What the running operator has logged.
    ///
    /// # Errors
    /// None is running.
    pub async fn operator_log(&self) -> anyhow::Result<String> {
        self.operator
            .lock()
            .await
            .as_ref()
            .context("no operator is running")?
            .log()
    }

    /// Waits until the running operator's metrics have a sample (name and labels as they are written) with such a value.
    ///
    /// # Errors
    /// They have not in time, or no operator is running.
    pub async fn until_metric(
        &self,
        sample: &str,
        test: impl Fn(f64) -> bool,
    ) -> anyhow::Result<()> {
        let (mut last, what) = (None, format!("the metric {sample}"));
        let outcome = wait::until(&what, PATIENCE, async || {
            let operator = self.operator.lock().await;
            let operator = operator.as_ref().context("no operator is running")?;
            let metrics = operator.metrics().await?;
            let mut values = metrics.lines().filter_map(|line| {
                let value = line.strip_prefix(sample)?.strip_prefix(' ')?;
                value.parse().ok()
            });
            last = values.next();
            Ok(last.filter(|value| test(*value)).map(|_| ()))
        });
        let outcome = outcome.await;
        outcome.with_context(|| format!("the last value: {last:?}"))
    }

    /// Fails when the operator has ended by itself.
    ///
    /// # Errors
    /// It has, or none was started.
    pub async fn check_operator(&self) -> anyhow::Result<()> {
        let operator = self.operator.lock().await;
        let operator = operator.as_ref().context("no operator is running")?;
        if let Some(exit) = operator.exit() {
            bail!("the operator ended with {exit}");
        }
        Ok(())
    }

    /// The end of the running operator's log, for an error message.
    pub async fn operator_log_tail(&self) -> String {
        let operator = self.operator.lock().await;
        operator
            .as_ref()
            .map_or_else(String::new, OperatorProcess::log_tail)
    }

    /// Creates the credential by which Azure takes the operator's token. An environment starts with it.
    ///
    /// # Errors
    /// The control API does not answer.
    pub async fn trust_operator(&self) -> anyhow::Result<()> {
        trust_operator(&self.control(), self.issuer(), OPERATOR_IDENTITY).await
    }

    /// Has that credential name another issuer: Azure does not take the operator's token any more.
    ///
    /// # Errors
    /// The control API does not answer.
    pub async fn trust_operator_of(&self, issuer: &str) -> anyhow::Result<()> {
        trust_operator(&self.control(), issuer, OPERATOR_IDENTITY).await
    }

    /// Deletes that credential: the operator cannot sign in any more.
    ///
    /// # Errors
    /// Azure refuses.
    pub async fn distrust_operator(&self) -> anyhow::Result<()> {
        let identity = &self.operator_identity.id;
        let path = format!("{identity}/federatedIdentityCredentials/{BOOTSTRAP_CREDENTIAL}");
        self.arm().await?.delete(&path).await
    }
}
