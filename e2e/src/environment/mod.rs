//! All of it together: Azure's simulator, the control plane whose issuer it publishes, azwib installed by config/, and
//! the operator signed in by a token of its own ServiceAccount.

pub mod arm;
pub mod interference;
pub mod large;
mod namespace;
mod observation;
mod operator;
pub mod recorder;
pub mod rule;
mod simulator;
pub mod slow_webhook;

use std::path::{Path, PathBuf};
use std::time::Duration;

use azure_simulator::control::ControlClient;
use azure_simulator::control::api::{CredentialFixture, FederatedCredential, NewIdentity, Role};
use k8s_openapi::api::core::v1::Namespace as KubernetesNamespace;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::{Mutex, OnceCell};
use uuid::Uuid;

use self::arm::Arm;
pub use self::namespace::{ManagedIdentity, Namespace, annotation, condition, observed};
pub use self::observation::ready_reasons;
use self::recorder::Records;
pub use self::simulator::SimulatorProcess;
use crate::{
    ControlPlane, ControlPlaneOptions, OperatorProcess, ServiceAccountKeys, Webhook, WebhookOptions,
};

/// Longest wait for anything that a healthy environment does; a wait that is too long costs time only in a failing test.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What the operator may do in Azure: the custom role of the user guide.
const OPERATOR_ACTIONS: [&str; 4] = [
    "Microsoft.ManagedIdentity/userAssignedIdentities/read",
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read",
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete",
];

/// Where the operator's own identity lives.
const PLATFORM_GROUP: &str = "rg-platform";

/// The credential of the operator's own identity.
const BOOTSTRAP_CREDENTIAL: &str = "bootstrap";

/// What differs between environments.
#[derive(Debug, Clone)]
pub struct EnvironmentOptions {
    /// Flags of the operator besides those that say where Azure is.
    pub operator_flags: Vec<String>,
    /// Start the operator right away.
    pub start_operator: bool,
    /// Install the CustomResourceDefinition right away.
    pub install_crd: bool,
    /// Keep what is seen for the checks that run after all tests. The operator's log is in the environment's temporary
    /// directory otherwise, and goes with it.
    pub keep_records: bool,
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
            start_operator: true,
            install_crd: true,
            keep_records: true,
            for_measurements: false,
        }
    }
}

/// A running environment. All of it is gone when this is dropped, or the process ends.
#[derive(Debug)]
pub struct Environment {
    pub simulator: SimulatorProcess,
    pub control_plane: ControlPlane,
    pub records: Records,
    issuer: String,
    operator_identity: NewIdentity,
    operator_flags: Vec<String>,
    operator: Mutex<Option<OperatorProcess>>,
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
        let simulator = SimulatorProcess::start(log_level).await?;
        let control = simulator.control();
        let keys = ServiceAccountKeys::generate()?;
        let issuer = control.register_issuer(keys.jwks().clone()).await?;
        begin("starting etcd, kube-apiserver and kube-controller-manager");
        let control_plane = ControlPlane::start(ControlPlaneOptions {
            crds: options.install_crd.then(crds),
            ..ControlPlaneOptions::with_issuer(&issuer, keys)
        })
        .await?;
        begin("installing azwib: kubectl apply -k config/default");
        install(&control_plane, options.install_crd).await?;
        begin("creating the operator's own managed identity in the simulator");
        let operator_identity = operators_identity(&control, &issuer).await?;
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
            operator_flags: options.operator_flags,
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

    /// A namespace of a test's own, with a resource group of the same name in which the operator has its role.
    ///
    /// # Errors
    /// One of them cannot be made.
    pub async fn namespace(&self, purpose: &str) -> anyhow::Result<Namespace<'_>> {
        let namespace = self.namespace_without_role(purpose).await?;
        namespace.grant_operator().await?;
        Ok(namespace)
    }

    /// The same, without a role of the operator.
    ///
    /// # Errors
    /// As for [`Self::namespace`].
    pub async fn namespace_without_role(&self, purpose: &str) -> anyhow::Result<Namespace<'_>> {
        let name = format!("{purpose}-{}", &Uuid::new_v4().simple().to_string()[..6]);
        let client = self.client().await?;
        let namespaces: Api<KubernetesNamespace> = Api::all(client.clone());
        let namespace: KubernetesNamespace =
            serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        namespaces
            .create(&PostParams::default(), &namespace)
            .await?;
        self.control().create_resource_group(&name).await?;
        Ok(Namespace::new(self, client, name))
    }

    /// Gives the operator its role on a scope (ARM id).
    ///
    /// # Errors
    /// The simulator refuses.
    pub async fn grant_operator(&self, scope: &str) -> anyhow::Result<()> {
        let role = Role::Custom {
            actions: OPERATOR_ACTIONS.map(str::to_owned).to_vec(),
        };
        self.control()
            .assign_role(scope, role, self.operator_principal())
            .await?;
        Ok(())
    }

    /// The object id of the operator's identity: what role assignments name.
    pub fn operator_principal(&self) -> Uuid {
        self.operator_identity.principal_id
    }

    /// The client id of the operator's identity: what the simulator's request log names as the caller.
    pub fn operator_client_id(&self) -> Uuid {
        self.operator_identity.client_id
    }

    /// The certificate authority of the simulator's endpoints.
    pub fn ca(&self) -> &Path {
        self.simulator.ca()
    }
}

/// Applies config/default as a user does; without the CRD, all but that.
async fn install(control_plane: &ControlPlane, crd: bool) -> anyhow::Result<()> {
    for part in if crd {
        &["default"][..]
    } else {
        &["manager", "rbac"]
    } {
        let path = repository().join("config").join(part);
        control_plane
            .kubectl(&["apply", "-k", &path.to_string_lossy()])
            .await?;
    }
    if crd {
        let established = "crd/workloadidentitybindings.azwib.dev";
        control_plane
            .kubectl(&[
                "wait",
                "--for=condition=Established",
                "--timeout=30s",
                established,
            ])
            .await?;
    }
    Ok(())
}

fn crds() -> PathBuf {
    repository().join("config/crd/azwib.dev_workloadidentitybindings.yaml")
}

/// The checkout that this package was built from.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("/"))
        .to_owned()
}

/// What the platform team sets up by hand: the operator's identity, trusted by a credential that azwib never touches.
async fn operators_identity(control: &ControlClient, issuer: &str) -> anyhow::Result<NewIdentity> {
    control.create_resource_group(PLATFORM_GROUP).await?;
    let identity = control
        .create_identity(PLATFORM_GROUP, "azwib-operator")
        .await?;
    trust_operator(control, issuer).await?;
    Ok(identity)
}

/// The credential by which Azure takes the token of the operator's ServiceAccount.
async fn trust_operator(control: &ControlClient, issuer: &str) -> anyhow::Result<()> {
    let credential = FederatedCredential {
        name: BOOTSTRAP_CREDENTIAL.to_owned(),
        issuer: issuer.to_owned(),
        subject: Some("system:serviceaccount:azwib-system:azwib-operator".to_owned()),
        claims_matching_expression: None,
        audiences: vec!["api://AzureADTokenExchange".to_owned()],
    };
    let fixture = CredentialFixture {
        subscription_id: None,
        resource_group: PLATFORM_GROUP.to_owned(),
        identity: "azwib-operator".to_owned(),
        credential,
    };
    Ok(control.put_credential(&fixture).await?)
}
