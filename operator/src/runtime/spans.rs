//! The spans of traces: one for each pass over a binding, and below it one for each request that the pass makes.
//!
//! docs/reference/traces.md lists them with their attributes. Where no traces are sent, nobody asks for these spans, and they cost
//! nothing. Whatever is put into one leaves the process: names, ids and numbers, never a header, a body or a text of somebody else.

use tracing::field::Empty;
use tracing::{Metadata, Span, info_span};

/// Where all of them come from, as `tracing` has it; no line of the log does.
const TARGET: &str = "azwib_operator::traces";

/// Whether this is one of them.
pub fn is_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == TARGET
}

/// A pass over a binding. What became of it is recorded by [`passed`].
pub(crate) fn pass(namespace: &str, name: &str, uid: Option<&str>) -> Span {
    info_span!(
        target: TARGET,
        parent: None,
        "reconcile",
        "k8s.namespace.name" = namespace,
        "azwib.binding.name" = name,
        "azwib.binding.uid" = uid,
        "azwib.changed" = Empty,
        "azwib.outcome" = Empty,
        "azwib.reason" = Empty,
        "otel.status_code" = Empty,
    )
}

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// There is something to wait for.
    Waits,
    Failed,
}

/// Records how a pass ended, the reason if there is one, and what it has changed, if anything.
pub(crate) fn passed(span: &Span, outcome: Outcome, reason: Option<&str>, changed: &str) {
    let text = match outcome {
        Outcome::Done => "done",
        Outcome::Waits => "waits",
        Outcome::Failed => "failed",
    };
    span.record("azwib.outcome", text);
    if let Some(reason) = reason {
        span.record("azwib.reason", reason);
    }
    if !changed.is_empty() {
        span.record("azwib.changed", changed);
    }
    if outcome == Outcome::Failed {
        span.record("otel.status_code", "ERROR");
    }
}

/// A request. Attributes are named as OpenTelemetry names those of HTTP clients, and of Azure's SDKs.
#[derive(Debug, Clone)]
pub(crate) struct RequestSpan(pub(crate) Span);

impl RequestSpan {
    /// One that is called `name`, with this HTTP method, to this host; `template` is its path without the names in it.
    pub(crate) fn new(name: &str, method: &str, host: &str, template: &str) -> Self {
        Self(info_span!(
            target: TARGET,
            "request",
            "otel.name" = name,
            "otel.kind" = "client",
            "http.request.method" = method,
            "server.address" = host,
            "url.template" = template,
            "http.response.status_code" = Empty,
            "azure.service.request.id" = Empty,
            "azwib.azure.correlation_id" = Empty,
            "otel.status_code" = Empty,
        ))
    }

    /// Whether a pass is under way here: what no pass waits for has no span.
    pub(crate) fn is_wanted() -> bool {
        Span::current().metadata().is_some_and(is_span)
    }

    /// Records the status of the answer; None where there was none.
    pub(crate) fn answered(&self, status: Option<u16>) {
        if let Some(status) = status {
            self.0.record("http.response.status_code", status);
        }
        if status.is_none_or(|status| status >= 400) {
            self.0.record("otel.status_code", "ERROR");
        }
    }

    /// Records the ids by which Azure's support finds the request.
    pub(crate) fn identified(&self, request: Option<&str>, correlation: Option<&str>) {
        for (field, id) in [
            ("azure.service.request.id", request),
            ("azwib.azure.correlation_id", correlation),
        ] {
            if let Some(id) = id {
                self.0.record(field, id);
            }
        }
    }
}
