//! The flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use url::Url;
use uuid::Uuid;

/// Asks Azure Resource Manager what the Azure simulator assumes about it, and prints what differs.
///
/// It makes a resource group of its own, and removes it at the end. What it makes there is free of charge. Exit code: 0 when
/// all is as assumed, 3 when something differs, 1 for errors.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// The subscription in which the resource group is made
    #[arg(long, value_name = "GUID", required_unless_present = "dry_run")]
    pub subscription: Option<Uuid>,
    /// The region of the resource group and its identities
    #[arg(long, value_name = "NAME", default_value = "westeurope")]
    pub location: String,
    /// Resource Manager; each cloud has its own
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://management.azure.com"
    )]
    pub resource_manager: Url,
    /// Trust these certificate authorities as well (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// A shell command that prints an access token for Resource Manager: JSON with `accessToken`, or the token alone [default:
    /// az account get-access-token --output json --subscription GUID]
    #[arg(long, value_name = "COMMAND")]
    pub token_command: Option<String>,
    /// Only these probes, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_enum)]
    pub only: Vec<ProbeName>,
    /// Also ask these regions, separated by commas, whether they have federated identity credentials
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub regions: Vec<String>,
    /// Also ask for the provider's limits. This uses up the tenant's budgets for a while: others in the tenant may get 429
    #[arg(long)]
    pub throttling: bool,
    /// Print what would be sent, how much of it, how long it takes and what it costs, and send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Write facts and tunables to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// The time between two requests about something that is waited for, at most
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub poll_interval: Duration,
    /// How long something is waited for: a new identity, a lock, the end of a throttling, the removal of the group
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub patience: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write it like 2s or 10m"))?;
    if duration < Duration::from_millis(1) {
        return Err("it has to be at least 1ms".to_owned());
    }
    Ok(duration)
}

/// A probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProbeName {
    /// What the access token says: lifetime, audience.
    Token,
    /// Writes right after an identity was made.
    NewIdentity,
    /// Two writes on one identity at the same time.
    SingleWriter,
    /// A second credential with the same issuer and subject.
    Duplicate,
    /// Credentials beyond the limit.
    Limit,
    /// The pages of a list of credentials.
    PageSize,
    /// Reads right after writes.
    ReadLag,
    /// A deletion below a lock.
    Lock,
    /// Requests that are refused for how they are written.
    Refusals,
    /// Regions without credentials.
    Regions,
    /// The provider's limits of requests.
    Throttling,
}

impl ProbeName {
    /// As `--only` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::NewIdentity => "new-identity",
            Self::SingleWriter => "single-writer",
            Self::Duplicate => "duplicate",
            Self::Limit => "limit",
            Self::PageSize => "page-size",
            Self::ReadLag => "read-lag",
            Self::Lock => "lock",
            Self::Refusals => "refusals",
            Self::Regions => "regions",
            Self::Throttling => "throttling",
        }
    }
}

impl Arguments {
    /// The probes to run, in their order: regions and limits of requests only where they are asked for.
    pub fn probes(&self) -> Vec<ProbeName> {
        let is_possible = |name: &ProbeName| match name {
            ProbeName::Regions => !self.regions.is_empty(),
            ProbeName::Throttling => self.throttling,
            _ => true,
        };
        let all = ProbeName::value_variants().iter().copied();
        all.filter(|name| self.only.is_empty() || self.only.contains(name))
            .filter(is_possible)
            .collect()
    }

    /// The command that prints a token.
    pub fn token_command(&self) -> String {
        self.token_command.clone().unwrap_or_else(|| {
            let subscription = self.subscription.unwrap_or_default();
            format!("az account get-access-token --output json --subscription {subscription}")
        })
    }

    /// Names of probes in `--only` that need another flag, which is not there.
    ///
    /// # Errors
    /// With what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.only.contains(&ProbeName::Regions) && self.regions.is_empty() {
            return Err("--only=regions needs the names: --regions=NAME,..".to_owned());
        }
        if self.only.contains(&ProbeName::Throttling) && !self.throttling {
            return Err("--only=throttling needs --throttling as well, since it uses up the tenant's budgets for a while".to_owned());
        }
        Ok(())
    }
}
