//! An environment: what it is made of, and how it starts.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use azure_simulator::control::ControlClient;
use azure_simulator::control::api::{NewIdentity, Role};
use kube::Client;
use tokio::sync::{Mutex, OnceCell};
use uuid::Uuid;

use super::arm::Arm;
use super::install::{crds, install};
use super::operator_identity::{OPERATOR_ACTIONS, OPERATOR_IDENTITY, operators_identity};
use super::recorder::Records;
use super::simulator::SimulatorProcess;
use crate::{
    ControlPlane, ControlPlaneOptions, OperatorProcess, ServiceAccountKeys, Webhook, WebhookOptions,
};

/// What differs between environments.
#[derive(Debug, Clone)]
pub struct EnvironmentOptions {
    /// Flags of the operator besides those that say where Azure is.
    pub operator_flags: Vec<String>,
    /// Whether grants are required, as `--grants` says. Most tests are not about grants: off.
    pub grants: Option<&'static str>,
    /// Start the operator right away.
    pub start_operator: bool,
    /// Install the CustomResourceDefinitions right away.
    pub install_crd: bool,
    /// What is applied of `config/`, besides the CustomResourceDefinitions: `default`, an overlay, or nothing.
    pub config: Option<&'static str>,
    /// Admission as OpenShift has it.
    pub openshift_admission: bool,
    /// Keep what is seen for the checks that run after all tests. The operator's log is in the environment's temporary
    /// directory otherwise, and goes with it.
    pub keep_records: bool,
    /// Azure, where several clusters have the same one; one of its own where there is none.
    pub azure: Option<Arc<SimulatorProcess>>,
    /// The name of the operator's own identity there.
    pub operator_identity: String,
    /// Spend as little processor time around the operator as can be: no log of requests.
    pub for_measurements: bool,
}

impl Default for EnvironmentOptions {
    fn default() -> Self {
        Self {
            // Short, so that no test waits for what takes minutes in production.
            operator_flags: vec![
                "--resync-period=3s".to_owned(),
                "--propagation-delay=1s".to_owned(),
                "--write-settle-time=2s".to_owned(),
            ],
            grants: Some("off"),
            start_operator: true,
            install_crd: true,
            config: Some("default"),
            openshift_admission: false,
            keep_records: true,
            azure: None,
            operator_identity: OPERATOR_IDENTITY.to_owned(),
            for_measurements: false,
        }
    }
}

/// A running environment. All of it is gone when this is dropped, or the process ends.
#[derive(Debug)]
pub struct Environment {
    pub simulator: Arc<SimulatorProcess>,
    pub control_plane: ControlPlane,
    pub records: Records,
    pub(super) issuer: String,
    pub(super) operator_identity: NewIdentity,
    /// What further processes of the operator sign in as, where a test tells them apart.
    pub(super) further_identities: std::sync::Mutex<Vec<NewIdentity>>,
    pub(super) operator_flags: Vec<String>,
    pub(super) grants: Option<&'static str>,
    pub(super) operator: Mutex<Option<OperatorProcess>>,
}

static SHARED: OnceCell<Environment> = OnceCell::const_new();

