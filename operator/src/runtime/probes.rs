//! `/healthz` and `/readyz`, in kubebuilder's shape.

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;

use crate::kubeutil::watch_course::WatchCourse;
use crate::runtime::liveness::Liveness;

/// Whether the operator is ready, and what it waits for if not.
#[derive(Debug, Clone)]
pub struct Readiness {
    state: Arc<RwLock<Result<(), String>>>,
    watches: WatchCourse,
}

impl Readiness {
    /// Not ready yet; and not while these watches keep failing.
    pub fn waiting_for(what: &str, watches: WatchCourse) -> Self {
        Self {
            state: Arc::new(RwLock::new(Err(what.to_owned()))),
            watches,
        }
    }

    pub fn wait_for(&self, what: &str) {
        self.set(Err(what.to_owned()));
    }

    pub fn ready(&self) {
        self.set(Ok(()));
    }

    fn set(&self, state: Result<(), String>) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// What it waits for.
    fn waits_for(&self) -> Option<String> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let first = state.clone().err();
        match (first, self.watches.trouble()) {
            (Some(first), Some(trouble)) => Some(format!("{first}: {trouble}")),
            (first, trouble) => first.or(trouble),
        }
    }

    fn answer(&self) -> (StatusCode, String) {
        match self.waits_for() {
            None => (StatusCode::OK, "ok".to_owned()),
            Some(what) => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("waiting for {what}"),
            ),
        }
    }
}

/// Answers probes.
pub fn router(readiness: Readiness, liveness: Liveness) -> Router {
    let watches = readiness.watches.clone();
    let is_alive = async move || alive(&liveness, &watches);
    Router::new()
        .route("/healthz", get(is_alive))
        .route("/readyz", get(async move || readiness.answer()))
}

fn alive(liveness: &Liveness, watches: &WatchCourse) -> (StatusCode, String) {
    match liveness.trouble().or_else(|| watches.stands_still()) {
        None => (StatusCode::OK, "ok".to_owned()),
        Some(trouble) => (StatusCode::INTERNAL_SERVER_ERROR, trouble),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_what_is_waited_for() {
        let readiness = Readiness::waiting_for("the API server", WatchCourse::default());
        assert_eq!(
            readiness.answer(),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "waiting for the API server".to_owned()
            )
        );
        readiness.ready();
        assert_eq!(readiness.answer().0, StatusCode::OK);
    }
}
