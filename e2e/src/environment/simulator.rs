//! Azure's simulator as a process of its own.

use std::path::{Path, PathBuf};

use anyhow::Context;
use azure_simulator::control::ControlClient;
use serde::Deserialize;
use uuid::Uuid;

use super::arm::{Arm, Owner};
use crate::supervisor::{Command, Process, Supervisor, binary_beside};
use crate::wait::{self, PATIENCE};

/// A running simulator.
#[derive(Debug)]
pub struct SimulatorProcess {
    endpoints: Endpoints,
    tenant: Uuid,
    subscription: Uuid,
    owner: Owner,
    process: Process,
    // Dropped last: with it goes the process.
    _supervisor: Supervisor,
}

/// The line that the simulator prints once it serves.
#[derive(Debug, Deserialize)]
struct Endpoints {
    arm: String,
    entra: String,
    control: String,
    ca: PathBuf,
}

impl SimulatorProcess {
    /// Starts a simulator with a tenant of its own, and the subscription that examples/ name. At log level `info` it tells
    /// of every request.
    ///
    /// # Errors
    /// It is not built or does not start: with the end of its log.
    pub async fn start(log_level: &str) -> anyhow::Result<Self> {
        let binary = binary_beside("azure-simulator", "cargo build --workspace --bins")?;
        let supervisor = Supervisor::start()?;
        let (tenant, subscription) = (Uuid::new_v4(), Uuid::nil());
        let owner = Owner {
            client_id: Uuid::new_v4(),
            secret: Uuid::new_v4().to_string(),
        };
        let directory = supervisor.directory().to_owned();
        let line = directory.join("simulator.json");
        let command = Command {
            program: binary,
            args: vec![
                format!("--state-dir={}", directory.join("simulator").display()),
                format!("--tenant={tenant}"),
                format!("--subscription={subscription}"),
                "--resource-group=rg-shop".to_owned(),
                format!("--service-principal={}:{}", owner.client_id, owner.secret),
            ],
            env: [("RUST_LOG".to_owned(), log_level.to_owned())].into(),
            stdin: None,
            stdout: Some(line.clone()),
            log: directory.join("simulator.log"),
        };
        let process = supervisor.spawn(command).await?;
        let endpoints = wait::until("the simulator's endpoints", PATIENCE, async || {
            anyhow::ensure!(
                process.exit().is_none(),
                "the simulator has ended: {}",
                process.log_tail()
            );
            let text = std::fs::read_to_string(&line).unwrap_or_default();
            text.lines()
                .next()
                .filter(|_| text.ends_with('\n'))
                .map(serde_json::from_str)
                .transpose()
                .map_err(Into::into)
        })
        .await
        .with_context(|| process.log_tail())?;
        Ok(Self {
            endpoints,
            tenant,
            subscription,
            owner,
            process,
            _supervisor: supervisor,
        })
    }

    /// Azure Resource Manager.
    pub fn arm(&self) -> &str {
        &self.endpoints.arm
    }

    /// Microsoft Entra.
    pub fn entra(&self) -> &str {
        &self.endpoints.entra
    }

    /// Its control API.
    pub fn control_url(&self) -> &str {
        &self.endpoints.control
    }

    /// The certificate authority of all its endpoints, PEM.
    pub fn ca(&self) -> &Path {
        &self.endpoints.ca
    }

    pub fn tenant(&self) -> Uuid {
        self.tenant
    }

    pub fn subscription(&self) -> Uuid {
        self.subscription
    }

    /// A new client of its control API, for the runtime that this is called on.
    pub fn control(&self) -> ControlClient {
        ControlClient::new(&self.endpoints.control)
    }

    /// A new client of Resource Manager, signed in as an owner of the subscription.
    ///
    /// # Errors
    /// Entra refuses.
    pub async fn arm_client(&self) -> anyhow::Result<Arm> {
        Arm::sign_in(
            self.arm(),
            self.entra(),
            self.tenant,
            &self.owner,
            self.ca(),
        )
        .await
    }

    /// The client id and the secret of an owner of the subscription.
    pub fn owner(&self) -> (Uuid, &str) {
        (self.owner.client_id, &self.owner.secret)
    }

    /// Ends it at once: Azure is out of reach.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.process.kill().await.map(drop)
    }
}
