//! Alerts and dashboard, by Prometheus itself: promtool checks the alerts and tries each of them, and every query runs in
//! Prometheus' engine over stored scrapes of two replicas. `make test-dashboards` runs this.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod queries;
mod rules;
mod scrapes;

use std::env;
use std::path::PathBuf;

use azwib_e2e::environment::repository;

/// Set to write the stored scrapes and what queries return of them, instead of comparing both.
const WRITE: &str = "AZWIB_WRITE_SCRAPES";

fn writes() -> bool {
    env::var_os(WRITE).is_some_and(|it| !it.is_empty())
}

fn file(path: &str) -> PathBuf {
    repository().join(path)
}

const ALERTS: &str = "config/charts/azwib/files/alerts.yaml";
