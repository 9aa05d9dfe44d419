//! The flags as they are typed. [`crate::cli::config`] makes sense of them.

use std::path::PathBuf;

use clap::{ArgAction, Parser, ValueEnum};

/// Where the kubelet puts the token of a pod's ServiceAccount.
pub const POD_TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Makes Azure workload identity federation declarative on any Kubernetes cluster.
///
/// Every flag can be given by the environment variable that stands beside it.
#[derive(Debug, Clone, Parser)]
#[command(name = "azwib-operator", version)]
pub struct Cli {
    /// Issuer of this cluster's ServiceAccount tokens, exactly as the `iss` claim has it, slash included; or `auto`: what the API
    /// server's discovery document says, if the operator's own token says the same
    #[arg(long, env = "AZWIB_ISSUER", value_name = "URL", default_value = "auto")]
    pub issuer: String,

    /// File with the operator's own ServiceAccount token, whose issuer is compared; any audience
    #[arg(
        long,
        env = "AZWIB_SERVICE_ACCOUNT_TOKEN_FILE",
        value_name = "PATH",
        default_value = POD_TOKEN_FILE
    )]
    pub service_account_token_file: PathBuf,

    /// Verify that what the issuer publishes has the key that the cluster's tokens are signed with, and, with
    /// --auth=workload-identity, by a sign-in each hour; give it as `--verify-issuer=false` where nothing is to be asked of the issuer
    #[arg(
        long,
        env = "AZWIB_VERIFY_ISSUER",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value_t = true
    )]
    pub verify_issuer: bool,

    /// PEM file with certificate authorities to trust for what the issuer publishes, besides the public ones; what they vouch for does not
    /// prove that Microsoft Entra trusts it
    #[arg(long, env = "AZWIB_ISSUER_CA_FILE", value_name = "PATH")]
    pub issuer_ca_file: Option<PathBuf>,

    /// Allow an issuer that cannot be reached from the internet, for a cloud of your own that can reach it
    #[arg(long, env = "AZWIB_ALLOW_PRIVATE_ISSUER")]
    pub allow_private_issuer: bool,

    /// The Azure cloud; `custom` needs the authority host, the resource manager and its audience
    #[arg(long, env = "AZWIB_CLOUD", value_enum, default_value_t = CloudName::Public)]
    pub cloud: CloudName,

    /// Address of the token endpoint (Microsoft Entra), with --cloud=custom
    #[arg(long, env = "AZURE_AUTHORITY_HOST", value_name = "URL")]
    pub authority_host: Option<String>,

    /// Azure Resource Manager, with --cloud=custom
    #[arg(long, env = "AZWIB_RESOURCE_MANAGER_ENDPOINT", value_name = "URL")]
    pub resource_manager_endpoint: Option<String>,

    /// Audience of tokens for Azure Resource Manager, with --cloud=custom
    #[arg(long, env = "AZWIB_RESOURCE_MANAGER_AUDIENCE", value_name = "URI")]
    pub resource_manager_audience: Option<String>,

    /// PEM file with certificate authorities to trust for Azure, besides the public ones
    #[arg(long, env = "AZWIB_CA_FILE", value_name = "PATH")]
    pub ca_file: Option<PathBuf>,

    /// How the operator signs in to Azure
    #[arg(long, env = "AZWIB_AUTH", value_enum, default_value_t = AuthName::WorkloadIdentity)]
    pub auth: AuthName,

    /// Client id of the operator's own identity
    #[arg(long, env = "AZURE_CLIENT_ID", value_name = "GUID")]
    pub azure_client_id: Option<String>,

    /// Tenant of the operator's own identity
    #[arg(long, env = "AZURE_TENANT_ID", value_name = "GUID")]
    pub azure_tenant_id: Option<String>,

    /// File with the operator's own ServiceAccount token, with --auth=workload-identity
    #[arg(long, env = "AZURE_FEDERATED_TOKEN_FILE", value_name = "PATH")]
    pub azure_federated_token_file: Option<PathBuf>,

    /// File with the client secret, with --auth=client-secret
    #[arg(long, env = "AZWIB_AZURE_CLIENT_SECRET_FILE", value_name = "PATH")]
    pub azure_client_secret_file: Option<PathBuf>,

    /// Subscription of identities that a binding gives by name alone
    #[arg(long, env = "AZWIB_DEFAULT_SUBSCRIPTION", value_name = "GUID")]
    pub default_subscription: Option<String>,

    /// Resource group of identities that a binding gives by name alone
    #[arg(long, env = "AZWIB_DEFAULT_RESOURCE_GROUP", value_name = "NAME")]
    pub default_resource_group: Option<String>,

    /// How often the credentials in Azure are compared with what they should be
    #[arg(
        long,
        env = "AZWIB_RESYNC_PERIOD",
        value_name = "DURATION",
        default_value = "15m"
    )]
    pub resync_period: String,

    /// How long a new credential is given to spread in Microsoft Entra before its binding is Ready
    #[arg(
        long,
        env = "AZWIB_PROPAGATION_DELAY",
        value_name = "DURATION",
        default_value = "10s"
    )]
    pub propagation_delay: String,

    /// How long a failure that something else can cure stands before the binding is Stalled
    #[arg(
        long,
        env = "AZWIB_STALLED_AFTER",
        value_name = "DURATION",
        default_value = "2m"
    )]
    pub stalled_after: String,

    /// Whether a binding needs an IdentityGrant; where it is not given, grants are audited while a binding has something that it was given
    /// without one, and enforced from then on
    #[arg(long, env = "AZWIB_GRANTS", value_enum)]
    pub grants: Option<GrantsName>,

    /// How long a credential whose grant is gone works on before it is taken away
    #[arg(
        long,
        env = "AZWIB_REVOCATION_GRACE",
        value_name = "DURATION",
        default_value = "5m"
    )]
    pub revocation_grace: String,

    /// How long one request to Azure may take
    #[arg(
        long,
        env = "AZWIB_REQUEST_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s"
    )]
    pub request_timeout: String,

    /// How long a write whose answer was lost keeps other writes off its identity, unless a read shows whether it took effect
    #[arg(
        long,
        env = "AZWIB_WRITE_SETTLE_TIME",
        value_name = "DURATION",
        default_value = "60s"
    )]
    pub write_settle_time: String,

    /// Let the annotation azwib.dev/force-detach on a binding (not only on its Namespace) let go of it when Azure
    /// refuses to delete its credential
    #[arg(long, env = "AZWIB_ALLOW_FORCE_DETACH")]
    pub allow_force_detach: bool,

    /// Only look: write nothing to Azure and to ServiceAccounts, and say in the status of each binding what would be written
    #[arg(long, env = "AZWIB_READ_ONLY")]
    pub read_only: bool,

    /// How many federated identity credentials an identity may have
    #[arg(
        long,
        env = "AZWIB_CREDENTIAL_LIMIT",
        value_name = "COUNT",
        default_value_t = 20
    )]
    pub credential_limit: u16,

    /// How many requests may be under way at once in one Azure subscription
    #[arg(
        long,
        env = "AZWIB_AZURE_REQUESTS_IN_FLIGHT",
        value_name = "COUNT",
        default_value_t = 16
    )]
    pub azure_requests_in_flight: u16,

    /// How many bindings are worked on at once
    #[arg(
        long,
        env = "AZWIB_MAX_CONCURRENT_RECONCILES",
        value_name = "COUNT",
        default_value_t = 64
    )]
    pub max_concurrent_reconciles: u16,

    /// Write only while this process holds the Lease azwib-operator; give it as `--leader-elect=false` for a process that is the
    /// only one
    #[arg(
        long,
        env = "AZWIB_LEADER_ELECT",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value_t = true
    )]
    pub leader_elect: bool,

    /// Namespace of the Lease; in a pod its own, where it is not given
    #[arg(
        long,
        env = "AZWIB_LEADER_ELECTION_NAMESPACE",
        value_name = "NAMESPACE"
    )]
    pub leader_election_namespace: Option<String>,

    /// How long the Lease stands unchanged before another process takes it
    #[arg(
        long,
        env = "AZWIB_LEADER_ELECT_LEASE_DURATION",
        value_name = "DURATION",
        default_value = "15s"
    )]
    pub leader_elect_lease_duration: String,

    /// How long after its last renewal of the Lease a process writes
    #[arg(
        long,
        env = "AZWIB_LEADER_ELECT_RENEW_DEADLINE",
        value_name = "DURATION",
        default_value = "10s"
    )]
    pub leader_elect_renew_deadline: String,

    /// How often the Lease is renewed
    #[arg(
        long,
        env = "AZWIB_LEADER_ELECT_RETRY_PERIOD",
        value_name = "DURATION",
        default_value = "2s"
    )]
    pub leader_elect_retry_period: String,

    /// Address of /healthz and /readyz
    #[arg(
        long,
        env = "AZWIB_HEALTH_PROBE_BIND_ADDRESS",
        value_name = "ADDRESS",
        default_value = ":8081"
    )]
    pub health_probe_bind_address: String,

    /// Address of /metrics; 0 turns it off
    #[arg(
        long,
        env = "AZWIB_METRICS_BIND_ADDRESS",
        value_name = "ADDRESS",
        default_value = ":8443"
    )]
    pub metrics_bind_address: String,

    /// Serve /metrics by https, to those whom the API server gives the right; false: by plain http, to everybody
    #[arg(
        long,
        env = "AZWIB_METRICS_SECURE",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value_t = true
    )]
    pub metrics_secure: bool,

    /// Folder with the certificate of /metrics (tls.crt) and its key (tls.key), read again when they change; where it is not given, one is
    /// made at the start
    #[arg(long, env = "AZWIB_METRICS_CERT_PATH", value_name = "PATH")]
    pub metrics_cert_path: Option<PathBuf>,

    /// What is logged: a level, or a filter such as `info,azwib_operator=debug`
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "info")]
    pub log_level: String,

    /// How log lines look
    #[arg(long, env = "AZWIB_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Where traces go: the address of an OpenTelemetry collector that takes OTLP over http, such as
    /// `http://collector.monitoring:4318`; none are made where it is not given
    #[arg(long, env = "AZWIB_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CloudName {
    Public,
    #[value(name = "usgovernment")]
    UsGovernment,
    China,
    Custom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GrantsName {
    Enforce,
    Audit,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthName {
    WorkloadIdentity,
    ManagedIdentity,
    ClientSecret,
    AzureCli,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}
