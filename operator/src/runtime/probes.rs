//! `/healthz` and `/readyz`, in kubebuilder's shape.

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

/// Whether the operator is ready, and what it waits for if not.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<RwLock<Result<(), String>>>);

impl Readiness {
    /// Not ready yet.
    pub fn waiting_for(what: &str) -> Self {
        Self(Arc::new(RwLock::new(Err(what.to_owned()))))
    }

    pub fn wait_for(&self, what: &str) {
        self.set(Err(what.to_owned()));
    }

    pub fn ready(&self) {
        self.set(Ok(()));
    }

    fn set(&self, state: Result<(), String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn answer(&self) -> (StatusCode, String) {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Ok(()) => (StatusCode::OK, "ok".to_owned()),
            Err(what) => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("waiting for {what}"),
            ),
        }
    }
}

/// Answers probes until the process ends.
pub async fn serve(listener: TcpListener, readiness: Readiness) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(async move || readiness.answer()));
    axum::serve(listener, router).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_what_is_waited_for() {
        let readiness = Readiness::waiting_for("the API server");
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
