//! Logs. One rule holds under every configuration: debug lines of the old Azure SDK are left out.

use std::fmt;
use std::io::IsTerminal;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, LevelFilter, ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use super::spans::is_span;
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
    #[error("--log-level: {0}")]
    Filter(#[source] InvalidFilter),
    #[error("logging is set up already")]
    AlreadySet,
}

/// What is no filter of the log.
#[derive(Debug, thiserror::Error)]
#[error("\"{directives}\" is not a level or a filter such as info,azwib_operator=debug")]
pub struct InvalidFilter {
    directives: String,
    source: ParseError,
}

/// What is logged: it can be changed while the process runs. Clones change the same.
#[derive(Debug, Clone)]
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl LogLevel {
    /// The filter that counts now. Its parts may stand in another order than they were given in.
    pub fn shown(&self) -> String {
        let shown = self.0.with_current(ToString::to_string);
        // Only a process without logs has none, and that one serves nothing.
        shown.unwrap_or_default()
    }

    /// Has this filter count from now on, until the next one or the end of the process.
    pub fn change(&self, filter: LogFilter) {
        // It fails only where there are no logs any more.
        let _ = self.0.reload(filter.0);
    }
}

/// A filter that can be used.
#[derive(Debug)]
pub struct LogFilter(EnvFilter);

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl LogFilter {
    /// Reads a level or a filter, as `--log-level` takes it.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(directives: &str) -> Result<Self, InvalidFilter> {
        let invalid = |source| InvalidFilter {
            directives: directives.to_owned(),
            source,
        };
        // A filter that is one bare word takes it for the name of a module and switches everything else off: a level
        // with a slip in it would silence the operator.
        if let Some(source) = directives
            .split(',')
            .map(str::trim)
            .filter(|directive| directive.chars().all(|c| c.is_ascii_alphanumeric()))
            .find_map(|directive| directive.parse::<LevelFilter>().err())
        {
            return Err(invalid(source.into()));
        }
        EnvFilter::builder()
            .with_default_directive(LevelFilter::INFO.into())
            // A few letters of an expression can become a machine of many megabytes.
            .with_regex(false)
            .parse(directives)
            .map(Self)
            .map_err(invalid)
    }
}

/// What takes the spans.
pub type SpanLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Sends logs to standard error, and spans to whatever takes them. Gives what changes the level of the logs; spans have none.
pub fn init(
    directives: &str,
    format: LogFormat,
    guard: LogGuard,
    traces: Option<SpanLayer>,
) -> Result<LogLevel, Error> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let filter = LogFilter::parse(directives).map_err(Error::Filter)?;
    let (filter, level) = reload::Layer::new(filter.0);
    let guarded =
        filter_fn(move |line| !is_span(line) && (guard == LogGuard::Lifted || !is_guarded(line)));
    let lines = lines.with_filter(filter.and(guarded)).boxed();
    let traces = traces.map(|layer| layer.with_filter(filter_fn(is_span)).boxed());
    let layers: Vec<_> = [lines].into_iter().chain(traces).collect();
    tracing_subscriber::registry()
        .with(layers)
        .try_init()
        .map_err(|_| Error::AlreadySet)?;
    Ok(LogLevel(level))
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
            let error = LogFilter::parse(directives).unwrap_err();
            assert!(error.to_string().contains(directives), "{error}");
        }
        for directives in ["info", "INFO", "off", "3", "info,azwib_operator=debug"] {
            LogFilter::parse(directives).unwrap();
        }
    }
}
