//! `/metrics`, as Prometheus scrapes it.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

/// The media type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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

/// Answers scrapes until the process ends.
pub async fn serve(listener: TcpListener, registry: Arc<Registry>) -> std::io::Result<()> {
    let router = Router::new().route("/metrics", get(async move || scrape(&registry)));
    axum::serve(listener, router).await
}

fn scrape(registry: &Registry) -> Response {
    let mut text = String::new();
    match encode(&mut text, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
