//! Flags made sense of: plain data, checked before anything starts. Every error names the flag and what to do.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use azwib_crds::{
    ClientId, InvalidClientId, InvalidIssuer, InvalidManagedIdentityId, Issuer, ManagedIdentityId,
};

use crate::azure::auth::{AuthConfig, Authorization, Secret};
use crate::azure::cloud::{Cloud, InvalidCloud, KnownCloud};
use crate::azure::msi::MsiOptions;
use crate::binding::Settings;
use crate::binding::validate::Defaults;
use crate::cli::{AuthName, Cli, CloudName};
use crate::ledger::plan::CREDENTIAL_LIMIT;

/// Everything the operator needs to know.
#[derive(Debug)]
pub struct Config {
    pub settings: Settings,
    pub cloud: Cloud,
    pub auth: AuthConfig,
    pub azure: MsiOptions,
    /// Where the token enters a request; another value is for the test that shows what the guard is for.
    #[doc(hidden)]
    pub authorization: Authorization,
    pub health_probe_address: SocketAddr,
    /// How long a write whose answer was lost keeps others off its identity.
    pub write_settle_time: Duration,
}

/// A flag that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("--issuer: {0}")]
    Issuer(#[source] InvalidIssuer),
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
        "--health-probe-bind-address: \"{value}\" is not an address such as :8081 or 127.0.0.1:8081"
    )]
    Address { value: String },
}

impl Config {
    /// Checks and completes the flags. Reads the file of the client secret and nothing else.
    pub fn from_cli(cli: Cli) -> Result<Self, Error> {
        Ok(Self {
            settings: settings(&cli)?,
            cloud: cloud(&cli)?,
            auth: auth(&cli)?,
            azure: MsiOptions {
                request_timeout: duration("request-timeout", &cli.request_timeout, 1, 600)?,
                ca_file: cli.ca_file.clone(),
            },
            authorization: Authorization::BelowTheLogLine,
            write_settle_time: duration("write-settle-time", &cli.write_settle_time, 1, 3600)?,
            health_probe_address: address(&cli.health_probe_bind_address)?,
        })
    }
}

fn settings(cli: &Cli) -> Result<Settings, Error> {
    Ok(Settings {
        defaults: defaults(cli)?,
        credential_limit: usize::from(within(
            "credential-limit",
            cli.credential_limit,
            1,
            CREDENTIAL_LIMIT as u16,
        )?),
        // Azure throttles reads of one identity hard; a shorter period is of use in tests only.
        resync_period: duration("resync-period", &cli.resync_period, 1, 24 * 3600)?,
        propagation_delay: duration("propagation-delay", &cli.propagation_delay, 0, 3600)?,
        stalled_after: duration("stalled-after", &cli.stalled_after, 0, 24 * 3600)?,
        allow_force_detach: cli.allow_force_detach,
        max_concurrent_reconciles: within(
            "max-concurrent-reconciles",
            cli.max_concurrent_reconciles,
            1,
            1000,
        )?,
    })
}

fn defaults(cli: &Cli) -> Result<Defaults, Error> {
    let issuer = Issuer::parse(&cli.issuer).map_err(Error::Issuer)?;
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
    Ok(Defaults {
        issuer,
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

/// A flag that was given something: an empty environment variable is none.
fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}

fn required<'a>(
    value: &'a Option<String>,
    flag: &'static str,
    with: &'static str,
    variable: &'static str,
) -> Result<&'a str, Error> {
    given(value).ok_or(Error::Missing {
        flag,
        with,
        variable,
    })
}

fn duration(flag: &'static str, value: &str, least: u64, most: u64) -> Result<Duration, Error> {
    let parsed = humantime::parse_duration(value).map_err(|source| Error::Duration {
        flag,
        value: value.to_owned(),
        source,
    })?;
    let (least, most) = (Duration::from_secs(least), Duration::from_secs(most));
    if parsed < least || parsed > most {
        let shown = |duration| humantime::format_duration(duration).to_string();
        return Err(Error::Range {
            flag,
            value: value.to_owned(),
            least: shown(least),
            most: shown(most),
        });
    }
    Ok(parsed)
}

fn within(flag: &'static str, value: u16, least: u16, most: u16) -> Result<u16, Error> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Error::Range {
        flag,
        value: value.to_string(),
        least: least.to_string(),
        most: most.to_string(),
    })
}

