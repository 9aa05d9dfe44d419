//! The azwib operator: it makes Azure workload identity federation declarative on any Kubernetes cluster.
//!
//! Read [`binding`] first: its driver is the table of contents of a reconcile.

pub mod azure;
pub mod binding;
pub mod cli;
pub mod clients;
pub mod commands;
pub mod definitions;
pub mod grant;
pub mod issuer;
pub mod kubeutil;
pub mod leader;
pub mod ledger;
pub mod replica;
pub mod run;
pub mod runtime;
pub mod scrape;
pub mod traces;

/// What the operator calls itself in requests, to the API server as to Azure: audit logs tell by it who asked.
pub(crate) const USER_AGENT: &str = concat!("azwib/", env!("CARGO_PKG_VERSION"));

/// An error and its causes on one line.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Many messages quote their cause already.
        if !line.contains(&words) {
            line = format!("{line}: {words}");
        }
        cause = error.source();
    }
    line
}