impl Environment {
    /// The environment that the tests of one binary share. It ends with their process.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub async fn shared() -> anyhow::Result<&'static Self> {
        SHARED
            .get_or_try_init(|| Self::start(EnvironmentOptions::default()))
            .await
    }

    /// Starts an environment in which a test starts the operator itself.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub async fn without_operator() -> anyhow::Result<Self> {
        Self::start(EnvironmentOptions {
            start_operator: false,
            ..EnvironmentOptions::default()
        })
        .await
    }

    /// Starts an environment and, unless the options say otherwise, the operator in it.
    ///
    /// # Errors
    /// A part of it does not start: with the end of its log.
    pub async fn start(options: EnvironmentOptions) -> anyhow::Result<Self> {
        Self::start_with_progress(options, |_| ()).await
    }

    /// The same; `begin` is told each step as it begins.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub async fn start_with_progress(
        options: EnvironmentOptions,
        mut begin: impl FnMut(&'static str),
    ) -> anyhow::Result<Self> {
        begin("starting the Azure simulator");
        let log_level = if options.for_measurements {
            "warn"
        } else {
            "info"
        };
        let simulator = match options.azure {
            Some(azure) => azure,
            None => Arc::new(SimulatorProcess::start(log_level).await?),
        };
        let control = simulator.control();
        let keys = ServiceAccountKeys::generate()?;
        let issuer = control.register_issuer(keys.jwks().clone()).await?;
        begin("starting etcd, kube-apiserver and kube-controller-manager");
        let control_plane = ControlPlane::start(ControlPlaneOptions {
            crds: options.install_crd.then(crds),
            openshift_admission: options.openshift_admission,
            ..ControlPlaneOptions::with_issuer(&issuer, keys)
        })
        .await?;
        if let Some(config) = options.config {
            begin("installing azwib: kubectl apply -k config/default");
            install(&control_plane, config, options.install_crd).await?;
        }
        begin("creating the operator's own managed identity in the simulator");
        let operator_identity =
            operators_identity(&control, &issuer, &options.operator_identity).await?;
        let records = if options.keep_records {
            let records = Records::new()?;
            records.record(&control_plane, control)?;
            records
        } else {
            Records::at(control_plane.directory().to_owned())
        };
        let environment = Self {
            simulator,
            control_plane,
            records,
            issuer,
            operator_identity,
            further_identities: std::sync::Mutex::default(),
            operator_flags: options.operator_flags,
            grants: options.grants,
            operator: Mutex::new(None),
        };
        if options.start_operator {
            begin("starting the operator as ServiceAccount azwib-system/azwib-operator");
            environment.start_operator().await?;
        }
        Ok(environment)
    }

    /// The issuer of the cluster's ServiceAccount tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A new control client of the simulator, for the runtime that this is called on.
    pub fn control(&self) -> ControlClient {
        self.simulator.control()
    }

    /// Azure Resource Manager as another tool uses it, for the runtime that this is called on.
    ///
    /// # Errors
    /// The simulator refuses the sign-in.
    pub async fn arm(&self) -> anyhow::Result<Arm> {
        self.simulator.arm_client().await
    }

    /// A new client of the cluster's administrator, for the runtime that this is called on.
    ///
    /// # Errors
    /// The kubeconfig cannot be read.
    pub async fn client(&self) -> anyhow::Result<Client> {
        self.control_plane.client().await
    }

    /// Starts the azure-workload-identity webhook, which injects the simulator's authority into pods.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_webhook(&self) -> anyhow::Result<Webhook> {
        let options = WebhookOptions {
            tenant_id: self.operator_identity.tenant_id.to_string(),
            authority_host: self.simulator.entra().to_owned(),
        };
        Webhook::start(&self.control_plane, options).await
    }

    /// Gives the operator its role on a scope (ARM id).
    ///
    /// # Errors
    /// The simulator refuses.
    pub async fn grant_operator(&self, scope: &str) -> anyhow::Result<()> {
        let further = self.further_identities();
        let further = further.into_iter().map(|it| it.principal_id);
        for principal in std::iter::once(self.operator_principal()).chain(further) {
            let role = Role::Custom {
                actions: OPERATOR_ACTIONS.map(str::to_owned).to_vec(),
            };
            self.control().assign_role(scope, role, principal).await?;
        }
        Ok(())
    }

    /// One more managed identity for the operator: several processes with one each are told apart in Azure. It gets its role
    /// wherever the operator does from now on.
    ///
    /// # Errors
    /// The control API does not answer.
    pub async fn further_identity(&self, name: &str) -> anyhow::Result<NewIdentity> {
        let identity = operators_identity(&self.control(), self.issuer(), name).await?;
        let further = self.further_identities.lock();
        let mut further = further.unwrap_or_else(PoisonError::into_inner);
        further.push(identity.clone());
        Ok(identity)
    }

    fn further_identities(&self) -> Vec<NewIdentity> {
        let further = self.further_identities.lock();
        further.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the operator is who has sent a request with this client id.
    pub(super) fn is_operator(&self, client_id: Uuid) -> bool {
        let further = self.further_identities();
        let mut further = further.iter().map(|it| it.client_id);
        client_id == self.operator_client_id() || further.any(|it| it == client_id)
    }

    /// The object id of the operator's identity: what role assignments name.
    pub fn operator_principal(&self) -> Uuid {
        self.operator_identity.principal_id
    }

    /// The client id of the operator's identity: what the simulator's request log names as the caller.
    pub fn operator_client_id(&self) -> Uuid {
        self.operator_identity.client_id
    }

    /// The ARM id of the operator's own identity.
    pub fn operator_identity_id(&self) -> &str {
        &self.operator_identity.id
    }

    /// The certificate authority of the simulator's endpoints.
    pub fn ca(&self) -> &Path {
        self.simulator.ca()
    }
}
