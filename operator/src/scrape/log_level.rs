//! What is logged, read and changed while the process runs, at the path that the components of Kubernetes have for it (`/debug/flags/v`).

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};

use super::access::User;
use super::right::LOG_LEVEL;
use crate::azure::error::safe_line;
use crate::error_chain;
use crate::runtime::telemetry::{LogFilter, LogLevel};

/// The longest filter, in bytes: one for each crate of the operator has less.
const LONGEST: usize = 1024;

const EXAMPLE: &str = "send a level or a filter such as info,azwib_operator=debug";

/// Shows and changes what is logged. It asks nobody who that is: it has to stand behind [`super::guarded`].
pub fn router(level: LogLevel) -> Router {
    let show = async |State(level): State<LogLevel>| format!("{}\n", level.shown());
    Router::new()
        .route(LOG_LEVEL, get(show).put(change))
        .with_state(level)
}

/// Says why there is no such thing by plain http.
pub fn missing() -> Router {
    let told = "the log level is changed by https only, since anybody could change it here: start the operator with --metrics-secure\n";
    Router::new().route(LOG_LEVEL, any(async move || (StatusCode::NOT_FOUND, told)))
}

async fn change(
    State(level): State<LogLevel>,
    Extension(User(user)): Extension<User>,
    body: Body,
) -> Response {
    let filter = match asked_for(body).await {
        Ok(filter) => filter,
        Err((status, why)) => return (status, format!("{why}\n")).into_response(),
    };
    let user = safe_line(&user);
    let tell = |filter: String| tracing::info!(user, filter, "the log level is changed");
    // One of the two filters shows the line, if any does.
    let is_told = tracing::enabled!(tracing::Level::INFO);
    if is_told {
        tell(filter.to_string());
    }
    level.change(filter);
    let now = level.shown();
    if !is_told {
        tell(now.clone());
    }
    format!("{now}\n").into_response()
}

async fn asked_for(body: Body) -> Result<LogFilter, (StatusCode, String)> {
    let body = to_bytes(body, LONGEST).await.map_err(|_| {
        let why = format!("the filter is longer than {LONGEST} bytes, or was cut off: {EXAMPLE}");
        (StatusCode::PAYLOAD_TOO_LARGE, why)
    })?;
    let bad = |why| (StatusCode::BAD_REQUEST, why);
    let text = str::from_utf8(&body).map(str::trim).unwrap_or_default();
    if text.is_empty() {
        return Err(bad(format!("there is no text in the request: {EXAMPLE}")));
    }
    LogFilter::parse(text).map_err(|error| bad(safe_line(&error_chain(&error))))
}
