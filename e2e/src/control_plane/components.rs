//! How each component is started: its files and its command line.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use uuid::Uuid;

use super::{
    audit,
    kubeconfig::{Cluster, write_private},
    options::ControlPlaneOptions,
};
use crate::{assets::ControlPlaneAssets, certificates::CertificateAuthority, supervisor::Command};

/// The audience that the API server itself accepts, and that ordinary in-cluster tokens have: Kubernetes' own name.
const API_AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";

/// By what the API server is reached: on this machine, and in pods by its Service, which has the first address of the range.
const API_SERVER_NAMES: [&str; 4] = [
    "127.0.0.1",
    "localhost",
    "10.0.0.1",
    "kubernetes.default.svc",
];

/// etcd insists on advertised addresses in host:port form; nobody dials them, it is a cluster of one.
const NOBODY: &str = "http://127.0.0.1:1";

/// How much garbage (percent of what is alive) the API server lets gather before it collects; Go's default is 100. At 400 it
/// starts with an eighth less processor time, and takes many small objects at once with a fifth less; more gains nothing.
const API_SERVER_GOGC: &str = "400";

/// From here on it collects more often. Twenty thousand bindings come near it; at half of it they cost a third more processor time.
const API_SERVER_GOMEMLIMIT: &str = "4GiB";

/// What the components' command lines are made of.
#[derive(Debug)]
pub(super) struct Layout {
    directory: PathBuf,
    assets: ControlPlaneAssets,
    issuer: String,
    jwks_uri: String,
    openshift_admission: bool,
    port: u16,
}

impl Layout {
    /// Writes keys, certificates, tokens, kubeconfigs and the audit policy into the directory.
    pub(super) fn write(
        directory: &Path,
        assets: ControlPlaneAssets,
        options: &ControlPlaneOptions,
        port: u16,
    ) -> anyhow::Result<Self> {
        let layout = Self {
            directory: directory.to_owned(),
            assets,
            issuer: options.issuer.clone(),
            jwks_uri: options.jwks_uri.clone(),
            openshift_admission: options.openshift_admission,
            port,
        };
        let ca = CertificateAuthority::new("azwib local control plane")?;
        let serving = ca.issue("kube-apiserver", &API_SERVER_NAMES)?;
        let (admin, controller_manager) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
        let tokens = format!(
            "{admin},admin,admin,system:masters\n\
             {controller_manager},system:kube-controller-manager,system:kube-controller-manager,\n"
        );
        write_private(&layout.file("ca.crt"), &ca.pem())?;
        write_private(&layout.file("apiserver.crt"), &serving.certificate_pem)?;
        write_private(&layout.file("apiserver.key"), &serving.key_pem)?;
        write_private(
            &layout.file("service-account.key"),
            options.service_account_keys.private_key_pem(),
        )?;
        write_private(&layout.file("tokens.csv"), &tokens)?;
        write_private(&layout.file("audit-policy.yaml"), audit::POLICY)?;
        let cluster = layout.cluster();
        cluster.write_kubeconfig(&layout.admin_kubeconfig(), "admin", &admin)?;
        cluster.write_kubeconfig(
            &layout.file("controller-manager.kubeconfig"),
            "controller-manager",
            &controller_manager,
        )?;
        fs::create_dir(layout.file("home")).context("making a home folder")?;
        Ok(layout)
    }

    pub(super) fn cluster(&self) -> Cluster {
        Cluster {
            server: format!("https://127.0.0.1:{}", self.port),
            ca_file: self.path("ca.crt"),
        }
    }

    pub(super) fn admin_kubeconfig(&self) -> PathBuf {
        self.file("admin.kubeconfig")
    }

