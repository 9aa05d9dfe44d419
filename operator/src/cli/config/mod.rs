//! From flags to settings: plain data, checked before anything starts. Every error names the flag and what to do.

mod election;
mod error;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;

use azwib_crds::{ClientId, Issuer, ManagedIdentityId};

use tokio::sync::watch;

use super::flags::{AuthName, Cli, CloudName, GrantsName};
use crate::azure::auth::{AuthConfig, Authorization, Secret};
use crate::azure::cloud::{Cloud, KnownCloud};
use crate::azure::msi::MsiOptions;
use crate::binding::Settings;
use crate::binding::validate::Defaults;
use crate::grant::Mode;
use crate::issuer::discovery::Asked;
use crate::issuer::reach::unreachable;
use crate::issuer::watch::Said;
use crate::ledger::LedgerSettings;
use crate::ledger::decide::CREDENTIAL_LIMIT;
use crate::scrape::Source;
use crate::traces::Collector;
pub use election::Election;
use election::election;
pub use error::Error;
use values::{address, duration, given, required, within};

/// `--metrics-bind-address` without metrics, as in controller-runtime.
const NO_METRICS: &str = "0";

/// Everything the operator needs to know.
#[derive(Debug)]
pub struct Config {
    pub settings: Settings,
    /// Where the settings have their defaults from: the issuer may be learned later.
    pub defaults: watch::Sender<Defaults>,
    pub issuer: IssuerOptions,
    /// Where the settings have what is found of the issuer.
    pub said: watch::Sender<Said>,
    pub cloud: Cloud,
    pub auth: AuthConfig,
    pub azure: MsiOptions,
    /// Where the token enters a request; another value is for the test that shows what the guard is for.
    #[doc(hidden)]
    pub authorization: Authorization,
    pub health_probe_address: SocketAddr,
    /// None: no metrics are served.
    pub metrics: Option<Metrics>,
    pub ledger: LedgerSettings,
    /// Whether grants are required; None where that depends on what there is.
    pub grants: Option<Mode>,
    /// Where traces go, if anywhere.
    pub collector: Option<Collector>,
    /// Which Lease there is, and whether this process holds it while it writes.
    pub election: Election,
}

impl Config {
    /// Checks and completes the flags. Reads the file of the client secret and that of the pod's namespace, and nothing else.
    pub fn from_cli(cli: Cli) -> Result<Self, Error> {
        let issuer = issuer(&cli)?;
        let defaults = watch::Sender::new(defaults(&cli, &issuer.asked)?);
        let said = watch::Sender::default();
        Ok(Self {
            settings: settings(&cli, defaults.subscribe(), said.subscribe())?,
            defaults,
            said,
            issuer,
            cloud: cloud(&cli)?,
            auth: auth(&cli)?,
            azure: MsiOptions {
                request_timeout: duration("request-timeout", &cli.request_timeout, 1, 600)?,
                ca_file: cli.ca_file.clone(),
            },
            authorization: Authorization::BelowTheLogLine,
            ledger: ledger(&cli)?,
            grants: cli.grants.map(|it| match it {
                GrantsName::Enforce => Mode::Enforce,
                GrantsName::Audit => Mode::Audit,
                GrantsName::Off => Mode::Off,
            }),
            health_probe_address: address(
                "health-probe-bind-address",
                &cli.health_probe_bind_address,
            )?,
            metrics: metrics(&cli)?,
            collector: collector(&cli)?,
            election: election(&cli)?,
        })
    }
}

fn collector(cli: &Cli) -> Result<Option<Collector>, Error> {
    let collector = given(&cli.otlp_endpoint).map(Collector::parse).transpose();
    collector.map_err(Error::Collector)
}

/// How `/metrics` is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    pub address: SocketAddr,
    /// Where the certificate comes from. None: by plain http, to everybody.
    pub certificate: Option<Source>,
}

fn metrics(cli: &Cli) -> Result<Option<Metrics>, Error> {
    let certificate = match (cli.metrics_secure, cli.metrics_cert_path.clone()) {
        (true, Some(folder)) => Some(Source::Folder(folder)),
        (true, None) => Some(Source::SelfSigned),
        (false, None) => None,
        (false, Some(path)) => return Err(Error::UnusedCertificate { path }),
    };
    Ok(match cli.metrics_bind_address.as_str() {
        NO_METRICS => None,
        value => Some(Metrics {
            address: address("metrics-bind-address", value)?,
            certificate,
        }),
    })
}

