//! Logs. One rule holds under every configuration: debug lines of the old Azure SDK are left out.

use std::io::IsTerminal;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{LevelFilter, ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::cli::flags::LogFormat;

/// Target of the old Azure SDK's core, which prints the authorization header at debug level (RUSTSEC-2026-0275).
const AZURE_CORE: &str = "azure_core";

/// Whether debug lines of the old Azure SDK's core are kept out of the log.
///
/// The token never enters that crate; this is the second guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(hidden)]
pub enum LogGuard {
    InPlace,
    /// For the test that shows what the guards are for.
    Lifted,
}

/// Why the logs cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "--log-level: \"{directives}\" is not a level or a filter such as info,azwib_operator=debug"
    )]
    Filter {
        directives: String,
        source: ParseError,
    },
    #[error("logging is set up already")]
    AlreadySet,
}

/// Sends logs to standard error.
pub fn init(directives: &str, format: LogFormat, guard: LogGuard) -> Result<(), Error> {
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(filter(directives)?)
        .with(filter_fn(move |line| {
            guard == LogGuard::Lifted || !is_guarded(line)
        }))
        .with(lines)
        .try_init()
        .map_err(|_| Error::AlreadySet)
}

fn filter(directives: &str) -> Result<EnvFilter, Error> {
    // A filter that is one bare word takes it for the name of a module and switches everything else off: a level
    // with a slip in it would silence the operator.
    if let Some(source) = directives
        .split(',')
        .map(str::trim)
        .filter(|directive| directive.chars().all(|c| c.is_ascii_alphanumeric()))
        .find_map(|directive| directive.parse::<LevelFilter>().err())
    {
        return Err(Error::Filter {
            directives: directives.to_owned(),
            source: source.into(),
        });
    }
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(directives)
        .map_err(|source| Error::Filter {
            directives: directives.to_owned(),
            source,
        })
}

fn is_guarded(line: &Metadata<'_>) -> bool {
    line.target().starts_with(AZURE_CORE) && *line.level() > Level::INFO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_parsed_is_named() {
        for directives in ["azwib=loud", "loud", "info,verbose"] {
            let error = filter(directives).unwrap_err();
            assert!(error.to_string().contains(directives), "{error}");
        }
        for directives in ["info", "INFO", "off", "3", "info,azwib_operator=debug"] {
            filter(directives).unwrap();
        }
    }
}