    pub(super) fn audit_log(&self) -> PathBuf {
        self.file("audit.log")
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn path(&self, name: &str) -> String {
        self.file(name).to_string_lossy().into_owned()
    }

    pub(super) fn etcd(&self) -> Command {
        let (client, peer) = (self.path("etcd.sock"), self.path("etcd-peer.sock"));
        self.command(
            &self.assets.etcd,
            "etcd",
            vec![
                format!("--data-dir={}", self.path("etcd")),
                // The data never outlives the test.
                "--unsafe-no-fsync".into(),
                // Two gigabytes otherwise, which a few thousand of the largest objects fill.
                "--quota-backend-bytes=8589934592".into(),
                // Sockets in the environment's directory: no port that another program could take first.
                format!("--listen-client-urls=unix://{client}"),
                format!("--listen-peer-urls=unix://{peer}"),
                format!("--advertise-client-urls={NOBODY}"),
                format!("--initial-advertise-peer-urls={NOBODY}"),
                format!("--initial-cluster=default={NOBODY}"),
            ],
        )
    }

    /// With another issuer, where one is given; tokens of the own one are taken as well.
    pub(super) fn api_server(&self, issuer: Option<&str>) -> Command {
        let issuers = issuer.into_iter().chain([self.issuer.as_str()]);
        let issuers = issuers.map(|it| format!("--service-account-issuer={it}"));
        let mut command = self.command(
            &self.assets.kube_apiserver,
            "kube-apiserver",
            vec![
                format!("--etcd-servers=unix://{}", self.path("etcd.sock")),
                "--bind-address=127.0.0.1".into(),
                format!("--secure-port={}", self.port),
                // The port is reserved by a socket of the test.
                "--permit-port-sharing=true".into(),
                format!("--tls-cert-file={}", self.path("apiserver.crt")),
                format!("--tls-private-key-file={}", self.path("apiserver.key")),
                format!("--cert-dir={}", self.path("apiserver")),
                format!("--token-auth-file={}", self.path("tokens.csv")),
                "--authorization-mode=RBAC".into(),
                format!("--service-account-jwks-uri={}", self.jwks_uri),
                format!(
                    "--service-account-key-file={}",
                    self.path("service-account.key")
                ),
                format!(
                    "--service-account-signing-key-file={}",
                    self.path("service-account.key")
                ),
                format!("--api-audiences={API_AUDIENCE}"),
                format!("--audit-policy-file={}", self.path("audit-policy.yaml")),
                format!("--audit-log-path={}", self.path("audit.log")),
                // As clusters have it: whether a privileged pod may run is for Pod Security to say.
                "--allow-privileged=true".into(),
                "--service-cluster-ip-range=10.0.0.0/24".into(),
                // A loopback address cannot be an endpoint of the service `kubernetes`, and nobody uses that.
                "--advertise-address=127.0.0.1".into(),
                "--endpoint-reconciler-type=none".into(),
            ],
        );
        command.args.extend(issuers);
        if self.openshift_admission {
            let plugin = "--enable-admission-plugins=OwnerReferencesPermissionEnforcement";
            command.args.push(plugin.into());
        }
        command.env.extend([
            ("GOGC".into(), API_SERVER_GOGC.into()),
            ("GOMEMLIMIT".into(), API_SERVER_GOMEMLIMIT.into()),
        ]);
        command
    }

    pub(super) fn controller_manager(&self) -> Command {
        self.command(
            &self.assets.kube_controller_manager,
            "kube-controller-manager",
            vec![
                format!(
                    "--kubeconfig={}",
                    self.path("controller-manager.kubeconfig")
                ),
                format!(
                    "--service-account-private-key-file={}",
                    self.path("service-account.key")
                ),
                format!("--root-ca-file={}", self.path("ca.crt")),
                "--use-service-account-credentials=true".into(),
                "--leader-elect=false".into(),
                // The default of 20 a second, meant to spare a shared API server, would add seconds to each start.
                "--kube-api-qps=1000".into(),
                "--kube-api-burst=1000".into(),
                "--secure-port=0".into(),
            ],
        )
    }

    /// `run` tells one run's output from another's.
    pub(super) fn kubectl(&self, args: &[&str], stdin: Option<PathBuf>, run: Uuid) -> Command {
        let mut command = self.command(
            &self.assets.kubectl,
            &format!("kubectl-{run}"),
            [&format!("--kubeconfig={}", self.admin_kubeconfig().display()) as &str]
                .iter()
                .chain(args)
                .map(ToString::to_string)
                .collect(),
        );
        command.env.insert("KUBERC".into(), "off".into());
        command.stdin = stdin;
        command.stdout = Some(self.file(&format!("kubectl-{run}.out")));
        command
    }

    /// A command in the environment: its own home and temporary folder, its log beside the others.
    pub(super) fn command(&self, program: &Path, name: &str, args: Vec<String>) -> Command {
        Command {
            program: program.to_owned(),
            args,
            env: BTreeMap::from([
                ("HOME".into(), self.path("home")),
                ("TMPDIR".into(), self.path("")),
            ]),
            stdin: None,
            stdout: None,
            log: self.file(&format!("{name}.log")),
        }
    }
}