fn ledger(cli: &Cli) -> Result<LedgerSettings, Error> {
    let in_flight = within(
        "azure-requests-in-flight",
        cli.azure_requests_in_flight,
        1,
        1000,
    )?;
    Ok(LedgerSettings {
        write_settle_time: duration("write-settle-time", &cli.write_settle_time, 1, 3600)?,
        credential_limit: credential_limit(cli)?,
        requests_in_flight: usize::from(in_flight),
    })
}

fn credential_limit(cli: &Cli) -> Result<usize, Error> {
    let most = CREDENTIAL_LIMIT as u16;
    within("credential-limit", cli.credential_limit, 1, most).map(usize::from)
}

/// What is done about the issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerOptions {
    pub asked: Asked,
    /// The operator's own ServiceAccount token.
    pub token_file: PathBuf,
    /// Whether what it publishes is verified.
    pub verify: bool,
    /// Certificate authorities to trust for that besides the public ones.
    pub ca_file: Option<PathBuf>,
    /// Issuers that cannot be reached from the internet are allowed.
    pub allow_private: bool,
}

/// The value of `--issuer` that asks the API server.
const AUTO: &str = "auto";

fn issuer(cli: &Cli) -> Result<IssuerOptions, Error> {
    let asked = match cli.issuer.as_str() {
        // An empty variable is none.
        AUTO | "" => Asked::Auto,
        url => Asked::Given(given_issuer(url, cli.allow_private_issuer)?),
    };
    Ok(IssuerOptions {
        asked,
        token_file: cli.service_account_token_file.clone(),
        verify: cli.verify_issuer,
        ca_file: cli.issuer_ca_file.clone(),
        allow_private: cli.allow_private_issuer,
    })
}

fn given_issuer(url: &str, allow_private: bool) -> Result<Issuer, Error> {
    let issuer = Issuer::parse(url).map_err(Error::Issuer)?;
    match unreachable(&issuer).filter(|_| !allow_private) {
        Some(why) => Err(Error::UnreachableIssuer { issuer, why }),
        None => Ok(issuer),
    }
}

fn settings(
    cli: &Cli,
    defaults: watch::Receiver<Defaults>,
    issuer: watch::Receiver<Said>,
) -> Result<Settings, Error> {
    Ok(Settings {
        defaults,
        issuer,
        credential_limit: credential_limit(cli)?,
        // Azure throttles reads of one identity hard; a shorter period is of use in tests only.
        resync_period: duration("resync-period", &cli.resync_period, 1, 24 * 3600)?,
        propagation_delay: duration("propagation-delay", &cli.propagation_delay, 0, 3600)?,
        revocation_grace: duration("revocation-grace", &cli.revocation_grace, 0, 24 * 3600)?,
        stalled_after: duration("stalled-after", &cli.stalled_after, 0, 24 * 3600)?,
        allow_force_detach: cli.allow_force_detach,
        read_only: cli.read_only,
        max_concurrent_reconciles: within(
            "max-concurrent-reconciles",
            cli.max_concurrent_reconciles,
            1,
            1000,
        )?,
    })
}

fn defaults(cli: &Cli, asked: &Asked) -> Result<Defaults, Error> {
    let (subscription, group) = (
        given(&cli.default_subscription),
        given(&cli.default_resource_group),
    );
    // Whatever is given must be able to stand in a resource id; what is not given is filled in for the check.
    let any_subscription = "00000000-0000-0000-0000-000000000000";
    ManagedIdentityId::new(
        subscription.unwrap_or(any_subscription),
        group.unwrap_or("group"),
        "identity",
    )
    .map_err(Error::Defaults)?;
    let (issuer, unknown_issuer) = match asked {
        Asked::Given(issuer) => (issuer.clone(), None),
        Asked::Auto => (
            Issuer::of_nobody(),
            Some("the issuer was not looked at yet".into()),
        ),
    };
    Ok(Defaults {
        issuer,
        unknown_issuer,
        subscription: subscription.map(str::to_owned),
        resource_group: group.map(str::to_owned),
    })
}

