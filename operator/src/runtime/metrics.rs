//! `/metrics`, as Prometheus scrapes it.

use std::fmt;
use std::sync::{self, Arc};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::sync::Mutex;

use super::lock::lock;

/// A text is given out again for so many times as long as it took to make: scrapes in a loop take a twentieth of a processor.
const WORTH: u32 = 20;

/// The formats that a scrape may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// Prometheus' own text format: what `curl` and the tools that read no OpenMetrics get.
    Text,
    OpenMetrics,
}

impl Format {
    /// The one that a scrape prefers, by its Accept header; the text format where it does not say.
    fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).into_iter();
        let accepted: Vec<_> = accepted.filter_map(|it| it.to_str().ok()).collect();
        let best = |media_type: &str| {
            let ranges = accepted.iter().flat_map(|it| it.split(','));
            ranges
                .filter_map(|range| weight(range, media_type))
                .fold(0.0, f64::max)
        };
        if best("application/openmetrics-text") > best("text/plain") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Text => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What these show together. No two of them have a metric of the same name.
    fn encode<'a>(
        self,
        registries: impl Iterator<Item = &'a Registry>,
    ) -> Result<String, fmt::Error> {
        let mut scrape = String::new();
        for registry in registries {
            match self {
                Self::Text => prometheus_text::encode(&mut scrape, registry)?,
                Self::OpenMetrics => text::encode_registry(&mut scrape, registry)?,
            }
        }
        if self == Self::OpenMetrics {
            text::encode_eof(&mut scrape)?;
        }
        Ok(scrape)
    }
}

/// The weight that a media range gives to a type that it names.
fn weight(range: &str, media_type: &str) -> Option<f64> {
    let mut parts = range.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(media_type) {
        return None;
    }
    let weight = parts.find_map(|it| it.strip_prefix("q=").or_else(|| it.strip_prefix("Q=")));
    Some(weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0)))
}

/// What was last given out.
struct Scrape {
    format: Format,
    text: Bytes,
    made: Instant,
    took: Duration,
}

/// The registry, and the scrapes that are fresh enough to be given out again: those who read slowly hold the same ones.
struct Scrapes {
    registry: Registry,
    term: TermMetrics,
    last: Mutex<Vec<Scrape>>,
}

/// What a process shows while it leads, and not while it waits: two processes would show it twice. Clones are of the same.
#[derive(Debug, Clone, Default)]
pub struct TermMetrics(Arc<sync::Mutex<Option<Registry>>>);

impl TermMetrics {
    /// Shows this from now on.
    pub fn begin(&self, registry: Registry) {
        *lock(&self.0) = Some(registry);
    }

    /// Shows nothing any more.
    pub fn end(&self) {
        lock(&self.0).take();
    }
}

impl Scrapes {
    fn encode(&self, format: Format) -> Result<String, fmt::Error> {
        let term = lock(&self.term.0);
        format.encode([&self.registry].into_iter().chain(term.as_ref()))
    }

    async fn answer(&self, headers: &HeaderMap) -> Response {
        let format = Format::of(headers);
        let mut last = self.last.lock().await;
        last.retain(|it| it.made.elapsed() < it.took * WORTH);
        let text = match last.iter().find(|it| it.format == format) {
            Some(scrape) => scrape.text.clone(),
            None => {
                let made = Instant::now();
                let Ok(text) = self.encode(format) else {
                    return StatusCode::INTERNAL_SERVER_ERROR.into_response();
                };
                let text = Bytes::from(text);
                last.push(Scrape {
                    format,
                    text: text.clone(),
                    made,
                    took: made.elapsed(),
                });
                text
            }
        };
        let headers = [
            (CONTENT_TYPE, format.content_type()),
            (VARY, ACCEPT.as_str()),
        ];
        (headers, text).into_response()
    }
}

/// A registry that says which version of the operator it is of.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register(
        "azwib_build",
        "The version of the operator",
        Info::new([("version", env!("CARGO_PKG_VERSION"))]),
    );
    registry
}

/// Answers scrapes: of what the process shows, and of what it shows while it leads.
pub fn router(registry: Registry, term: TermMetrics) -> Router {
    let scrapes = Arc::new(Scrapes {
        registry,
        term,
        last: Mutex::default(),
    });
    Router::new().route(
        "/metrics",
        get(async move |headers: HeaderMap| scrapes.answer(&headers).await),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_gets_the_format_that_it_prefers() {
        let (text, open) = (Format::Text, Format::OpenMetrics);
        for (accept, expected) in [
            ("", text),
            ("*/*", text),
            ("text/html", text),
            ("text/plain", text),
            ("text/plain; version=0.0.4", text),
            ("application/openmetrics-text", open),
            (
                "Application/OpenMetrics-Text; version=1.0.0; charset=utf-8",
                open,
            ),
            ("application/openmetrics-text;q=0.1, text/plain;q=0.9", text),
            ("application/openmetrics-text;q=0", text),
            ("application/openmetrics-text;q=nonsense", text),
            // Prometheus 2 and 3.
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                open,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;\
                 version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                open,
            ),
            // One that was told to ask for the text format first.
            (
                "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.2",
                text,
            ),
        ] {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(Format::of(&headers), expected, "{accept}");
        }
    }
}
