//! The address of a collector, as `--otlp-endpoint` gives it.

use url::Url;

/// What follows on the address of a collector, by the OTLP specification ("OTLP/HTTP Request").
const PATH: &str = "v1/traces";

/// Where traces are sent to: an http or https URL without a secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector(Url);

/// Why traces cannot be sent to what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCollector {
    #[error(
        "this build of azwib sends no traces: remove the flag (or AZWIB_OTLP_ENDPOINT), or take a build with the cargo feature otlp, \
         such as the released image"
    )]
    NotBuilt,
    #[error("\"{0}\" is not a URL such as http://collector.monitoring:4318")]
    NoUrl(String),
    #[error(
        "\"{0}\" is neither http nor https: give the collector's address for OTLP over http, such as http://collector.monitoring:4318"
    )]
    Scheme(String),
    // The text is not shown: it may have a password in it.
    #[error(
        "the URL has a user, a password, a query or a fragment: remove it. What a collector wants to know goes into the variable \
         OTEL_EXPORTER_OTLP_HEADERS"
    )]
    TooMuch,
    #[error("\"{0}\" ends with /{PATH}: remove that, azwib adds it")]
    WholePath(String),
}

impl Collector {
    /// Checks the address.
    ///
    /// # Errors
    /// It is none that traces can be sent to, or this build sends none.
    pub fn parse(text: &str) -> Result<Self, InvalidCollector> {
        Self::parse_in_build(cfg!(feature = "otlp"), text)
    }

    fn parse_in_build(sends_traces: bool, text: &str) -> Result<Self, InvalidCollector> {
        if !sends_traces {
            return Err(InvalidCollector::NotBuilt);
        }
        let url = Url::parse(text).map_err(|_| InvalidCollector::NoUrl(text.to_owned()))?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidCollector::TooMuch);
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidCollector::Scheme(text.to_owned()));
        }
        if url.path().trim_end_matches('/').ends_with(PATH) {
            return Err(InvalidCollector::WholePath(text.to_owned()));
        }
        Ok(Self(url))
    }

    /// The URL that spans are sent to.
    pub fn traces(&self) -> String {
        format!("{}/{PATH}", self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Collector, InvalidCollector> {
        Collector::parse_in_build(true, text)
    }

    #[test]
    fn an_address_is_completed_or_refused_with_what_to_do() {
        for (text, expected) in [
            (
                "http://collector.monitoring:4318",
                "http://collector.monitoring:4318/v1/traces",
            ),
            (
                "https://collector.example/otlp/",
                "https://collector.example/otlp/v1/traces",
            ),
            ("http://[::1]:4318/", "http://[::1]:4318/v1/traces"),
        ] {
            assert_eq!(parse(text).unwrap().traces(), expected);
        }
        for (text, expected) in [
            ("collector", "is not a URL such as"),
            ("collector.monitoring:4317", "neither http nor https"),
            ("grpc://collector.monitoring:4317", "neither http nor https"),
            ("http://", "is not a URL such as"),
            ("http://user:hidden@collector", "remove it"),
            ("http://collector/?key=hidden", "remove it"),
            ("http://collector:4318/v1/traces", "azwib adds it"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn a_build_without_traces_says_which_one_has_them() {
        let refused = Collector::parse_in_build(false, "http://collector:4318");
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("the released image"), "{error}");
    }
}