fn cloud(cli: &Cli) -> Result<Cloud, Error> {
    let known = match cli.cloud {
        CloudName::Public => KnownCloud::Public,
        CloudName::UsGovernment => KnownCloud::UsGovernment,
        CloudName::China => KnownCloud::China,
        CloudName::Custom => return custom_cloud(cli),
    };
    for (flag, variable, value) in [
        (
            "resource-manager-endpoint",
            "AZWIB_RESOURCE_MANAGER_ENDPOINT",
            &cli.resource_manager_endpoint,
        ),
        (
            "resource-manager-audience",
            "AZWIB_RESOURCE_MANAGER_AUDIENCE",
            &cli.resource_manager_audience,
        ),
    ] {
        if given(value).is_some() {
            return Err(Error::OnlyCustom { flag, variable });
        }
    }
    let cloud = Cloud::known(known).map_err(Error::Cloud)?;
    let expected = cloud.authority_host().as_str().trim_end_matches('/');
    // The webhook sets AZURE_AUTHORITY_HOST in the operator's own pod, to the host of the webhook's cloud.
    match given(&cli.authority_host) {
        Some(given) if given.trim_end_matches('/') != expected => Err(Error::OtherAuthority {
            given: given.to_owned(),
            expected: expected.to_owned(),
        }),
        _ => Ok(cloud),
    }
}

fn custom_cloud(cli: &Cli) -> Result<Cloud, Error> {
    let needed = |value, flag, variable| required(value, flag, "cloud=custom", variable);
    let authority = needed(
        &cli.authority_host,
        "authority-host",
        "AZURE_AUTHORITY_HOST",
    )?;
    let endpoint = needed(
        &cli.resource_manager_endpoint,
        "resource-manager-endpoint",
        "AZWIB_RESOURCE_MANAGER_ENDPOINT",
    )?;
    let audience = needed(
        &cli.resource_manager_audience,
        "resource-manager-audience",
        "AZWIB_RESOURCE_MANAGER_AUDIENCE",
    )?;
    Cloud::custom(authority, endpoint, audience).map_err(Error::Cloud)
}

fn auth(cli: &Cli) -> Result<AuthConfig, Error> {
    let client_id = given(&cli.azure_client_id)
        .map(ClientId::parse)
        .transpose()
        .map_err(Error::ClientId)?;
    let needs_client = |with| Error::Missing {
        flag: "azure-client-id",
        with,
        variable: "AZURE_CLIENT_ID",
    };
    let tenant = |with| {
        required(
            &cli.azure_tenant_id,
            "azure-tenant-id",
            with,
            "AZURE_TENANT_ID",
        )
        .map(str::to_owned)
    };
    match cli.auth {
        AuthName::WorkloadIdentity => {
            let with = "auth=workload-identity";
            let token_file = cli
                .azure_federated_token_file
                .clone()
                .ok_or(Error::Missing {
                    flag: "azure-federated-token-file",
                    with,
                    variable: "AZURE_FEDERATED_TOKEN_FILE",
                })?;
            let client_id = client_id.ok_or_else(|| needs_client(with))?;
            Ok(AuthConfig::WorkloadIdentity {
                client_id,
                tenant_id: tenant(with)?,
                token_file,
            })
        }
        AuthName::ManagedIdentity => Ok(AuthConfig::ManagedIdentity { client_id }),
        AuthName::ClientSecret => {
            let with = "auth=client-secret";
            let client_id = client_id.ok_or_else(|| needs_client(with))?;
            Ok(AuthConfig::ClientSecret {
                tenant_id: tenant(with)?,
                client_id,
                secret: client_secret(cli)?,
            })
        }
        AuthName::AzureCli => Ok(AuthConfig::AzureCli),
    }
}

fn client_secret(cli: &Cli) -> Result<Secret, Error> {
    let path = cli.azure_client_secret_file.clone().ok_or(Error::Missing {
        flag: "azure-client-secret-file",
        with: "auth=client-secret",
        variable: "AZWIB_AZURE_CLIENT_SECRET_FILE",
    })?;
    let text = std::fs::read_to_string(&path).map_err(|source| Error::ClientSecretFile {
        path: path.clone(),
        source,
    })?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(Error::EmptyClientSecret { path }),
        secret => Ok(Secret::new(secret.to_owned())),
    }
}

#[cfg(test)]
mod tests;
