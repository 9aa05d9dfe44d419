//! What cannot be right about the flags, and what to do about it.

use std::path::PathBuf;

use azwib_crds::{InvalidClientId, InvalidIssuer, InvalidManagedIdentityId, Issuer};

use crate::azure::cloud::InvalidCloud;
use crate::issuer::reach::Unreachable;
use crate::traces::InvalidCollector;

/// How to come by an issuer that Microsoft Entra can read, on each platform.
const REAL_ISSUER: &str = "give the URL that Entra can read too. AKS: `az aks show -g GROUP -n CLUSTER --query \
                           oidcIssuerProfile.issuerUrl -o tsv` (after `az aks update --enable-oidc-issuer`); Azure Arc: \
                           `az connectedk8s show -g GROUP -n CLUSTER --query oidcIssuerProfile.issuerUrl -o tsv` (after \
                           `az connectedk8s update --enable-oidc-issuer`), and set it as the API server's \
                           --service-account-issuer; other clusters: publish the discovery document and the keys at a \
                           public https address and set that as --service-account-issuer";

/// A setting that cannot be right.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("--issuer: {0}; {REAL_ISSUER}")]
    Issuer(#[source] InvalidIssuer),
    #[error(
        "--issuer: the host of {issuer} {why}: Microsoft Entra cannot read its discovery document there, and no token could \
         be exchanged; {REAL_ISSUER}. Where a cloud of your own can read it, say so with --allow-private-issuer"
    )]
    UnreachableIssuer { issuer: Issuer, why: Unreachable },
    #[error("--{flag} is needed with --{with}: give the flag or set {variable}")]
    Missing {
        flag: &'static str,
        with: &'static str,
        variable: &'static str,
    },
    #[error(
        "--{flag} only goes with --cloud=custom: remove it (or {variable}), or choose that cloud"
    )]
    OnlyCustom {
        flag: &'static str,
        variable: &'static str,
    },
    #[error(
        "--cloud: {0}; see --authority-host, --resource-manager-endpoint and --resource-manager-audience"
    )]
    Cloud(#[source] InvalidCloud),
    #[error(
        "--authority-host is {given}, but --cloud has {expected}: remove the flag (or AZURE_AUTHORITY_HOST), or choose \
         the cloud that it belongs to"
    )]
    OtherAuthority { given: String, expected: String },
    #[error("--azure-client-id: {0}")]
    ClientId(#[source] InvalidClientId),
    #[error("--azure-client-secret-file: cannot read {path}")]
    ClientSecretFile {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("--azure-client-secret-file: {path} is empty")]
    EmptyClientSecret { path: PathBuf },
    #[error("--{flag}: \"{value}\" is not a duration such as 90s, 15m or 1h")]
    Duration {
        flag: &'static str,
        value: String,
        source: humantime::DurationError,
    },
    #[error("--{flag}: {value} is out of range: give {least} to {most}")]
    Range {
        flag: &'static str,
        value: String,
        least: String,
        most: String,
    },
    #[error("--default-subscription and --default-resource-group: {0}")]
    Defaults(#[source] InvalidManagedIdentityId),
    #[error(
        "--leader-elect: which namespace is the operator in? Outside of a cluster, give --leader-election-namespace, or \
         --leader-elect=false for a process that is the only one"
    )]
    NoNamespace,
    #[error("--leader-election-namespace: \"{0}\" is no name of a namespace")]
    Namespace(String),
    #[error("--{shorter} ({shorter_value}) has to be shorter than --{longer} ({longer_value})")]
    Order {
        shorter: &'static str,
        shorter_value: String,
        longer: &'static str,
        longer_value: String,
    },
    #[error(
        "--leader-elect-retry-period ({retry_period}) is too long: give at most {most}, half of --leader-elect-renew-deadline, so \
         that a renewal can be tried twice"
    )]
    RetriesTooLate { retry_period: String, most: String },
    #[error(
        "--leader-elect-renew-deadline ({renew_deadline}) is too near to --leader-elect-lease-duration ({lease_duration}): give at \
         most {most}, so that one process has stopped writing well before another begins"
    )]
    NoMargin {
        renew_deadline: String,
        lease_duration: String,
        most: String,
    },
    #[error(
        "--write-settle-time ({settle_time}) has to be at least --request-timeout ({request_timeout}) with --leader-elect: a \
         process that takes over waits so long for the last request of the one before"
    )]
    SettlesTooSoon {
        settle_time: String,
        request_timeout: String,
    },
    #[error(
        "--metrics-cert-path={path} only goes with https: remove it (or AZWIB_METRICS_CERT_PATH), or --metrics-secure=false"
    )]
    UnusedCertificate { path: PathBuf },
    #[error("--otlp-endpoint: {0}")]
    Collector(#[source] InvalidCollector),
    #[error("--{flag}: \"{value}\" is not an address such as :8081 or 127.0.0.1:8081")]
    Address { flag: &'static str, value: String },
}