/// An address as Go programs write it: `:8081` is every interface.
fn address(value: &str) -> Result<SocketAddr, Error> {
    let port_only = value.strip_prefix(':').and_then(|port| port.parse().ok());
    match port_only {
        Some(port) => Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
        None => value.parse().map_err(|_| Error::Address {
            value: value.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const TENANT: &str = "--azure-tenant-id=00000000-0000-0000-0000-000000000001";
    const CLIENT: &str = "--azure-client-id=00000000-0000-0000-0000-000000000002";
    const TOKEN: &str = "--azure-federated-token-file=/var/run/token";
    const CUSTOM: [&str; 4] = [
        "--cloud=custom",
        "--authority-host=https://login.example",
        "--resource-manager-endpoint=https://arm.example",
        "--resource-manager-audience=https://arm.example/",
    ];

    fn config(flags: &[&str]) -> Result<Config, String> {
        let minimal = [
            "azwib-operator",
            "--issuer=https://oidc.example/",
            TENANT,
            CLIENT,
            TOKEN,
        ];
        let cli =
            Cli::try_parse_from(minimal.iter().chain(flags)).map_err(|error| error.to_string())?;
        Config::from_cli(cli).map_err(|error| error.to_string())
    }

    fn refusal(flags: &[&str]) -> String {
        config(flags).map(|_| String::new()).unwrap_err()
    }

    fn without(flag: &str) -> String {
        let all = [
            "azwib-operator",
            "--issuer=https://oidc.example/",
            TENANT,
            CLIENT,
            TOKEN,
        ];
        let cli = Cli::try_parse_from(all.iter().filter(|given| !given.starts_with(flag))).unwrap();
        Config::from_cli(cli).unwrap_err().to_string()
    }

    #[test]
    fn the_minimum_is_an_issuer_and_a_workload_identity() {
        let config = config(&[]).unwrap();
        assert_eq!(
            config.settings.defaults.issuer.as_str(),
            "https://oidc.example/"
        );
        assert_eq!(config.settings.resync_period, Duration::from_secs(900));
        assert_eq!(config.settings.propagation_delay, Duration::from_secs(10));
        assert_eq!(
            config.cloud.resource_manager().as_str(),
            "https://management.azure.com/"
        );
        assert_eq!(config.health_probe_address.port(), 8081);
    }

    #[test]
    fn a_missing_flag_is_named_with_its_variable() {
        assert!(
            without(CLIENT).contains("--azure-client-id is needed with --auth=workload-identity")
        );
        assert!(without(TENANT).contains("AZURE_TENANT_ID"));
        assert!(without(TOKEN).contains("AZURE_FEDERATED_TOKEN_FILE"));
    }

    #[test]
    fn a_custom_cloud_needs_its_three_addresses() {
        let config = config(&CUSTOM).unwrap();
        assert_eq!(
            config.cloud.authority_host().as_str(),
            "https://login.example/"
        );
        for left_out in &CUSTOM[1..] {
            let flags: Vec<_> = CUSTOM
                .iter()
                .filter(|flag| *flag != left_out)
                .copied()
                .collect();
            let flag = left_out.split('=').next().unwrap();
            assert!(refusal(&flags).contains(flag), "{flag}");
        }
        assert!(
            refusal(&CUSTOM[2..3])
                .contains("--resource-manager-endpoint only goes with --cloud=custom")
        );
    }

    #[test]
    fn the_authority_of_another_cloud_is_refused_and_that_of_the_same_is_not() {
        let other = refusal(&["--authority-host=https://login.microsoftonline.us"]);
        assert!(other.contains("--authority-host"), "{other}");
        for same in [
            "https://login.microsoftonline.com",
            "https://login.microsoftonline.com/",
        ] {
            config(&[&format!("--authority-host={same}")]).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_the_name_of_its_flag() {
        for (flag, named) in [
            ("--issuer=http://oidc.example", "--issuer"),
            ("--azure-client-id=orders", "--azure-client-id"),
            ("--resync-period=often", "--resync-period"),
            ("--resync-period=0s", "--resync-period: 0s is out of range"),
            ("--propagation-delay=2h", "--propagation-delay"),
            (
                "--credential-limit=21",
                "--credential-limit: 21 is out of range: give 1 to 20",
            ),
            (
                "--max-concurrent-reconciles=0",
                "--max-concurrent-reconciles",
            ),
            (
                "--health-probe-bind-address=localhost",
                "--health-probe-bind-address",
            ),
            ("--default-subscription=mine", "--default-subscription"),
            ("--default-resource-group=a/b", "--default-resource-group"),
            ("--auth=client-secret", "--azure-client-secret-file"),
        ] {
            let flags = if flag.starts_with("--issuer") {
                vec![]
            } else {
                vec![flag]
            };
            let refusal = if flags.is_empty() {
                let cli = Cli::try_parse_from(["azwib-operator", flag]).unwrap();
                Config::from_cli(cli).unwrap_err().to_string()
            } else if flag.starts_with("--azure-client-id") {
                let cli = Cli::try_parse_from([
                    "azwib-operator",
                    "--issuer=https://a.example",
                    flag,
                    TENANT,
                    TOKEN,
                ]);
                Config::from_cli(cli.unwrap()).unwrap_err().to_string()
            } else {
                refusal(&flags)
            };
            assert!(refusal.contains(named), "{flag}: {refusal}");
        }
    }

    #[test]
    fn a_client_secret_is_read_without_its_line_end_and_never_printed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "s3cr3t-value\n").unwrap();
        let file = format!("--azure-client-secret-file={}", path.display());
        let config = config(&["--auth=client-secret", &file]).unwrap();
        let AuthConfig::ClientSecret { secret, .. } = &config.auth else {
            panic!("{:?}", config.auth)
        };
        assert_eq!(secret.secret(), "s3cr3t-value");
        assert!(!format!("{config:?}").contains("s3cr3t"));
        std::fs::write(&path, "\n").unwrap();
        assert!(refusal(&["--auth=client-secret", &file]).contains("is empty"));
    }
}
